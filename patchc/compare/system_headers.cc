#include "patchc/compare/system_headers.h"

#include "absl/status/statusor.h"
#include "runtime/base/read_file.h"

namespace mend::patchc {

std::string SystemHeaders::FindChanged(const ObjectDescription& unit) {
  for (const SourceDescription& source : unit.sources) {
    if (!source.is_system) continue;
    const auto [hash, is_new] = hashes_.try_emplace(source.path);
    if (is_new) {
      const absl::StatusOr<std::string> contents = mend::ReadFile(source.path);
      if (contents.ok()) hash->second = HashHex(*contents);
    }
    // Where it is gone and asked for, the unit does not compile. Hashes are recorded in part.
    if (!hash->second.empty() && !hash->second.starts_with(source.hash)) return source.path;
  }
  return {};
}

std::string FirstDifference(const UnitDiff& diff) {
  for (const PatchedFunction& function : diff.functions) return DisplayName(function.name);
  for (const auto* names : {&diff.changed_constants, &diff.new_functions, &diff.gone_functions}) {
    if (!names->empty()) return DisplayName(names->front());
  }
  return diff.refusals.empty() ? std::string() : diff.refusals.front().message;
}

}  // namespace mend::patchc
