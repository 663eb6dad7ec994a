#include "patchc/link/header_sources.h"

#include <elf.h>
#include <llvm/Support/FileSystem.h>
#include <llvm/Support/MemoryBuffer.h>

#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "patchc/object/fingerprint.h"
#include "patchc/object/object_writer.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {
namespace {

absl::Status InObject(const ProgramObject& object, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(std::string(object.name), ": ", status.message()));
}

std::optional<std::string> ReadFile(const std::string& path) {
  // A pipe would have to be written to again.
  if (!llvm::sys::fs::is_regular_file(path)) return std::nullopt;
  auto file = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                          /*RequiresNullTerminator=*/false);
  if (!file) return std::nullopt;
  return (*file)->getBuffer().str();
}

class Collector {
 public:
  absl::Status Add(const ProgramObject& object) {
    // An object whose source is no file has the section, empty of texts, and headers to look for.
    const absl::StatusOr<std::string_view> section = FindElfSection(object.bytes, kSourcesSection);
    if (!section.ok() || section->empty()) return absl::OkStatus();
    const absl::StatusOr<std::vector<SourceText>> carried = SourcesIn(object.bytes);
    if (!carried.ok()) return InObject(object, carried.status());
    if (object.name == kHeadersMember) {
      for (const SourceText& source : *carried) known_.insert(HashHex(source.contents));
      return absl::OkStatus();
    }
    const absl::StatusOr<std::string_view> described = FindElfSection(object.bytes, kObjectSection);
    if (!described.ok()) return absl::OkStatus();
    const absl::StatusOr<ObjectDescription> description = ParseObjectDescription(*described);
    if (!description.ok()) return InObject(object, description.status());
    std::set<std::string_view> own;
    for (const SourceText& source : *carried) own.insert(source.path);
    for (const SourceDescription& source : description->sources) {
      if (source.is_system || own.contains(source.path)) continue;
      wanted_.try_emplace({source.path, source.hash}, description->source);
    }
    return absl::OkStatus();
  }

  HeaderSources Collect() {
    HeaderSources headers;
    std::vector<SourceText> texts;
    for (const auto& [header, unit] : wanted_) {
      const auto& [path, hash] = header;
      // Those of equal contents are one.
      if (known_.contains(hash)) continue;
      std::optional<std::string> contents = ReadFile(path);
      if (!contents || HashHex(*contents) != hash) {
        headers.missing.push_back({path, unit, !contents});
        continue;
      }
      known_.insert(hash);
      texts.push_back({path, *std::move(contents)});
    }
    if (texts.empty()) return headers;
    const std::string section = SerializeSources(texts);
    // Appending to that object cannot fail.
    headers.object = *AppendSections(EmptyObject(), {{kSourcesSection, section, SHF_EXCLUDE, 1}});
    return headers;
  }

 private:
  std::set<std::string> known_;  // hashes
  // By path and hash: a unit that was compiled from it.
  std::map<std::pair<std::string, std::string>, std::string> wanted_;
};

}  // namespace

absl::StatusOr<HeaderSources> CollectHeaders(const std::vector<ProgramObject>& objects) {
  Collector collector;
  for (const ProgramObject& object : objects) {
    if (absl::Status added = collector.Add(object); !added.ok()) return added;
  }
  return collector.Collect();
}

absl::Status EmbeddedTotal::Add(std::string_view object) {
  const absl::StatusOr<std::vector<SourceText>> texts = SourcesIn(object);
  if (!texts.ok()) return texts.status();
  const absl::StatusOr<std::string_view> section = FindElfSection(object, kSourcesSection);
  if (section.ok()) stored += section->size();
  count += texts->size();
  for (const SourceText& text : *texts) bytes += text.contents.size();
  return absl::OkStatus();
}

}  // namespace mend::patchc
