#include "patchc/object/frame_index.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "llvm/BinaryFormat/Dwarf.h"

namespace mend::patchc {
namespace {

absl::Status Malformed(const char* what) {
  return absl::InvalidArgumentError(absl::StrCat("damaged .eh_frame: ", what));
}

uint32_t ReadWord(std::string_view bytes, uint64_t at) {
  uint32_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Skips a LEB128 number.
bool SkipLeb(std::string_view bytes, size_t& at) {
  while (at < bytes.size()) {
    if ((bytes[at++] & 0x80) == 0) return true;
  }
  return false;
}

// Bytes of a pointer in the given DW_EH_PE encoding; 0 for what compilers do not emit here.
uint64_t PointerSize(uint8_t encoding) {
  switch (encoding & 0x0f) {
    case llvm::dwarf::DW_EH_PE_absptr:
    case llvm::dwarf::DW_EH_PE_udata8:
    case llvm::dwarf::DW_EH_PE_sdata8:
      return 8;
    case llvm::dwarf::DW_EH_PE_udata4:
    case llvm::dwarf::DW_EH_PE_sdata4:
      return 4;
    default:
      return 0;
  }
}

// The size of pc_begin and pc_range in FDEs of this CIE (its bytes after the id); 0 when unknown.
uint64_t FramePointerSize(std::string_view cie) {
  const size_t end_of_name = cie.find('\0', 1);
  if (cie.empty() || end_of_name == std::string_view::npos) return 0;
  const std::string_view name = cie.substr(1, end_of_name - 1);
  if (name.empty()) return 8;
  if (name.front() != 'z') return 0;
  size_t at = end_of_name + 1;
  // Code alignment, data alignment, return address register, size of the augmentation.
  for (int i = 0; i < 4; ++i) {
    if (!SkipLeb(cie, at)) return 0;
  }
  for (const char letter : name.substr(1)) {
    if (at >= cie.size()) return 0;
    const uint8_t encoding = static_cast<uint8_t>(cie[at]);
    if (letter == 'R') return PointerSize(encoding);
    if (letter == 'L') at += 1;
    if (letter == 'P') at += 1 + PointerSize(encoding);
  }
  return 8;
}

std::vector<ViewRelocation>::const_iterator FirstRelocation(const ViewSection& section,
                                                            uint64_t offset) {
  return std::lower_bound(
      section.relocations.begin(), section.relocations.end(), offset,
      [](const ViewRelocation& relocation, uint64_t at) { return relocation.offset < at; });
}

}  // namespace

absl::StatusOr<FrameIndex> FrameIndex::Build(const ObjectView& view) {
  FrameIndex index;
  for (uint32_t i = 0; i < view.sections().size(); ++i) {
    const ViewSection& section = view.sections()[i];
    if (absl::StartsWith(section.name, ".gcc_except_table")) {
      index.table_section_sizes_[i] = section.size;
    }
    if (section.name != ".eh_frame") continue;
    if (absl::Status added = index.AddSection(view, i); !added.ok()) return added;
  }
  return index;
}

absl::Status FrameIndex::AddSection(const ObjectView& view, uint32_t index) {
  const ViewSection& section = view.sections()[index];
  const std::string_view bytes = section.contents;
  std::map<uint64_t, FrameRange> commons;
  for (uint64_t at = 0; at + 4 <= bytes.size();) {
    const uint64_t length = ReadWord(bytes, at);
    if (length == 0) break;
    if (length < 4 || length > bytes.size() - at - 4) return Malformed("an entry is cut off");
    const uint64_t end = at + 4 + length;
    const uint64_t id_at = at + 4;
    const uint32_t id = ReadWord(bytes, id_at);
    if (id == 0) {
      commons[at] = {id_at + 4, end};
      at = end;
      continue;
    }
    const auto common = commons.find(id_at - id);
    if (common == commons.end()) return Malformed("an entry without its common part");
    const FrameRange range = common->second;
    const uint64_t pointer = FramePointerSize(bytes.substr(range.begin, range.end - range.begin));
    const uint64_t rules_at = id_at + 4 + 2 * pointer;
    if (pointer == 0 || rules_at > end) return Malformed("an entry of unknown form");
    FrameEntry entry{index, range, {rules_at, end}};
    uint64_t rules_end_min = rules_at;
    for (auto it = FirstRelocation(section, rules_at);
         it != section.relocations.end() && it->offset < end; ++it) {
      rules_end_min = std::min(it->offset + pointer, end);
      const ViewSymbol& symbol = view.symbols()[it->symbol];
      if (absl::StartsWith(view.sections()[symbol.section].name, ".gcc_except_table")) {
        tables_.insert({symbol.section, symbol.value + static_cast<uint64_t>(it->addend)});
      }
    }
    // Padding with no-ops depends on nothing but alignment.
    while (entry.rules.end > rules_end_min && bytes[entry.rules.end - 1] == '\0') {
      --entry.rules.end;
    }
    const auto begin = FirstRelocation(section, id_at + 4);
    if (begin != section.relocations.end() && begin->offset == id_at + 4) {
      const ViewSymbol& symbol = view.symbols()[begin->symbol];
      entries_[{symbol.section, symbol.value + static_cast<uint64_t>(begin->addend)}] = entry;
    }
    at = end;
  }
  return absl::OkStatus();
}

const FrameEntry* FrameIndex::Find(uint32_t section, uint64_t offset) const {
  const auto found = entries_.find({section, offset});
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<FrameRange> FrameIndex::ExceptionTable(uint32_t section, int64_t offset) const {
  const auto size = table_section_sizes_.find(section);
  if (offset < 0 || size == table_section_sizes_.end()) return std::nullopt;
  const auto found = tables_.find({section, static_cast<uint64_t>(offset)});
  if (found == tables_.end() || found->second > size->second) return std::nullopt;
  const auto next = std::next(found);
  const bool shared = next != tables_.end() && next->first == section;
  return FrameRange{found->second, shared ? next->second : size->second};
}

}  // namespace mend::patchc
