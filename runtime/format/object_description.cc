#include "runtime/format/object_description.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/format/byte_order.h"
#include "runtime/format/common_text.h"
#include "runtime/format/frame.h"
#include "runtime/format/json_fields.h"
#include "runtime/format/packed_fields.h"
#include "runtime/format/program_image.h"

namespace mend {
namespace {

constexpr char kObjectMagic[] = "MENDOBJT";
constexpr char kSourcesMagic[] = "MENDSRCS";
constexpr uint64_t kVersion = 8;

// Names that reach people and patch modules are text. Source paths and type names may be any bytes:
// what is no UTF-8 is replaced rather than refused.
std::string Valid(const std::string& text) {
  const bool is_ascii = std::all_of(text.begin(), text.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (is_ascii) return text;
  const Json json = text;
  return Json::parse(json.dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

// Of a member, what its type decides, if it is no bit-field.
struct TypeFacts {
  std::string meaning;
  uint64_t size_bits = 0;
  bool operator==(const TypeFacts& other) const = default;
};

class Writer : public PackedWriter {
 public:
  void Text(const std::string& text) { PackedWriter::Text(Valid(text)); }
  void Texts(const std::vector<std::string>& texts) {
    Each(texts, [this](const std::string& text) { Text(text); });
  }
  // A text that tends to come again: its number then.
  void Repeated(const std::string& text) {
    const auto [at, is_new] = repeated_.try_emplace(text, repeated_.size());
    Number(at->second);
    if (is_new) Text(text);
  }
  template <typename Things, typename Write>
  void Each(const Things& things, Write write) {
    Number(things.size());
    for (const auto& thing : things) write(thing);
  }

  void Source(const SourceDescription& source) {
    Text(source.path);
    Hash(source.hash);
    Bool(source.is_system);
    Bool(!source.real_path.empty());
    if (!source.real_path.empty()) Text(source.real_path);
  }
  void Function(const FunctionDescription& function) {
    Text(function.name);
    Number(static_cast<uint64_t>(function.binding));
    Number(function.size);
    Bool(function.patchable);
    Hash(function.fingerprint);
    Hash(function.ir_hash);
    Bool(function.nounwind);
    Texts(function.inlined);
  }
  void Data(const DataDescription& data) {
    Text(data.name);
    Number(static_cast<uint64_t>(data.binding));
    Number(data.size);
    Bool(data.is_constant);
    Bool(data.is_thread_local);
    Hash(data.fingerprint);
    Text(data.type);
  }
  void Field(const FieldDescription& field) {
    Text(field.name);
    Repeated(field.type);
    // Nearly always as where the type was written like this before.
    const TypeFacts facts{field.meaning, field.size_bits};
    TypeFacts& before = types_[field.type];
    Bool(facts == before);
    if (facts != before) {
      Repeated(facts.meaning);
      Number(facts.size_bits);
      before = facts;
    }
    // Nearly always where the one before ends.
    const uint64_t gap = field.offset_bits - field_end_bits_;
    Number(gap << 1 ^ (gap >> 63 == 0 ? 0 : ~uint64_t{0}));
    field_end_bits_ = field.offset_bits + field.size_bits;
  }
  void Record(const RecordDescription& record) {
    Text(record.name);
    Text(record.kind);
    Number(record.size_bytes);
    Number(record.alignment_bytes);
    field_end_bits_ = 0;
    Each(record.fields, [this](const FieldDescription& field) { Field(field); });
    Texts(record.vtable);
    Text(record.initializer);
  }

 private:
  std::unordered_map<std::string, size_t> repeated_;
  std::unordered_map<std::string, TypeFacts> types_;
  uint64_t field_end_bits_ = 0;
};

// In the order of Writer's fields: an initialiser list is evaluated from left to right.
class Reader : public PackedReader {
 public:
  using PackedReader::PackedReader;

  template <typename T>
  std::vector<T> Each(T (Reader::*read)()) {
    std::vector<T> things;
    const size_t count = Count();
    things.reserve(count);
    for (size_t i = 0; i < count; ++i) things.push_back((this->*read)());
    return things;
  }

  std::string Repeated() {
    const uint64_t number = Number();
    if (number == repeated_.size()) repeated_.push_back(Text());
    if (number < repeated_.size()) return repeated_[number];
    Fail("is damaged");
    return "";
  }
  Binding ReadBinding() {
    const uint64_t binding = Number();
    if (binding > static_cast<uint64_t>(Binding::kWeak)) Fail("is damaged");
    return static_cast<Binding>(binding);
  }
  SourceDescription Source() { return {Text(), Hash(), Bool(), Bool() ? Text() : std::string()}; }
  FunctionDescription Function() {
    return {Text(), ReadBinding(), Number(), Bool(), Hash(), Hash(), Bool(), Texts()};
  }
  DataDescription Data() {
    return {Text(), ReadBinding(), Number(), Bool(), Bool(), Hash(), Text()};
  }
  FieldDescription Field() {
    FieldDescription field{.name = Text(), .type = Repeated()};
    TypeFacts& facts = types_[field.type];
    if (!Bool()) facts = {Repeated(), Number()};
    field.meaning = facts.meaning;
    field.size_bits = facts.size_bits;
    const uint64_t gap = Number();
    field.offset_bits = field_end_bits_ + (gap >> 1 ^ ((gap & 1) == 0 ? 0 : ~uint64_t{0}));
    field_end_bits_ = field.offset_bits + field.size_bits;
    return field;
  }
  RecordDescription Record() {
    field_end_bits_ = 0;
    return {Text(), Text(), Number(), Number(), Each(&Reader::Field), Texts(), Text()};
  }

 private:
  std::vector<std::string> repeated_;
  std::unordered_map<std::string, TypeFacts> types_;
  uint64_t field_end_bits_ = 0;
};

// What sources may repeat.
std::string HintFrom(std::string_view description) {
  std::string hint(kCommonText);
  const absl::StatusOr<std::string> bytes = UnwrapFrame(kObjectMagic, description, kCommonText);
  if (bytes.ok()) hint += *bytes;
  return hint;
}

}  // namespace

std::string SerializeObjectDescription(const ObjectDescription& description) {
  Writer writer;
  writer.Text(description.compiler);
  writer.Text(description.directory);
  writer.Text(description.source);
  writer.Text(description.output);
  writer.Texts(description.arguments);
  writer.Text(description.language);
  writer.Number(description.source_date_s);
  writer.Each(description.sources, [&](const auto& source) { writer.Source(source); });
  writer.Each(description.functions, [&](const auto& function) { writer.Function(function); });
  writer.Each(description.data, [&](const auto& data) { writer.Data(data); });
  writer.Each(description.records, [&](const auto& record) { writer.Record(record); });
  writer.Each(description.variables, [&](const auto& variable) { writer.Record(variable); });
  writer.Each(description.input_hashes, [&](const auto& input) {
    writer.Text(input.first);
    writer.Hash(input.second);
  });
  return WrapFrameOfParts(kObjectMagic, writer.Finish(kVersion), kFrameLevelSmall, kCommonText);
}

absl::StatusOr<ObjectDescription> ParseObjectDescription(std::string_view section) {
  const absl::StatusOr<std::string> bytes = UnwrapFrame(kObjectMagic, section, kCommonText);
  if (!bytes.ok()) return bytes.status();
  absl::Status status;
  Reader reader(*bytes, "the object's description", kVersion, &status);
  ObjectDescription description{.compiler = reader.Text(),
                                .directory = reader.Text(),
                                .source = reader.Text(),
                                .output = reader.Text(),
                                .arguments = reader.Texts(),
                                .language = reader.Text(),
                                .source_date_s = reader.Number(),
                                .sources = reader.Each(&Reader::Source),
                                .functions = reader.Each(&Reader::Function),
                                .data = reader.Each(&Reader::Data),
                                .records = reader.Each(&Reader::Record),
                                .variables = reader.Each(&Reader::Record),
                                .input_hashes = {}};
  const size_t inputs = reader.Count();
  for (size_t i = 0; i < inputs; ++i) {
    std::string name = reader.Text();
    description.input_hashes[std::move(name)] = reader.Hash();
  }
  reader.End();
  if (!status.ok()) return status;
  return description;
}

std::string SerializeSources(const std::vector<SourceText>& sources, std::string_view description) {
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
  return WrapFrameOfParts(kSourcesMagic, {bytes}, kFrameLevelSmall, HintFrom(description));
}

absl::StatusOr<std::vector<SourceText>> ParseSources(std::string_view section,
                                                     std::string_view description) {
  const absl::StatusOr<std::string> bytes =
      UnwrapFrame(kSourcesMagic, section, HintFrom(description));
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

absl::StatusOr<std::vector<SourceText>> SourcesIn(std::string_view object) {
  const absl::StatusOr<std::string_view> section = FindElfSection(object, kSourcesSection);
  if (!section.ok() || section->empty()) return std::vector<SourceText>();
  const absl::StatusOr<std::string_view> description = FindElfSection(object, kObjectSection);
  return ParseSources(*section, description.ok() ? *description : std::string_view());
}

}  // namespace mend
