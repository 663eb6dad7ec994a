#include "handlers.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <sstream>
#include <utility>

#include "codec.h"

namespace kv {
namespace {

// Every answer ever given, by whichever version.
std::atomic<uint64_t> answers{0};

// "KEY VALUE" -> {KEY, VALUE}; the value may be empty and may contain blanks.
std::pair<std::string, std::string> SplitWord(const std::string& text) {
  const std::size_t blank = text.find(' ');
  if (blank == std::string::npos) return {text, ""};
  return {text.substr(0, blank), text.substr(blank + 1)};
}

std::string AnswerStatistics(const Service& service) {
  std::ostringstream text;
  text << "STATS answers=" << answers.load() << " keys=" << service.store.size()
       << " journal=" << service.journal.entries();
  return text.str();
}

}  // namespace

std::string AnswerGet(Service& service, const std::string& key) {
  const std::optional<std::string> value = service.store.Get(key);
  if (!value.has_value()) return "NONE";
  const std::string encoded = Encode(*value);
  service.journal.Append(key);
  return "VALUE " + encoded + " " + Checksum(*value);
}

std::string Answer(Service& service, const std::string& line) {
  answers.fetch_add(1, std::memory_order_relaxed);
  const auto [verb, rest] = SplitWord(line);
  if (verb == "GET") return AnswerGet(service, rest);
  if (verb == "SET") {
    auto [key, value] = SplitWord(rest);
    service.store.Set(key, std::move(value));
    return "OK";
  }
  if (verb == "DEL") return service.store.Delete(rest) ? "OK" : "NONE";
  if (verb == "VERSION") return AnswerVersion();
  if (verb == "STATS") return AnswerStatistics(service);
  return "ERROR unknown request";
}

}  // namespace kv
