#include "mend/needed_modules.h"

#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "runtime/format/program_image.h"

namespace mend {
namespace {

// The text that the entry of that kind leads to; "" without one.
std::string TextOf(const std::vector<DynamicEntry>& entries, std::string_view texts, int64_t tag) {
  for (const DynamicEntry& entry : entries) {
    if (entry.tag != tag || entry.value >= texts.size()) continue;
    const std::string_view text = texts.substr(entry.value);
    return std::string(text.substr(0, text.find('\0')));
  }
  return {};
}

bool BindsNow(const DynamicEntry& entry) {
  return entry.tag == DT_BIND_NOW || (entry.tag == DT_FLAGS && (entry.value & DF_BIND_NOW) != 0) ||
         (entry.tag == DT_FLAGS_1 && (entry.value & DF_1_NOW) != 0);
}

bool Stays(const DynamicEntry& entry) {
  return entry.tag == DT_FLAGS_1 && (entry.value & DF_1_NODELETE) != 0;
}

}  // namespace

NeededModules ReadNeededModules(const std::string& path, std::string_view file) {
  NeededModules needed;
  const std::vector<DynamicEntry> entries = DynamicEntries(file);
  needed.binds_now = std::any_of(entries.begin(), entries.end(), BindsNow);
  needed.stays = std::any_of(entries.begin(), entries.end(), Stays);
  const absl::StatusOr<std::string_view> section = FindElfSection(file, kLinkedSection);
  if (!section.ok()) return needed;
  // Name and path of each; the path is where the linker found it.
  const std::vector<std::string> linked = NamesInSection(*section);
  for (size_t i = 0; i < linked.size(); i += 2) needed.names.push_back(linked[i]);
  const std::string_view texts = FindElfSection(file, ".dynstr").value_or("");
  std::string folders = TextOf(entries, texts, DT_RUNPATH);
  if (folders.empty()) folders = TextOf(entries, texts, DT_RPATH);
  const std::string origin = std::filesystem::path(path).parent_path().string();
  folders = absl::StrReplaceAll(folders, {{"$ORIGIN", origin}, {"${ORIGIN}", origin}});
  needed.folders = absl::StrSplit(folders, ':', absl::SkipEmpty());
  return needed;
}

}  // namespace mend
