#include "runtime/format/patch_module.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "runtime/format/byte_order.h"
#include "runtime/format/frame.h"
#include "runtime/format/json_fields.h"

namespace mend {
namespace {

// A patch module is a frame of two parts: the size of the JSON header, the header, the objects.
constexpr char kMagic[] = "MENDPTCH";
constexpr uint64_t kVersion = 5;
constexpr char kWhat[] = "patch module";
constexpr uint64_t kPositionMax = 1'000'000;

// FNV-1a, 128 bits: names equal modules; it guards against accidents, not against an attacker
// (who may send any module anyway).
std::string ContentHash(std::string_view bytes) {
  __extension__ using Word = unsigned __int128;
  constexpr Word kPrime = (Word{1} << 88) + 0x13b;
  Word hash = (Word{0x6c62272e07bb0142ULL} << 64) | 0x62b821756295c58dULL;
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * kPrime;
  }
  return absl::StrFormat("%016x%016x", static_cast<uint64_t>(hash >> 64),
                         static_cast<uint64_t>(hash));
}

Binding ReadBinding(JsonFields& fields) {
  const uint64_t binding = fields.Number("binding");
  if (binding > static_cast<uint64_t>(Binding::kWeak)) fields.FailValue("binding");
  return static_cast<Binding>(binding);
}

template <typename T>
Json ToJsonArray(const std::vector<T>& values, Json (*to_json)(const T&)) {
  Json array = Json::array();
  for (const T& value : values) array.push_back(to_json(value));
  return array;
}

Json FunctionJson(const PatchedFunction& function) {
  return {{"name", function.name},         {"binding", static_cast<uint64_t>(function.binding)},
          {"position", function.position}, {"reason", static_cast<uint64_t>(function.reason)},
          {"detail", function.detail},     {"base", function.base_fingerprint}};
}
PatchedFunction ReadFunction(JsonFields& fields) {
  PatchedFunction function;
  function.name = fields.String("name");
  function.binding = ReadBinding(fields);
  const uint64_t position = fields.Number("position");
  if (position == 0 || position > kPositionMax) fields.FailValue("position");
  function.position = static_cast<unsigned>(position);
  const uint64_t reason = fields.Number("reason");
  if (reason > static_cast<uint64_t>(ChangeReason::kReadsConstant)) fields.FailValue("reason");
  function.reason = static_cast<ChangeReason>(reason);
  function.detail = fields.String("detail");
  function.base_fingerprint = fields.String("base");
  return function;
}

Json ReferenceJson(const DataReference& reference) {
  return {{"name", reference.name},
          {"binding", static_cast<uint64_t>(reference.binding)},
          {"size", reference.size},
          {"base", reference.base_fingerprint}};
}
DataReference ReadReference(JsonFields& fields) {
  return {fields.String("name"), ReadBinding(fields), fields.Number("size"), fields.String("base")};
}

Json TypeJson(const AddedType& type) {
  return {{"name", type.name},
          {"layout", type.layout},
          {"refusal", type.refusal},
          {"allowed", type.is_allowed}};
}
AddedType ReadType(JsonFields& fields) {
  return {fields.String("name"), fields.String("layout"), fields.String("refusal"),
          fields.Bool("allowed")};
}

Json UnitJson(const PatchUnit& unit) {
  return {{"module", unit.module},
          {"unit", unit.unit},
          {"functions", ToJsonArray(unit.functions, FunctionJson)},
          {"new_functions", unit.new_functions},
          {"new_data", unit.new_data},
          {"references", ToJsonArray(unit.references, ReferenceJson)},
          {"types", ToJsonArray(unit.types, TypeJson)},
          {"object_size", unit.object.size()}};
}
struct UnitHeader {
  PatchUnit unit;
  uint64_t object_size = 0;
};
UnitHeader ReadUnit(JsonFields& fields) {
  return {{.module = fields.String("module"),
           .unit = fields.String("unit"),
           .functions = fields.Objects<PatchedFunction>("functions", ReadFunction),
           .new_functions = fields.Strings("new_functions"),
           .new_data = fields.Strings("new_data"),
           .references = fields.Objects<DataReference>("references", ReadReference),
           .types = fields.Objects<AddedType>("types", ReadType),
           .object = {}},
          fields.Number("object_size")};
}

Json ObjectJson(const ExplicitObject& object) {
  return {{"name", object.name}, {"size", object.bytes.size()}};
}
struct ObjectHeader {
  ExplicitObject object;
  uint64_t size = 0;
};
ObjectHeader ReadObject(JsonFields& fields) {
  return {{.name = fields.String("name"), .bytes = {}}, fields.Number("size")};
}

// Takes `size` bytes from the front of `rest`; false when there are not so many.
bool TakeBytes(std::string_view& rest, uint64_t size, std::string& bytes) {
  if (size > rest.size()) return false;
  bytes.assign(rest.substr(0, size));
  rest.remove_prefix(size);
  return true;
}

}  // namespace

const char* ChangeReasonName(ChangeReason reason) {
  switch (reason) {
    case ChangeReason::kChanged:
      return "changed";
    case ChangeReason::kInlines:
      return "inlines";
    case ChangeReason::kReadsConstant:
      return "reads-constant";
  }
  return "unknown";
}

std::string SerializePatchModule(PatchModule& module) {
  const Json header = {{"version", kVersion},
                       {"name", module.name},
                       {"replace", module.replace},
                       {"replace_set", module.replace_set},
                       {"hold", module.hold},
                       {"changed_layouts", module.changed_layouts},
                       {"units", ToJsonArray(module.units, UnitJson)},
                       {"objects", ToJsonArray(module.objects, ObjectJson)}};
  const std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string contents(8, '\0');
  WriteLittleEndian64(contents, 0, text.size());
  contents += text;
  for (const PatchUnit& unit : module.units) contents += unit.object;
  for (const ExplicitObject& object : module.objects) contents += object.bytes;
  module.content_hash = ContentHash(contents);
  return WrapFrame(kMagic, contents);
}

bool IsPatchModule(std::string_view file) { return file.starts_with(kMagic); }

absl::StatusOr<PatchModule> ParsePatchModule(std::string_view file) {
  const absl::StatusOr<std::string> contents = UnwrapFrame(kMagic, file);
  if (!contents.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("MEND-E0141: not a usable patch module: ", contents.status().message()));
  }
  const auto cut_off = [] { return absl::InvalidArgumentError("patch module: cut off"); };
  std::string_view rest = *contents;
  if (rest.size() < 8) return cut_off();
  const uint64_t header_size = ReadLittleEndian64(rest, 0);
  rest.remove_prefix(8);
  if (header_size > rest.size()) return cut_off();

  const Json json = Json::parse(rest.substr(0, header_size), nullptr, /*allow_exceptions=*/false);
  rest.remove_prefix(header_size);
  absl::Status status;
  JsonFields fields(json, kWhat, &status);
  if (status.ok() && fields.Number("version") != kVersion) fields.FailValue("version");
  PatchModule module{.name = fields.String("name"),
                     .replace = fields.Bool("replace"),
                     .replace_set = fields.String("replace_set"),
                     .hold = fields.Strings("hold"),
                     .changed_layouts = fields.Strings("changed_layouts"),
                     .units = {},
                     .objects = {},
                     .content_hash = ContentHash(*contents)};
  std::vector<UnitHeader> units = fields.Objects<UnitHeader>("units", ReadUnit);
  std::vector<ObjectHeader> objects = fields.Objects<ObjectHeader>("objects", ReadObject);
  // A patch of both kinds would have two ideas of what it replaces.
  if (status.ok() && !units.empty() && !objects.empty()) fields.FailValue("objects");
  if (!status.ok()) return status;
  for (UnitHeader& header : units) {
    if (!TakeBytes(rest, header.object_size, header.unit.object)) return cut_off();
    module.units.push_back(std::move(header.unit));
  }
  for (ObjectHeader& header : objects) {
    if (!TakeBytes(rest, header.size, header.object.bytes)) return cut_off();
    module.objects.push_back(std::move(header.object));
  }
  if (!rest.empty()) return absl::InvalidArgumentError("patch module: bytes left over");
  return module;
}

}  // namespace mend
