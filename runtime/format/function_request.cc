#include "runtime/format/function_request.h"

#include <string>

#include "absl/strings/numbers.h"

namespace mend {
namespace {

std::string WithoutAbiTags(std::string_view demangled) {
  std::string name;
  while (true) {
    const size_t tag = demangled.find("[abi:");
    name += demangled.substr(0, tag);
    if (tag == std::string_view::npos) return name;
    const size_t end = demangled.find(']', tag);
    if (end == std::string_view::npos) return name;
    demangled.remove_prefix(end + 1);
  }
}

std::string_view WithoutParameters(std::string_view demangled) {
  // `(anonymous namespace)` is part of a name, not a parameter list.
  constexpr std::string_view kAnonymous = "(anonymous namespace)";
  size_t from = 0;
  while (true) {
    const size_t open = demangled.find('(', from);
    if (open == std::string_view::npos) return demangled;
    if (demangled.substr(open, kAnonymous.size()) != kAnonymous) return demangled.substr(0, open);
    from = open + 1;
  }
}

}  // namespace

FunctionRequest ParseFunctionRequest(std::string_view text) {
  FunctionRequest request;
  // Commas within parentheses are followed by types, not by a number.
  unsigned position = 0;
  const size_t comma = text.rfind(',');
  if (comma != std::string_view::npos &&
      absl::SimpleAtoi(std::string(text.substr(comma + 1)), &position)) {
    request.position = position;
    text = text.substr(0, comma);
  }
  // The colons of C++ names come in pairs.
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos && text.substr(colon, 2) != "::") {
    request.object = text.substr(0, colon);
    text = text.substr(colon + 1);
  }
  request.function = text;
  return request;
}

bool IsNameOfFunction(std::string_view name, std::string_view symbol, std::string_view demangled) {
  if (name == symbol || name == demangled) return true;
  const std::string known = WithoutAbiTags(demangled);
  return name == known || name == WithoutParameters(known);
}

}  // namespace mend
