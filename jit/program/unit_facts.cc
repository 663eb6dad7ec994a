#include "jit/program/unit_facts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/format/object_description.h"
#include "runtime/format/program_image.h"

namespace mend::jit {
namespace {

// The file name at the end of a path, an archive member's within its parentheses.
std::string_view BaseName(std::string_view path) {
  if (path.ends_with(')')) {
    path.remove_suffix(1);
    path = path.substr(path.rfind('(') + 1);
  }
  return path.substr(path.rfind('/') + 1);
}

// Of a unit's name (ObjectDescription::UnitName): what was compiled, to what.
std::string_view WithoutDirectory(std::string_view unit_name) {
  return unit_name.substr(0, unit_name.find('|', unit_name.find('|') + 1));
}

}  // namespace

absl::StatusOr<UnitFacts> ReadUnitFacts(const std::string& file, std::string_view object) {
  absl::StatusOr<std::string_view> section = FindElfSection(object, kObjectSection);
  if (!section.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(file, " does not describe itself; it was not compiled by patchc"));
  }
  absl::StatusOr<ObjectDescription> description = ParseObjectDescription(*section);
  if (!description.ok()) return description.status();
  UnitFacts facts;
  facts.unit_name = description->UnitName();
  for (FunctionDescription& function : description->functions) {
    facts.functions[function.name] = {function.fingerprint, function.nounwind,
                                      std::move(function.inlined)};
  }
  for (const DataDescription& datum : description->data) {
    facts.data[datum.name] = datum.fingerprint;
  }
  return facts;
}

std::set<std::string> UnitFacts::FunctionsWithCopyOf(const std::string& callee) const {
  std::set<std::string> found;
  std::vector<std::string> worklist = {callee};
  while (!worklist.empty()) {
    const std::string copied = std::move(worklist.back());
    worklist.pop_back();
    for (const auto& [name, function] : functions) {
      const auto& inlined = function.inlined;
      if (name == callee || std::find(inlined.begin(), inlined.end(), copied) == inlined.end()) {
        continue;
      }
      if (found.insert(name).second) worklist.push_back(name);
    }
  }
  return found;
}

absl::StatusOr<const UnitFacts*> UnitFactsCache::Of(const HostedProgram& program, uint32_t unit) {
  const auto key = std::make_pair(&program, unit);
  if (const auto it = facts_.find(key); it != facts_.end()) return &it->second;
  absl::StatusOr<UnitFacts> facts = ReadUnitFacts(program.index.file(unit), program.objects[unit]);
  if (!facts.ok()) return facts.status();
  return &(facts_[key] = *std::move(facts));
}

absl::StatusOr<uint32_t> UnitFactsCache::FindUnit(const HostedProgram& program,
                                                  const std::string& unit_name) {
  const uint32_t count = program.index.unit_count();
  const std::string_view build = WithoutDirectory(unit_name);
  const std::string_view base = BaseName(build.substr(build.find('|') + 1));
  std::vector<uint32_t> elsewhere;
  // Those whose file bears the recorded output's name first: parsing every object's description
  // takes long in a large program.
  for (const bool likely : {true, false}) {
    for (uint32_t unit = 0; unit < count; ++unit) {
      if ((BaseName(program.index.file(unit)) == base) != likely) continue;
      absl::StatusOr<const UnitFacts*> parsed = Of(program, unit);
      if (!parsed.ok()) continue;
      if ((*parsed)->unit_name == unit_name) return unit;
      if (WithoutDirectory((*parsed)->unit_name) == build) elsewhere.push_back(unit);
    }
  }
  // The same code was built in another directory.
  if (elsewhere.size() == 1) return elsewhere.front();
  return absl::FailedPreconditionError(absl::StrCat("MEND-E0142: ", program.index.ShownObject(),
                                                    " has no unit ", unit_name,
                                                    "; the patch is for another one"));
}

void UnitFactsCache::Forget(const HostedProgram& program) {
  for (auto it = facts_.lower_bound({&program, 0});
       it != facts_.end() && it->first.first == &program;) {
    it = facts_.erase(it);
  }
}

}  // namespace mend::jit
