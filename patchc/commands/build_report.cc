#include "patchc/commands/build_report.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace mend::patchc {
namespace {

std::string Why(const PatchedFunction& function) {
  switch (function.reason) {
    case ChangeReason::kChanged:
      return function.detail.empty() ? "changed" : absl::StrCat("changed (", function.detail, ")");
    case ChangeReason::kInlines:
      return absl::StrCat("inlines ", function.detail);
    case ChangeReason::kReadsConstant:
      return absl::StrCat("reads the changed constant ", function.detail);
  }
  return {};
}

void PrintNames(std::FILE* file, const char* what, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::fprintf(file, "  %-10s %s\n", what, DisplayName(name).c_str());
  }
}

std::vector<std::string> Displayed(const std::vector<std::string>& symbols) {
  std::vector<std::string> names;
  for (const std::string& symbol : symbols) names.push_back(DisplayName(symbol));
  return names;
}

}  // namespace

void PrintProblems(std::FILE* file, const BuildReport& report) {
  for (const std::string& note : report.notes) std::fprintf(file, "patchc: %s\n", note.c_str());
  for (const std::string& warning : report.warnings) {
    std::fprintf(file, "patchc: warning: %s\n", warning.c_str());
  }
  for (const Refusal& refusal : report.refusals) {
    std::fprintf(file, "patchc: %s\n", RefusalReport(refusal).c_str());
  }
}

void PrintContents(std::FILE* file, const BuildReport& report) {
  for (const FrameOnlyRecord& record : report.frame_records) {
    std::fprintf(file, "%s\n%s  fine: %s\n", record.change.c_str(), record.detail.c_str(),
                 record.functions.empty()
                     ? "nothing has such an object"
                     : absl::StrCat("only in frames of changed functions (",
                                    absl::StrJoin(Displayed(record.functions), ", "), ")")
                           .c_str());
  }
  for (const UnitDiff& unit : report.units) {
    const std::string of_module =
        unit.module.empty() ? "" : absl::StrCat(" (module ", unit.module, ")");
    std::fprintf(file, "%s%s\n", unit.unit.substr(0, unit.unit.find('|')).c_str(),
                 of_module.c_str());
    for (const PatchedFunction& function : unit.functions) {
      std::fprintf(file, "  %-10s %-32s %s\n", "replaces", DisplayName(function.name).c_str(),
                   Why(function).c_str());
    }
    PrintNames(file, "adds", unit.new_functions);
    PrintNames(file, "adds data", unit.new_data);
    PrintNames(file, "leaves out", unit.gone_functions);
    std::vector<std::string> references;
    for (const DataReference& reference : unit.references) {
      references.push_back(DisplayName(reference.name));
    }
    if (!references.empty()) {
      std::fprintf(file, "  %-10s %s\n", "refers to", absl::StrJoin(references, ", ").c_str());
    }
  }
}

void FillUnits(const BuildReport& report, Json& json) {
  json["units"] = Json::array();
  for (const UnitDiff& unit : report.units) {
    Json functions = Json::array();
    for (const PatchedFunction& function : unit.functions) {
      functions.push_back({{"name", function.name},
                           {"display", DisplayName(function.name)},
                           {"reason", ChangeReasonName(function.reason)},
                           {"detail", function.detail}});
    }
    Json references = Json::array();
    for (const DataReference& reference : unit.references) references.push_back(reference.name);
    json["units"].push_back({{"module", unit.module},
                             {"unit", unit.unit},
                             {"functions", functions},
                             {"new_functions", unit.new_functions},
                             {"new_data", unit.new_data},
                             {"referenced_data", references},
                             {"gone_functions", unit.gone_functions}});
  }
}

void FillJson(const BuildReport& report, Json& json) {
  json["patch"] = report.name;
  json["no_change"] = report.no_change;
  json["units_compiled"] = report.units_compiled;
  json["compile_ns"] = absl::ToInt64Nanoseconds(report.compile_time);
  json["compare_ns"] = absl::ToInt64Nanoseconds(report.compare_time);
  json["replace"] = report.module.replace;
  json["held"] = report.module.hold;
  FillUnits(report, json);
  json["frame_records"] = Json::array();
  for (const FrameOnlyRecord& record : report.frame_records) {
    json["frame_records"].push_back({{"change", record.change},
                                     {"detail", record.detail},
                                     {"functions", Displayed(record.functions)}});
  }
  json["refusals"] = Json::array();
  for (const Refusal& refusal : report.refusals) {
    json["refusals"].push_back({{"code", RefusalId(refusal.code)},
                                {"message", refusal.message},
                                {"detail", refusal.detail},
                                {"way_out", TextOf(refusal.code).way_out}});
  }
  json["warnings"] = report.warnings;
  json["notes"] = report.notes;
}

std::string ShowDuration(int64_t nanoseconds) {
  const double milliseconds = static_cast<double>(nanoseconds) / 1e6;
  if (milliseconds >= 1000) return absl::StrFormat("%.2f s", milliseconds / 1000);
  if (milliseconds >= 100) return absl::StrFormat("%.0f ms", milliseconds);
  return absl::StrFormat("%.1f ms", milliseconds);
}

}  // namespace mend::patchc
