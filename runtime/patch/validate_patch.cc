#include "runtime/patch/validate_patch.h"

#include <map>
#include <set>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace mend {
namespace {

absl::Status ValidateFunction(const PatchFunction& function) {
  const FunctionSite& old = function.old;
  if (old.name.empty() || old.entry.is_null() || function.new_body.is_null()) {
    return absl::InvalidArgumentError(
        absl::StrCat("EINVAL: a function of the patch has no old or no new side: '", old.name, "'"));
  }
  if (old.slot == nullptr || old.entry.value % kEntryAlignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("EINVAL: function '", old.name, "' has no redirection stub"));
  }
  if (old.size <= kEntryStubSize || function.new_text.empty()) {
    return absl::NotFoundError(absl::StrCat("ENOENT: the size of function '", old.name,
                                            "' or of its replacement is not known"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidatePatch(const Patch& patch) {
  if (patch.name.empty()) return absl::InvalidArgumentError("EINVAL: the patch has no name");
  std::set<std::string> objects;
  std::set<std::tuple<std::string, std::string, unsigned>> names;
  std::map<CodeAddress, std::string> entries;
  for (const PatchObject& object : patch.objects) {
    if (!objects.insert(object.name).second) {
      return absl::AlreadyExistsError(
          absl::StrCat("EEXIST: patch '", patch.name, "' has object '", object.name, "' twice"));
    }
    for (const PatchFunction& function : object.functions) {
      if (absl::Status valid = ValidateFunction(function); !valid.ok()) return valid;
      const FunctionSite& old = function.old;
      if (!names.insert({object.name, old.name, old.sympos}).second) {
        return absl::AlreadyExistsError(absl::StrCat("EEXIST: patch '", patch.name,
                                                     "' has function '", old.name, "' twice"));
      }
      const auto [at, is_new] = entries.insert({old.entry, old.name});
      if (!is_new) {
        return absl::InvalidArgumentError(absl::StrCat("EINVAL: '", at->second, "' and '",
                                                       old.name, "' are the same function"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace mend
