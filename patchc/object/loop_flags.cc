#include "patchc/object/loop_flags.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "patchc/object/fingerprint.h"
#include "patchc/support/text.h"

namespace mend::patchc {
namespace {

constexpr std::string_view kFlag = "-fmend-loops";
constexpr std::string_view kNoFlag = "-fno-mend-loops";
constexpr std::string_view kMark = ".loop.";
constexpr size_t kHashDigits = 12;

}  // namespace

LoopFlags TakeLoopFlags(std::vector<std::string>& arguments) {
  LoopFlags flags;
  std::erase_if(arguments, [&flags](std::string_view argument) {
    if (argument == kNoFlag) {
      flags = LoopFlags();
      return true;
    }
    if (!argument.starts_with(kFlag)) return false;
    argument.remove_prefix(kFlag.size());
    if (!argument.empty() && argument[0] != '=') return false;
    flags.enabled = true;
    for (const std::string_view name : SplitWords(argument, "=,")) flags.functions.emplace(name);
    return true;
  });
  return flags;
}

std::vector<std::string> LoopArguments(const LoopFlags& flags) {
  if (!flags.enabled) return {};
  if (flags.functions.empty()) return {std::string(kFlag)};
  return {absl::StrCat(Absl(kFlag), "=", absl::StrJoin(flags.functions, ","))};
}

std::string NameOfLoopBody(std::string_view function, size_t index, std::string_view interface) {
  return absl::StrCat(Absl(function), Absl(kMark), index, ".",
                      HashHex(interface).substr(0, kHashDigits));
}

std::string_view FunctionOfLoopBody(std::string_view symbol) {
  const size_t mark = symbol.rfind(kMark);
  if (mark == std::string_view::npos) return {};
  const std::string_view number_and_hash = symbol.substr(mark + kMark.size());
  const size_t dot = number_and_hash.find('.');
  if (dot == 0 || dot == std::string_view::npos) return {};
  const std::string_view hash = number_and_hash.substr(dot + 1);
  const bool is_body = number_and_hash.find_first_not_of("0123456789") == dot &&
                       hash.size() == kHashDigits &&
                       hash.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return is_body ? symbol.substr(0, mark) : std::string_view();
}

}  // namespace mend::patchc
