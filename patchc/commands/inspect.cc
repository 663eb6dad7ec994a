// patchc inspect: what a program, an object or a patch module says of itself.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "mend/client.h"
#include "mend/json.h"
#include "patchc/commands/command.h"
#include "patchc/commands/patch_options.h"
#include "patchc/link/header_sources.h"
#include "runtime/base/read_file.h"
#include "runtime/format/object_description.h"
#include "runtime/format/patch_module.h"
#include "runtime/format/program_image.h"

namespace mend::patchc {
namespace {

constexpr char kExamples[] =
    "\nexamples:\n"
    "  patchc inspect ./server\n"
    "  patchc inspect --json fix.mendpatch\n";

const char* BindingName(Binding binding) {
  switch (binding) {
    case Binding::kLocal:
      return "local";
    case Binding::kGlobal:
      return "global";
    case Binding::kWeak:
      return "weak";
  }
  return "unknown";
}

Json DescribeFunctions(const ObjectDescription& object) {
  Json functions = Json::array();
  for (const FunctionDescription& function : object.functions) {
    functions.push_back({{"name", function.name},
                         {"binding", BindingName(function.binding)},
                         {"size", function.size},
                         {"patchable", function.patchable},
                         {"fingerprint", function.fingerprint}});
  }
  return functions;
}

Json DescribeData(const ObjectDescription& object) {
  Json data = Json::array();
  for (const DataDescription& datum : object.data) {
    data.push_back({{"name", datum.name},
                    {"binding", BindingName(datum.binding)},
                    {"size", datum.size},
                    {"constant", datum.is_constant},
                    {"thread_local", datum.is_thread_local},
                    {"fingerprint", datum.fingerprint}});
  }
  return data;
}

Json DescribeRecords(const ObjectDescription& object) {
  Json records = Json::array();
  for (const RecordDescription& record : object.records) {
    Json fields = Json::array();
    for (const FieldDescription& field : record.fields) {
      fields.push_back({{"name", field.name},
                        {"type", field.type},
                        {"offset_bits", field.offset_bits},
                        {"size_bits", field.size_bits}});
    }
    records.push_back({{"name", record.name},
                       {"kind", record.kind},
                       {"size", record.size_bytes},
                       {"alignment", record.alignment_bytes},
                       {"fields", fields},
                       {"vtable", record.vtable}});
  }
  return records;
}

// An object without a description is hosted as it is, and not patchable.
Json DescribeObject(std::string_view name, std::string_view bytes) {
  Json result = {{"name", std::string(name)}};
  const absl::StatusOr<std::string_view> section = FindElfSection(bytes, kObjectSection);
  if (!section.ok()) {
    result["described"] = false;
    return result;
  }
  const absl::StatusOr<ObjectDescription> object = ParseObjectDescription(*section);
  if (!object.ok()) {
    result["described"] = false;
    result["error"] = std::string(object.status().message());
    return result;
  }
  Json sources = Json::array();
  for (const SourceDescription& source : object->sources) {
    sources.push_back({{"path", source.path}, {"hash", source.hash}, {"system", source.is_system}});
    if (!source.real_path.empty()) sources.back()["real_path"] = source.real_path;
  }
  result["described"] = true;
  result["compiler"] = object->compiler;
  result["language"] = object->language;
  result["directory"] = object->directory;
  result["source"] = object->source;
  result["output"] = object->output;
  result["arguments"] = object->arguments;
  const absl::StatusOr<std::string_view> embedded = FindElfSection(bytes, kSourcesSection);
  result["embeds_sources"] = embedded.ok() && !embedded->empty();
  result["sources"] = sources;
  result["functions"] = DescribeFunctions(*object);
  result["data"] = DescribeData(*object);
  result["records"] = DescribeRecords(*object);
  return result;
}

Json DescribePatch(const PatchModule& module) {
  Json units = Json::array();
  for (const PatchUnit& unit : module.units) {
    Json functions = Json::array();
    for (const PatchedFunction& function : unit.functions) {
      functions.push_back({{"name", function.name},
                           {"reason", ChangeReasonName(function.reason)},
                           {"detail", function.detail},
                           {"base_fingerprint", function.base_fingerprint}});
    }
    units.push_back({{"module", unit.module},
                     {"unit", unit.unit},
                     {"functions", functions},
                     {"new_functions", unit.new_functions},
                     {"new_data", unit.new_data},
                     {"references", unit.references.size()},
                     {"object_size", unit.object.size()}});
  }
  Json objects = Json::array();
  for (const ExplicitObject& object : module.objects) {
    objects.push_back(DescribeObject(object.name, object.bytes));
  }
  return {{"schema", 1},
          {"kind", "patch"},
          {"name", module.name},
          {"replace", module.replace},
          {"replace_set", module.replace_set},
          {"hold", module.hold},
          {"content_hash", module.content_hash},
          {"explicit", module.is_explicit()},
          {"units", units},
          {"objects", objects}};
}

absl::StatusOr<Json> Describe(const std::string& path, std::string_view file) {
  absl::StatusOr<std::string_view> image = FindProgramImage(file);
  const bool is_program = image.ok();
  if (!is_program) image = FindElfSection(file, kModuleSection);
  if (image.ok()) {
    const absl::StatusOr<std::vector<ProgramObject>> objects = ParseProgramImage(*image);
    if (!objects.ok()) return objects.status();
    Json list = Json::array();
    EmbeddedTotal embedded;
    for (const ProgramObject& object : *objects) {
      if (absl::Status counted = embedded.Add(object.bytes); !counted.ok()) return counted;
      if (object.name != kHeadersMember) list.push_back(DescribeObject(object.name, object.bytes));
    }
    return Json{
        {"schema", 1},
        {"kind", is_program ? "program" : "module"},
        {"embedded_sources",
         {{"count", embedded.count}, {"bytes", embedded.bytes}, {"stored", embedded.stored}}},
        {"objects", list}};
  }
  if (FindElfSection(file, kObjectSection).ok()) {
    return Json{{"schema", 1}, {"kind", "object"}, {"object", DescribeObject(path, file)}};
  }
  if (IsPatchModule(file)) {
    const absl::StatusOr<PatchModule> module = ParsePatchModule(file);
    if (!module.ok()) return module.status();
    return DescribePatch(*module);
  }
  return absl::InvalidArgumentError(
      "neither a program nor an object compiled by patchc nor a patch module");
}

size_t CountIf(const Json& list, const char* key) {
  size_t count = 0;
  for (const Json& element : list) count += element[key].get<bool>() ? 1 : 0;
  return count;
}

void PrintObjectSummary(const Json& object) {
  const std::string name = object["name"].get<std::string>();
  if (!object["described"].get<bool>()) {
    std::printf("%s: not compiled by patchc; hosted as it is, not patchable\n", name.c_str());
    return;
  }
  std::printf("%s: %s, %zu functions (%zu patchable), %zu data, %zu records, %zu sources%s\n",
              name.c_str(), object["source"].get<std::string>().c_str(), object["functions"].size(),
              CountIf(object["functions"], "patchable"), object["data"].size(),
              object["records"].size(), object["sources"].size(),
              object["embeds_sources"].get<bool>() ? "" : " (not embedded)");
}

void PrintObject(const Json& object) {
  PrintObjectSummary(object);
  if (!object["described"].get<bool>()) return;
  std::printf("  compiler   %s\n", object["compiler"].get<std::string>().c_str());
  std::printf("  directory  %s\n", object["directory"].get<std::string>().c_str());
  std::string arguments;
  for (const Json& argument : object["arguments"]) {
    arguments += " " + argument.get<std::string>();
  }
  std::printf("  arguments %s\n", arguments.c_str());
  for (const Json& function : object["functions"]) {
    std::printf("  function   %s (%s, %llu bytes%s)\n", function["name"].get<std::string>().c_str(),
                function["binding"].get<std::string>().c_str(),
                static_cast<unsigned long long>(function["size"].get<uint64_t>()),
                function["patchable"].get<bool>() ? "" : ", not patchable");
  }
  for (const Json& datum : object["data"]) {
    std::printf("  data       %s (%s, %llu bytes%s%s)\n", datum["name"].get<std::string>().c_str(),
                datum["binding"].get<std::string>().c_str(),
                static_cast<unsigned long long>(datum["size"].get<uint64_t>()),
                datum["constant"].get<bool>() ? ", constant" : "",
                datum["thread_local"].get<bool>() ? ", thread-local" : "");
  }
  for (const Json& record : object["records"]) {
    std::printf("  %-9s  %s (%llu bytes, %zu fields)\n", record["kind"].get<std::string>().c_str(),
                record["name"].get<std::string>().c_str(),
                static_cast<unsigned long long>(record["size"].get<uint64_t>()),
                record["fields"].size());
  }
}

void PrintPatch(const Json& patch) {
  std::printf("patch '%s', %s, content %s\n", patch["name"].get<std::string>().c_str(),
              patch["replace"].get<bool>() ? "cumulative" : "not cumulative",
              patch["content_hash"].get<std::string>().c_str());
  const std::string set = patch["replace_set"].get<std::string>();
  if (!set.empty()) std::printf("  of set %s\n", set.c_str());
  for (const Json& hold : patch["hold"]) {
    std::printf("  holds %s\n", hold.get<std::string>().c_str());
  }
  for (const Json& object : patch["objects"]) {
    std::printf("  links ");
    PrintObjectSummary(object);
  }
  for (const Json& unit : patch["units"]) {
    const std::string module = unit["module"].get<std::string>();
    std::printf("  unit %s%s\n", unit["unit"].get<std::string>().c_str(),
                module.empty() ? "" : absl::StrCat(" of module ", module).c_str());
    for (const Json& function : unit["functions"]) {
      std::printf("    replaces %s (%s%s%s)\n", function["name"].get<std::string>().c_str(),
                  function["reason"].get<std::string>().c_str(),
                  function["detail"].get<std::string>().empty() ? "" : ": ",
                  function["detail"].get<std::string>().c_str());
    }
    for (const Json& name : unit["new_functions"]) {
      std::printf("    adds function %s\n", name.get<std::string>().c_str());
    }
    for (const Json& name : unit["new_data"]) {
      std::printf("    adds data %s\n", name.get<std::string>().c_str());
    }
  }
}

void PrintText(const Json& description) {
  const std::string kind = description["kind"].get<std::string>();
  if (kind == "patch") return PrintPatch(description);
  if (kind == "object") return PrintObject(description["object"]);
  const Json& embedded = description["embedded_sources"];
  std::printf("%s of %zu objects; %zu sources embedded, %zu bytes in %zu\n",
              kind == "program" ? "program" : "guest module", description["objects"].size(),
              embedded["count"].get<size_t>(), embedded["bytes"].get<size_t>(),
              embedded["stored"].get<size_t>());
  for (const Json& object : description["objects"]) PrintObjectSummary(object);
}

int Fail(const std::string& message, bool json) {
  std::fprintf(stderr, "patchc: inspect: %s\n", message.c_str());
  if (json) PrintJson({{"schema", 1}, {"exit_code", kExitRefused}, {"message", message}});
  return kExitRefused;
}

}  // namespace

int RunInspect(const CommandArguments& arguments) {
  CLI::App app("Shows what a program, a guest module, an object or a patch module says of itself.",
               "patchc inspect");
  app.footer(kExamples);
  std::string path;
  bool json = false;
  app.add_option("FILE", path, "made by patchc")->required();
  app.add_flag("--json", json, "one JSON object, with all that there is");
  if (const int code = ParseArguments(app, arguments); code >= 0) return code;
  const absl::StatusOr<std::string> file = mend::ReadFile(path);
  if (!file.ok()) return Fail(std::string(file.status().message()), json);
  const absl::StatusOr<Json> description = Describe(path, *file);
  if (!description.ok()) {
    return Fail(absl::StrCat(path, ": ", description.status().message()), json);
  }
  if (json) {
    std::printf("%s\n", description->dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    PrintText(*description);
  }
  return kExitOk;
}

}  // namespace mend::patchc
