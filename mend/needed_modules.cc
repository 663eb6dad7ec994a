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

// The text that the dynamic section's entry of that kind leads to; "" without one.
std::string DynamicText(std::string_view file, int64_t tag) {
  const absl::StatusOr<std::string_view> texts = FindElfSection(file, ".dynstr");
  if (!texts.ok()) return {};
  for (const DynamicEntry& entry : DynamicEntries(file)) {
    if (entry.tag != tag || entry.value >= texts->size()) continue;
    const std::string_view text = texts->substr(entry.value);
    return std::string(text.substr(0, text.find('\0')));
  }
  return {};
}

bool BindsNow(std::string_view file) {
  const std::vector<DynamicEntry> entries = DynamicEntries(file);
  return std::any_of(entries.begin(), entries.end(), [](const DynamicEntry& entry) {
    return entry.tag == DT_BIND_NOW ||
           (entry.tag == DT_FLAGS && (entry.value & DF_BIND_NOW) != 0) ||
           (entry.tag == DT_FLAGS_1 && (entry.value & DF_1_NOW) != 0);
  });
}

bool Stays(std::string_view file) {
  const std::vector<DynamicEntry> entries = DynamicEntries(file);
  return std::any_of(entries.begin(), entries.end(), [](const DynamicEntry& entry) {
    return entry.tag == DT_FLAGS_1 && (entry.value & DF_1_NODELETE) != 0;
  });
}

}  // namespace

NeededModules ReadNeededModules(const std::string& path, std::string_view file) {
  NeededModules needed;
  needed.binds_now = BindsNow(file);
  needed.stays = Stays(file);
  const absl::StatusOr<std::string_view> section = FindElfSection(file, kLinkedSection);
  if (!section.ok()) return needed;
  // Name and path of each; the path is where the linker found it.
  const std::vector<std::string> linked = NamesInSection(*section);
  for (size_t i = 0; i < linked.size(); i += 2) needed.names.push_back(linked[i]);
  std::string folders = DynamicText(file, DT_RUNPATH);
  if (folders.empty()) folders = DynamicText(file, DT_RPATH);
  const std::string origin = std::filesystem::path(path).parent_path().string();
  folders = absl::StrReplaceAll(folders, {{"$ORIGIN", origin}, {"${ORIGIN}", origin}});
  needed.folders = absl::StrSplit(folders, ':', absl::SkipEmpty());
  return needed;
}

}  // namespace mend
