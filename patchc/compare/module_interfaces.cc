#include "patchc/compare/module_interfaces.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace mend::patchc {
namespace {

std::string HashOf(const RecordDescription& module) {
  return module.fields.empty() ? std::string() : module.fields.front().type;
}

}  // namespace

std::optional<Refusal> RefuseModuleInterfaces(const ObjectDescription& base,
                                              const ObjectDescription& edited,
                                              const std::set<std::string>& sources,
                                              const std::map<std::string, SourceEdit>& edits) {
  const auto refused = [](std::string message) {
    return Refusal{RefusalCode::kModuleInterface, std::move(message), {}};
  };
  for (const auto& [path, edit] : edits) {
    if (!sources.contains(path)) continue;
    return refused(absl::StrCat(base.source, " imports a module that was compiled from ", path));
  }
  for (const RecordDescription& module : edited.records) {
    if (module.kind != "module") continue;
    const bool is_another =
        std::any_of(base.records.begin(), base.records.end(), [&module](const auto& known) {
          return known.kind == "module" && known.name == module.name &&
                 HashOf(known) != HashOf(module);
        });
    if (!is_another) continue;
    return refused(absl::StrCat(base.source, " was compiled with another interface of module '",
                                module.name, "' than the one that is there now"));
  }
  return std::nullopt;
}

}  // namespace mend::patchc
