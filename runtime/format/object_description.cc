#include "runtime/format/object_description.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/format/byte_order.h"
#include "runtime/format/frame.h"
#include "runtime/format/json_fields.h"

namespace mend {
namespace {

constexpr char kObjectMagic[] = "MENDOBJT";
constexpr char kSourcesMagic[] = "MENDSRCS";
constexpr uint64_t kVersion = 3;
constexpr char kWhat[] = "object description";

// Source paths and type names are bytes, not text; what is no UTF-8 is replaced rather than
// refused.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <typename T>
Json ToJsonArray(const std::vector<T>& values, Json (*to_json)(const T&)) {
  Json array = Json::array();
  for (const T& value : values) array.push_back(to_json(value));
  return array;
}

Json SourceJson(const SourceDescription& source) {
  return {{"path", source.path}, {"hash", source.hash}, {"system", source.is_system}};
}
SourceDescription ReadSource(JsonFields& fields) {
  return {fields.String("path"), fields.String("hash"), fields.Bool("system")};
}

Binding ReadBinding(JsonFields& fields) {
  const uint64_t binding = fields.Number("binding");
  if (binding > static_cast<uint64_t>(Binding::kWeak)) fields.FailValue("binding");
  return static_cast<Binding>(binding);
}

Json FunctionJson(const FunctionDescription& function) {
  return {{"name", function.name},
          {"binding", static_cast<uint64_t>(function.binding)},
          {"size", function.size},
          {"patchable", function.patchable},
          {"fingerprint", function.fingerprint},
          {"ir", function.ir_hash},
          {"nounwind", function.nounwind},
          {"inlined", function.inlined}};
}
FunctionDescription ReadFunction(JsonFields& fields) {
  return {fields.String("name"),    ReadBinding(fields),          fields.Number("size"),
          fields.Bool("patchable"), fields.String("fingerprint"), fields.String("ir"),
          fields.Bool("nounwind"),  fields.Strings("inlined")};
}

Json DataJson(const DataDescription& data) {
  return {{"name", data.name},
          {"binding", static_cast<uint64_t>(data.binding)},
          {"size", data.size},
          {"constant", data.is_constant},
          {"thread_local", data.is_thread_local},
          {"fingerprint", data.fingerprint},
          {"type", data.type}};
}
DataDescription ReadData(JsonFields& fields) {
  return {fields.String("name"),   ReadBinding(fields),         fields.Number("size"),
          fields.Bool("constant"), fields.Bool("thread_local"), fields.String("fingerprint"),
          fields.String("type")};
}

Json FieldJson(const FieldDescription& field) {
  return {{"name", field.name},
          {"type", field.type},
          {"offset_bits", field.offset_bits},
          {"size_bits", field.size_bits}};
}
FieldDescription ReadField(JsonFields& fields) {
  return {fields.String("name"), fields.String("type"), fields.Number("offset_bits"),
          fields.Number("size_bits")};
}

Json RecordJson(const RecordDescription& record) {
  return {{"name", record.name},
          {"kind", record.kind},
          {"size", record.size_bytes},
          {"alignment", record.alignment_bytes},
          {"fields", ToJsonArray(record.fields, FieldJson)},
          {"vtable", record.vtable}};
}
RecordDescription ReadRecord(JsonFields& fields) {
  return {fields.String("name"),
          fields.String("kind"),
          fields.Number("size"),
          fields.Number("alignment"),
          fields.Objects<FieldDescription>("fields", ReadField),
          fields.Strings("vtable")};
}

}  // namespace

std::string SerializeObjectDescription(const ObjectDescription& description) {
  const Json json = {{"version", kVersion},
                     {"compiler", description.compiler},
                     {"directory", description.directory},
                     {"source", description.source},
                     {"output", description.output},
                     {"arguments", description.arguments},
                     {"language", description.language},
                     {"sources", ToJsonArray(description.sources, SourceJson)},
                     {"functions", ToJsonArray(description.functions, FunctionJson)},
                     {"data", ToJsonArray(description.data, DataJson)},
                     {"records", ToJsonArray(description.records, RecordJson)},
                     {"inputs", description.input_hashes}};
  return WrapFrame(kObjectMagic, Dump(json));
}

absl::StatusOr<ObjectDescription> ParseObjectDescription(std::string_view section) {
  const absl::StatusOr<std::string> text = UnwrapFrame(kObjectMagic, section);
  if (!text.ok()) return text.status();
  const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  absl::Status status;
  JsonFields fields(json, kWhat, &status);
  if (status.ok() && fields.Number("version") != kVersion) fields.FailValue("version");
  ObjectDescription description{
      .compiler = fields.String("compiler"),
      .directory = fields.String("directory"),
      .source = fields.String("source"),
      .output = fields.String("output"),
      .arguments = fields.Strings("arguments"),
      .language = fields.String("language"),
      .sources = fields.Objects<SourceDescription>("sources", ReadSource),
      .functions = fields.Objects<FunctionDescription>("functions", ReadFunction),
      .data = fields.Objects<DataDescription>("data", ReadData),
      .records = fields.Objects<RecordDescription>("records", ReadRecord),
      .input_hashes = fields.StringMap("inputs")};
  if (!status.ok()) return status;
  return description;
}

std::string SerializeSources(const std::vector<SourceText>& sources) {
  // Sizes and bytes, not JSON: sources may hold any bytes.
  std::string bytes(8, '\0');
  WriteLittleEndian64(bytes, 0, sources.size());
  for (const SourceText& source : sources) {
    for (const std::string* part : {&source.path, &source.contents}) {
      const size_t at = bytes.size();
      bytes.resize(at + 8);
      WriteLittleEndian64(bytes, at, part->size());
      bytes += *part;
    }
  }
  return WrapFrame(kSourcesMagic, bytes);
}

absl::StatusOr<std::vector<SourceText>> ParseSources(std::string_view section) {
  const absl::StatusOr<std::string> bytes = UnwrapFrame(kSourcesMagic, section);
  if (!bytes.ok()) return bytes.status();
  std::string_view rest = *bytes;
  const auto damaged = [] { return absl::InvalidArgumentError("embedded sources are damaged"); };
  if (rest.size() < 8) return damaged();
  const uint64_t count = ReadLittleEndian64(rest, 0);
  rest.remove_prefix(8);
  std::vector<SourceText> sources;
  for (uint64_t i = 0; i < count; ++i) {
    SourceText source;
    for (std::string* part : {&source.path, &source.contents}) {
      if (rest.size() < 8) return damaged();
      const uint64_t size = ReadLittleEndian64(rest, 0);
      rest.remove_prefix(8);
      if (size > rest.size()) return damaged();
      part->assign(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    sources.push_back(std::move(source));
  }
  return sources;
}

}  // namespace mend
