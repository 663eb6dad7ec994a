#include "jit/unwind/unwind_rows.h"

#include <string.h>

#include <algorithm>
#include <optional>

#include "jit/link/graph_editor.h"
#include "jit/link/scratch_memory.h"
#include "jit/link/unwind_records.h"
#include "jit/unwind/fde_cache.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Allocator.h"
#include "runtime/base/mutex.h"
#include "runtime/format/stack_switch_names.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::LinkGraph;
using llvm::jitlink::Section;
using llvm::jitlink::Symbol;

// Names that stay as long as the process: what dladdr has handed out may be kept by anybody. The
// same patch loaded again brings no new ones.
class NamePool {
 public:
  const char* Intern(llvm::StringRef name) {
    const MutexLock lock(&mu_);
    return InternLocked(name);
  }
  // Each function's name, by its address.
  llvm::DenseMap<uintptr_t, const char*> Intern(
      const llvm::DenseMap<uintptr_t, const Symbol*>& symbols) {
    llvm::DenseMap<uintptr_t, const char*> names(symbols.size());
    const MutexLock lock(&mu_);
    for (const auto& [address, symbol] : symbols) names[address] = InternLocked(*symbol->getName());
    return names;
  }

 private:
  const char* InternLocked(llvm::StringRef name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const OutsideScratch outside;
    return names_.insert(name).first->getKeyData();
  }

  Mutex mu_;
  llvm::StringSet<llvm::BumpPtrAllocator> names_ ABSL_GUARDED_BY(mu_);
};

NamePool& Names() {
  static NamePool& pool = *new NamePool;
  return pool;
}

constexpr char kStubSection[] = "$__STUBS";

// DWARF pointer encodings (the low four bits): LSB, "Core generic", 10.5.1.
constexpr uint8_t kAbsolute = 0x00, kData8 = 0x04, kSigned8 = 0x0c;  // others are 4 bytes wide
constexpr size_t kCieIdOffset = 4;                                   // after the length
constexpr size_t kFdeStart = 8;                                      // after the CIE pointer

template <typename Value>
Value Load(const char* bytes) {
  Value value;
  memcpy(&value, bytes, sizeof(value));
  return value;
}

// Skips an (S/U)LEB128 number.
size_t SkipLeb(const char* bytes, size_t offset, size_t size) {
  while (offset < size && (static_cast<uint8_t>(bytes[offset]) & 0x80) != 0) ++offset;
  return offset + 1;
}

// The encoding of code addresses that a CIE gives to its FDEs; 0 (absolute) when it gives none.
uint8_t AddressEncoding(const char* cie, size_t size) {
  size_t offset = kCieIdOffset + 4 + 1;  // id, version
  const char* augmentation = cie + offset;
  const size_t augmentation_size = strnlen(augmentation, size - offset);
  if (augmentation_size == 0 || augmentation[0] != 'z') return kAbsolute;
  offset += augmentation_size + 1;
  offset = SkipLeb(cie, offset, size);  // code alignment
  offset = SkipLeb(cie, offset, size);  // data alignment
  offset = SkipLeb(cie, offset, size);  // return address register
  offset = SkipLeb(cie, offset, size);  // length of the augmentation data
  for (size_t i = 1; i < augmentation_size && offset < size; ++i) {
    const auto encoding = static_cast<uint8_t>(cie[offset]);
    switch (augmentation[i]) {
      case 'R':
        return encoding;
      case 'L':
        offset += 1;
        break;
      case 'P':
        offset += 1 + ((encoding & 0x0f) == kSigned8 || (encoding & 0x0f) == kData8 ||
                               (encoding & 0x0f) == kAbsolute
                           ? 8
                           : 4);
        break;
      default:  // 'S', 'B': no data
        break;
    }
  }
  return kAbsolute;
}

// The FDE in `block`, if it holds one.
std::optional<FdeEntry> ReadFde(const Block& block) {
  if (block.isZeroFill() || block.getSize() < kFdeStart + 8) return std::nullopt;
  const char* bytes = block.getContent().data();
  const auto cie_distance = Load<uint32_t>(bytes + kCieIdOffset);
  if (Load<uint32_t>(bytes) == 0 || cie_distance == 0) return std::nullopt;  // end mark, or a CIE
  const char* cie = bytes + kCieIdOffset - cie_distance;
  const uint8_t encoding = AddressEncoding(cie, Load<uint32_t>(cie) + 4) & 0x0f;
  // The function's address comes from the edge: it is right whatever the encoding is relative to.
  uintptr_t begin = 0;
  for (const auto& edge : block.edges_at(kFdeStart)) {
    if (!edge.isRelocation()) continue;
    begin = edge.getTarget().getAddress().getValue() + static_cast<uint64_t>(edge.getAddend());
  }
  const bool wide = encoding == kAbsolute || encoding == kData8 || encoding == kSigned8;
  const uint64_t size =
      wide ? Load<uint64_t>(bytes + kFdeStart + 8) : Load<uint32_t>(bytes + kFdeStart + 4);
  if (begin == 0 || size == 0) return std::nullopt;
  return FdeEntry{CodeRange{CodeAddress{begin}, CodeAddress{begin + size}},
                  reinterpret_cast<const uint8_t*>(bytes)};
}

// The names of the graph's functions, by address; of several at one place the one others can see.
llvm::DenseMap<uintptr_t, const char*> FunctionNames(const LinkGraph& graph) {
  llvm::DenseMap<uintptr_t, const Symbol*> symbols;
  for (const Symbol* symbol : graph.defined_symbols()) {
    if (!IsExecutable(symbol->getSection()) || !HasSourceName(*symbol)) continue;
    const Symbol*& known = symbols[symbol->getAddress().getValue()];
    if (known == nullptr || symbol->getScope() < known->getScope()) known = symbol;
  }
  return Names().Intern(symbols);
}

// Text blocks in order of addresses, as runs of ordinary text and of stubs.
std::vector<UnwindRows::Region> FindRegions(const LinkGraph& graph) {
  struct Piece {
    uintptr_t begin, end;
    bool stubs;
  };
  std::vector<Piece> pieces;
  for (const Section& section : graph.sections()) {
    if (!IsAllocated(section) || !IsExecutable(section)) continue;
    for (const Block* block : section.blocks()) {
      const uintptr_t begin = block->getAddress().getValue();
      if (block->getSize() == 0) continue;
      pieces.push_back({begin, begin + block->getSize(),
                        section.getName() == kStubSection || section.getName() == kNotesSection});
    }
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  // Blocks of one graph lie together; another graph's text never lies between them, except where a
  // reserved block stands apart, and the gap tells.
  constexpr uintptr_t kGapMax = 4096;
  std::vector<UnwindRows::Region> regions;
  for (const Piece& piece : pieces) {
    if (!regions.empty() && regions.back().stubs == piece.stubs &&
        piece.begin - regions.back().text.end.value < kGapMax) {
      regions.back().text.end = CodeAddress{piece.end};
      continue;
    }
    regions.push_back({{CodeAddress{piece.begin}, CodeAddress{piece.end}}, {}, piece.stubs});
  }
  return regions;
}

}  // namespace

UnwindRows CollectUnwindRows(const LinkGraph& graph) {
  UnwindRows rows;
  rows.regions = FindRegions(graph);
  const llvm::DenseMap<uintptr_t, const char*> names = FunctionNames(graph);
  for (const Section& section : graph.sections()) {
    if (section.getName() != kUnwindSection) continue;
    for (const Block* block : section.blocks()) {
      std::optional<FdeEntry> entry = ReadFde(*block);
      if (!entry) continue;
      entry->name = names.lookup(entry->function.begin.value);
      for (UnwindRows::Region& region : rows.regions) {
        if (!region.text.Contains(entry->function.begin)) continue;
        region.entries.push_back(*entry);
        break;
      }
    }
  }
  return rows;
}

void UnwindRows::Register(std::string_view patch) const {
  const char* const patch_name = patch.empty() ? nullptr : Names().Intern(patch);
  for (const Region& region : regions) {
    if (region.stubs) {
      UnwindTable::Get().AddStubRegion(region.text);
      continue;
    }
    std::vector<FdeEntry> entries = region.entries;
    for (FdeEntry& entry : entries) entry.patch = patch_name;
    UnwindTable::Get().AddRegion(region.text, std::move(entries));
  }
  ProcessFdeCache().Forget();
}

void UnwindRows::Unregister() const {
  for (const Region& region : regions) UnwindTable::Get().RemoveRegion(region.text);
  ProcessFdeCache().Forget();
}

}  // namespace mend::jit
