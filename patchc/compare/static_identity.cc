#include "patchc/compare/static_identity.h"

#include "absl/strings/ascii.h"
#include "llvm/Demangle/Demangle.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {
namespace {

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

// Replaces the digits behind each `marker`; a marker without digits gets the '#' too if `optional`.
std::string ReplaceNumbers(std::string_view name, std::string_view marker, bool optional) {
  std::string stem;
  while (true) {
    const size_t found = name.find(marker);
    if (found == std::string_view::npos) return stem.append(name);
    stem.append(name.substr(0, found + marker.size()));
    name.remove_prefix(found + marker.size());
    size_t digits = 0;
    while (digits < name.size() && IsDigit(name[digits])) ++digits;
    if (digits > 0 || optional) stem.push_back('#');
    name.remove_prefix(digits);
  }
}

}  // namespace

std::string StemOfData(std::string_view name) {
  if (name.starts_with("_ZZ")) {
    // A second static of a C++ function ends with "_0", "_1", "__10_".
    const size_t underscore = name.find_last_not_of("0123456789_");
    if (underscore != std::string_view::npos && underscore + 1 < name.size() &&
        name[underscore + 1] == '_') {
      name = name.substr(0, underscore + 1);
    }
    return std::string(name) + ".#";
  }
  const size_t dot = name.rfind('.');
  if (dot != std::string_view::npos && dot + 1 < name.size() &&
      name.find_first_not_of("0123456789", dot + 1) == std::string_view::npos) {
    name = name.substr(0, dot);
  }
  return std::string(name) + ".#";
}

std::string StemOfFunction(std::string_view name) {
  // Lambdas: "$_0" in functions and at file level, "UlvE_", "UlvE0_" in inline functions.
  const std::string stem = ReplaceNumbers(name, "$_", /*optional=*/false);
  const size_t lambda = stem.find("Ul");
  if (lambda == std::string::npos || !std::string_view(stem).starts_with("_Z")) return stem;
  return stem.substr(0, lambda) + ReplaceNumbers(std::string_view(stem).substr(lambda), "E", true);
}

std::string StemOfStatic(std::string_view name) { return StemOfFunction(StemOfData(name)); }

std::string StemOfCounted(std::string_view name) {
  std::string stem = StemOfData(name);
  stem.resize(stem.size() - 2);
  while (!stem.empty() && IsDigit(stem.back())) stem.pop_back();
  return stem + "#";
}

std::string PlainName(std::string_view symbol) {
  if (symbol.starts_with(kTlsImagePrefix)) symbol.remove_prefix(sizeof kTlsImagePrefix - 1);
  if (!symbol.starts_with("_Z")) {
    const std::string stem = StemOfData(symbol);
    return stem.substr(0, stem.size() - 2);
  }
  std::string plain;
  int depth = 0;
  for (const char c : llvm::demangle(symbol)) {
    if (c == '(') ++depth;
    if (depth == 0) plain.push_back(c);
    if (c == ')') --depth;
  }
  return ReplaceNumbers(ReplaceNumbers(plain, "'lambda", true), "$_", false);
}

std::string InnerName(std::string_view symbol) {
  const std::string plain = PlainName(symbol);
  const size_t scope = plain.find_last_of(".:");
  return scope == std::string::npos ? plain : plain.substr(scope + 1);
}

std::vector<NameGroup> ChangedGroups(const std::set<std::string>& base,
                                     const std::set<std::string>& edited,
                                     std::string (*stem_of)(std::string_view)) {
  std::map<std::string, NameGroup> groups;
  for (const std::string& name : base) groups[stem_of(name)].base.push_back(name);
  for (const std::string& name : edited) groups[stem_of(name)].edited.push_back(name);
  std::vector<NameGroup> changed;
  for (auto& [stem, group] : groups) {
    if (group.base.empty() || group.edited.empty() || group.base == group.edited) continue;
    group.stem = stem;
    changed.push_back(std::move(group));
  }
  return changed;
}

}  // namespace mend::patchc
