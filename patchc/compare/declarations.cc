#include "patchc/compare/declarations.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {
namespace {

void RefuseWhatTheBuildRegisters(const SourceEdits& edits, AffectedUnit& unit) {
  const std::vector<std::string>& added = unit.diff.new_data;
  for (const DataDescription& datum : unit.edited.data) {
    if (datum.binding != Binding::kGlobal ||
        std::find(added.begin(), added.end(), datum.name) == added.end()) {
      continue;
    }
    const std::string file = edits.BuildFileNaming(datum.name);
    if (file.empty()) continue;
    unit.diff.refusals.push_back(
        {RefusalCode::kGeneratedSource,
         absl::StrCat(file, " names '", DisplayName(datum.name),
                      "', which the diff adds: the build generates code that uses it"),
         {}});
  }
}

}  // namespace

void RefuseWhatTheBuildRegisters(const SourceEdits& edits, std::vector<AffectedObject>& objects) {
  for (AffectedObject& object : objects) {
    for (AffectedUnit& unit : object.units) RefuseWhatTheBuildRegisters(edits, unit);
  }
}

void RefuseDeclarations(std::vector<AffectedObject>& objects) {
  for (AffectedObject& object : objects) {
    const std::string* declares = nullptr;  // the source that has the object's descriptor
    for (AffectedUnit& unit : object.units) {
      const std::string& source = object.base->units()[unit.unit].description.source;
      for (const std::string& name : unit.diff.new_data) {
        const bool is_descriptor = name == kLivepatchPointer;
        if (is_descriptor && declares != nullptr) {
          unit.diff.refusals.push_back(
              {RefusalCode::kSymbolDuplicate,
               absl::StrCat(source, ": MEND_LIVEPATCH stands in ", *declares, " already"),
               {}});
        }
        if (is_descriptor) declares = &source;
        if (is_descriptor || !IsPatchDeclaration(name) || unit.diff.module.empty()) continue;
        unit.diff.refusals.push_back(
            {RefusalCode::kDeclarationInSource,
             absl::StrCat(source, ": '", name, "' in a source of module '", unit.diff.module, "'"),
             {}});
      }
    }
  }
}

}  // namespace mend::patchc
