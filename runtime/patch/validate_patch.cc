#include "runtime/patch/validate_patch.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"

namespace mend {
namespace {

// The kernel's limits: a symbol's name and a module's, each with its final zero.
constexpr size_t kFunctionNameMax = 511;
constexpr size_t kObjectNameMax = 55;

absl::Status ValidateFunction(const PatchFunction& function) {
  const std::string& name = function.old.name;
  const bool has_new_side = !function.new_body.is_null() || function.nop || function.links_late;
  if (name.empty() || !has_new_side) {
    return ErrnoStatus(
        EINVAL, absl::StrCat("a function of the patch has no old or no new side: '", name, "'"));
  }
  if (name.size() > kFunctionNameMax) {
    return ErrnoStatus(EINVAL, absl::StrCat("the function name '", name, "' is too long"));
  }
  return absl::OkStatus();
}

absl::Status ValidatePlace(const PatchFunction& function) {
  const FunctionSite& old = function.old;
  if (old.entry.is_null() || old.slot == nullptr || old.entry.value % kEntryAlignment != 0) {
    return ErrnoStatus(EINVAL, absl::StrCat("function '", old.name, "' has no redirection stub"));
  }
  if (old.size <= kEntryStubSize) {
    return ErrnoStatus(ENOENT, absl::StrCat("kallsyms size lookup failed for '", old.name, "'"));
  }
  if (!function.nop && (function.new_text.empty() || function.new_body.is_null())) {
    return ErrnoStatus(
        ENOENT, absl::StrCat("kallsyms size lookup failed for '", old.name, "' replacement"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidatePatch(const Patch& patch) {
  if (patch.name.empty()) return ErrnoStatus(EINVAL, "the patch has no name");
  std::set<std::string> objects;
  std::set<std::tuple<std::string, std::string, unsigned>> names;
  for (const PatchObject& object : patch.objects) {
    if (object.name.size() > kObjectNameMax) {
      return ErrnoStatus(EINVAL, absl::StrCat("the object name '", object.name, "' is too long"));
    }
    if (!objects.insert(object.name).second) {
      return ErrnoStatus(
          EEXIST, absl::StrCat("patch '", patch.name, "' has object '", object.name, "' twice"));
    }
    for (const PatchFunction& function : object.functions) {
      if (absl::Status valid = ValidateFunction(function); !valid.ok()) return valid;
      // Positions 0 and 1 make the same folder (I4).
      const unsigned position = std::max(function.old.sympos, 1u);
      if (!names.insert({object.name, function.old.name, position}).second) {
        return ErrnoStatus(EEXIST, absl::StrCat("patch '", patch.name, "' has function '",
                                                function.old.name, "' twice"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateLoadedObject(const PatchObject& object) {
  std::map<CodeAddress, std::string> entries;
  for (const PatchFunction& function : object.functions) {
    if (absl::Status valid = ValidatePlace(function); !valid.ok()) return valid;
    const auto [at, is_new] = entries.insert({function.old.entry, function.old.name});
    if (is_new) continue;
    return ErrnoStatus(EINVAL, absl::StrCat("'", at->second, "' and '", function.old.name,
                                            "' are the same function"));
  }
  return absl::OkStatus();
}

}  // namespace mend
