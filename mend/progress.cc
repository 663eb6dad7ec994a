#include "mend/progress.h"

#include <unistd.h>

#include <cstdio>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace mend {
namespace {

std::string StringField(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// "3 threads left; worker (124) is in handle_request"; "" when nothing can be said.
std::string DescribeTransition(const Client& client) {
  const absl::StatusOr<Reply> reply = client.Get("/status", {.timeout = absl::Seconds(2)});
  if (!reply.ok() || !reply->ok()) return {};
  const nlohmann::json status = nlohmann::json::parse(reply->body, nullptr, false);
  if (!status.is_object() || !status.contains("transition") || !status["transition"].is_object()) {
    return {};
  }
  const auto left = status["transition"].find("threads_left");
  if (left == status["transition"].end() || !left->is_number_unsigned()) return {};
  std::string text = absl::StrCat(left->get<uint64_t>(), " threads left");
  const auto stragglers = status.find("stragglers");
  if (stragglers == status.end() || !stragglers->is_array() || stragglers->empty()) return text;
  const nlohmann::json& first = stragglers->front();
  absl::StrAppend(&text, "; ", StringField(first, "name"), " (", StringField(first, "tid"), ")");
  const auto straggler = first.find("straggler");
  if (straggler != first.end() && straggler->is_object()) {
    const std::string function = StringField(*straggler, "function");
    absl::StrAppend(&text, function.empty() ? " is " + StringField(*straggler, "reason")
                                            : " is in " + function);
  }
  return text;
}

absl::StatusOr<Reply> WithProgress(const Client& client, const std::string& what,
                                   std::function<absl::StatusOr<Reply>()> request) {
  std::future<absl::StatusOr<Reply>> answer = std::async(std::launch::async, std::move(request));
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  std::string shown;
  while (answer.wait_for(std::chrono::seconds(1)) == std::future_status::timeout) {
    const std::string line = absl::StrCat(what, ": ", DescribeTransition(client));
    if (line == shown) continue;
    shown = line;
    std::fprintf(stderr, terminal ? "\r\033[K%s" : "%s\n", line.c_str());
  }
  if (terminal && !shown.empty()) std::fputs("\r\033[K", stderr);
  return answer.get();
}

}  // namespace

absl::StatusOr<Reply> PostWithProgress(const Client& client, const std::string& path,
                                       const std::string& body, const RequestOptions& options,
                                       const std::string& what) {
  return WithProgress(client, what, [&] { return client.Post(path, body, options); });
}

absl::StatusOr<Reply> GetWithProgress(const Client& client, const std::string& path,
                                      const RequestOptions& options, const std::string& what) {
  return WithProgress(client, what, [&] { return client.Get(path, options); });
}

}  // namespace mend
