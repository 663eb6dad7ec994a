#include "patchc/object/fingerprint.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Support/BLAKE3.h"
#include "patchc/object/frame_index.h"
#include "patchc/object/object_view.h"

namespace mend::patchc {
namespace {

namespace elf = llvm::ELF;

// Bytes of a relocated field.
uint64_t FieldSize(uint32_t type) {
  switch (type) {
    case elf::R_X86_64_64:
    case elf::R_X86_64_PC64:
    case elf::R_X86_64_GOTOFF64:
    case elf::R_X86_64_GOTPC64:
    case elf::R_X86_64_GOT64:
    case elf::R_X86_64_GOTPCREL64:
    case elf::R_X86_64_PLTOFF64:
    case elf::R_X86_64_SIZE64:
    case elf::R_X86_64_DTPOFF64:
    case elf::R_X86_64_TPOFF64:
    case elf::R_X86_64_DTPMOD64:
      return 8;
    case elf::R_X86_64_16:
    case elf::R_X86_64_PC16:
      return 2;
    case elf::R_X86_64_8:
    case elf::R_X86_64_PC8:
      return 1;
    case elf::R_X86_64_NONE:
    case elf::R_X86_64_TLSDESC_CALL:
      return 0;
    default:
      return 4;
  }
}

bool IsPcRelative(uint32_t type) {
  switch (type) {
    case elf::R_X86_64_PC32:
    case elf::R_X86_64_PLT32:
    case elf::R_X86_64_GOTPCREL:
    case elf::R_X86_64_GOTPCRELX:
    case elf::R_X86_64_REX_GOTPCRELX:
      return true;
    default:
      return false;
  }
}

Binding BindingOf(const ViewSymbol& symbol) {
  switch (symbol.binding) {
    case elf::STB_LOCAL:
      return Binding::kLocal;
    case elf::STB_GLOBAL:
      return Binding::kGlobal;
    default:
      return Binding::kWeak;
  }
}

// Larger entries do not exist; a damaged file may say so.
constexpr uint64_t kMergeableEntryMax = 64;
// A table refers to cells, these to names; a damaged file may make a circle of them.
constexpr int kNestedRangesMax = 4;

// A stretch of a section that is encoded as a whole.
struct Block {
  uint32_t section;
  uint64_t begin;
  uint64_t end;
};

enum class Depth { kOwn, kWithConstants };
enum class Context { kCode, kData, kExceptionTable };

// One encoding: writes what a function or datum is, in a form that two objects share exactly if
// they agree in it. Constants that it reaches follow in the order of their first mention.
class Encoding {
 public:
  Encoding(const ObjectView& view, const FrameIndex& frames, Depth depth)
      : view_(view), frames_(frames), depth_(depth) {}

  void AddFunction(const ViewSymbol& function) {
    EncodeRange({function.section, function.value, function.value + function.size}, Context::kCode);
    if (const FrameEntry* frame = frames_.Find(function.section, function.value)) {
      AddText("frame");
      EncodeRange({frame->section, frame->common.begin, frame->common.end},
                  Context::kExceptionTable);
      EncodeRange({frame->section, frame->rules.begin, frame->rules.end}, Context::kExceptionTable);
    }
    EncodePending();
  }

  void AddData(const ViewSymbol& datum) {
    const ViewSection& section = view_.sections()[datum.section];
    AddNumber(section.IsWritable());
    AddNumber((section.flags & elf::SHF_TLS) != 0);
    EncodeRange({datum.section, datum.value, datum.value + datum.size}, Context::kData);
    EncodePending();
  }

  std::string Hash() const { return HashHex(text_); }
  std::set<std::string>& references() { return references_; }
  std::set<std::string>& addresses() { return addresses_; }
  std::set<std::string>& label_owners() { return label_owners_; }

 private:
  void AddNumber(int64_t value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void AddText(std::string_view text) {
    AddNumber(static_cast<int64_t>(text.size()));
    text_.append(text);
  }

  void EncodeRange(const Block& block, Context context) {
    const ViewSection& section = view_.sections()[block.section];
    if (section.type == elf::SHT_NOBITS) {
      AddText("zeros");
      AddNumber(static_cast<int64_t>(block.end - block.begin));
      return;
    }
    std::string bytes(section.contents.substr(block.begin, block.end - block.begin));
    const auto first = std::lower_bound(
        section.relocations.begin(), section.relocations.end(), block.begin,
        [](const ViewRelocation& relocation, uint64_t at) { return relocation.offset < at; });
    auto last = first;
    for (; last != section.relocations.end() && last->offset < block.end; ++last) {
      const uint64_t at = last->offset - block.begin;
      const uint64_t size = std::min<uint64_t>(FieldSize(last->type), bytes.size() - at);
      std::memset(bytes.data() + at, 0, size);
    }
    AddText(bytes);
    for (auto it = first; it != last; ++it) {
      AddNumber(static_cast<int64_t>(it->offset - block.begin));
      AddNumber(it->type);
      EncodeTarget(*it, context, block);
    }
  }

  void EncodeTarget(const ViewRelocation& relocation, Context context, const Block& from) {
    const ViewSymbol& symbol = view_.symbols()[relocation.symbol];
    if (symbol.section == 0) {
      AddText("name");
      AddText(symbol.name);
      AddNumber(relocation.addend);
      if (!symbol.name.empty()) references_.insert(symbol.name);
      TakeAddress(symbol, relocation, context);
      return;
    }
    const bool is_section = symbol.type == elf::STT_SECTION;
    const ViewSection& section = view_.sections()[symbol.section];
    if (symbol.IsFunction() || symbol.IsNamedData()) {
      TakeAddress(symbol, relocation, context);
      EncodeNamed(symbol, relocation.addend, context);
      return;
    }
    const int64_t bias = Bias(relocation, context, from);
    const int64_t offset = static_cast<int64_t>(symbol.value) + relocation.addend + bias;
    // The assembler keeps labels of mergeable constants, so that the label is the constant.
    if (section.IsMergeable()) {
      EncodeMergeable(section, is_section ? offset : static_cast<int64_t>(symbol.value));
      AddNumber(is_section ? bias : relocation.addend);
      return;
    }
    if (const std::optional<uint32_t> found = view_.SymbolAt(symbol.section, offset)) {
      const ViewSymbol& target = view_.symbols()[*found];
      TakeAddress(target, relocation, context);
      EncodeNamed(target, offset - bias - static_cast<int64_t>(target.value), context);
      return;
    }
    EncodePrivate(symbol.section, offset, context);
  }

  // Calls and jumps go by the procedure linkage table's type, whether there is a table or not. What
  // another object defines may be a function.
  void TakeAddress(const ViewSymbol& target, const ViewRelocation& relocation, Context context) {
    const bool is_call = context == Context::kCode && relocation.type == elf::R_X86_64_PLT32;
    const bool may_be_function = target.section == 0 ? !target.name.empty() : target.IsFunction();
    if (may_be_function && !is_call && context != Context::kExceptionTable) {
      addresses_.insert(target.name);
    }
  }

  // What must be added to find the target: a displacement counts from the end of the instruction,
  // in a table of relative addresses from the table's beginning.
  static int64_t Bias(const ViewRelocation& relocation, Context context, const Block& from) {
    if (!IsPcRelative(relocation.type)) return 0;
    switch (context) {
      case Context::kCode:
        return 4;
      case Context::kData:
        return static_cast<int64_t>(from.begin) - static_cast<int64_t>(relocation.offset);
      case Context::kExceptionTable:
        return 0;
    }
    return 0;
  }

  void EncodeNamed(const ViewSymbol& target, int64_t delta, Context context) {
    AddText("name");
    AddText(target.name);
    AddNumber(delta);
    references_.insert(target.name);
    if (target.IsFunction()) {
      if (context == Context::kData && delta > 0) label_owners_.insert(target.name);
      return;
    }
    if (depth_ == Depth::kOwn || view_.sections()[target.section].IsWritable()) return;
    Enqueue({target.section, target.value, target.value + target.size});
  }

  void EncodeMergeable(const ViewSection& section, int64_t begin) {
    AddText("constant");
    const uint64_t entry = std::clamp<uint64_t>(section.entry_size, 1, kMergeableEntryMax);
    if (begin < 0 || static_cast<uint64_t>(begin) >= section.contents.size()) {
      AddNumber(begin);
      return;
    }
    const std::string_view rest = section.contents.substr(static_cast<size_t>(begin));
    uint64_t length = entry;
    if ((section.flags & elf::SHF_STRINGS) != 0) {
      const std::string terminator(entry, '\0');
      for (length = 0; length + entry <= rest.size(); length += entry) {
        if (rest.substr(length, entry) == terminator) break;
      }
    }
    AddText(rest.substr(0, std::min<uint64_t>(length, rest.size())));
  }

  void EncodePrivate(uint32_t index, int64_t offset, Context context) {
    const ViewSection& section = view_.sections()[index];
    AddText("private");
    if (context == Context::kExceptionTable && nested_ranges_ < kNestedRangesMax) {
      const std::optional<FrameRange> table = frames_.ExceptionTable(index, offset);
      const uint64_t begin = static_cast<uint64_t>(std::max<int64_t>(offset, 0));
      // Besides the tables themselves, frames point to the compiler's own address-sized cells.
      const Block block =
          table ? Block{index, table->begin, table->end}
                : Block{index, std::min(begin, section.size), std::min(begin + 8, section.size)};
      ++nested_ranges_;
      EncodeRange(block, Context::kExceptionTable);
      --nested_ranges_;
      return;
    }
    Enqueue({index, 0, section.size});
    AddNumber(ordinals_[{index, 0}]);
    AddNumber(offset);
  }

  void Enqueue(const Block& block) {
    const auto key = std::make_pair(block.section, block.begin);
    if (ordinals_.emplace(key, static_cast<int64_t>(ordinals_.size())).second) {
      pending_.push_back(block);
    }
  }

  void EncodePending() {
    while (!pending_.empty()) {
      const Block block = pending_.front();
      pending_.pop_front();
      AddText("block");
      EncodeRange(block,
                  view_.sections()[block.section].IsCode() ? Context::kCode : Context::kData);
    }
  }

  const ObjectView& view_;
  const FrameIndex& frames_;
  const Depth depth_;
  std::string text_;
  std::set<std::string> references_;
  std::set<std::string> addresses_;
  std::set<std::string> label_owners_;
  std::map<std::pair<uint32_t, uint64_t>, int64_t> ordinals_;
  std::deque<Block> pending_;
  int nested_ranges_ = 0;
};

bool IsIdentifier(std::string_view name) {
  return !name.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return c == '_' || absl::ascii_isalnum(static_cast<unsigned char>(c));
         });
}

bool HoldsProgramData(const ViewSection& section) {
  if ((section.flags & elf::SHF_ALLOC) == 0 || section.IsCode()) return false;
  switch (section.type) {
    case elf::SHT_INIT_ARRAY:
    case elf::SHT_FINI_ARRAY:
    case elf::SHT_PREINIT_ARRAY:
    case elf::SHT_NOTE:
    case elf::SHT_X86_64_UNWIND:
      return false;
    default:
      break;
  }
  return section.name != ".eh_frame" && section.name != "__patchable_function_entries" &&
         !absl::StartsWith(section.name, ".gcc_except_table");
}

class Summarizer {
 public:
  Summarizer(const ObjectView& view, const FrameIndex& frames) : view_(view), frames_(frames) {}

  ObjectSummary Summarize() {
    FindEntryStubs();
    for (uint32_t index = 0; index < view_.sections().size(); ++index) AddSection(index);
    for (const ViewSymbol& symbol : view_.symbols()) {
      if (symbol.is_undefined && !symbol.name.empty()) summary_.undefined.insert(symbol.name);
      if (symbol.is_common) AddCommon(symbol);
    }
    return std::move(summary_);
  }

 private:
  void FindEntryStubs() {
    for (const ViewSection& section : view_.sections()) {
      if (section.name != "__patchable_function_entries") continue;
      for (const ViewRelocation& relocation : section.relocations) {
        const ViewSymbol& symbol = view_.symbols()[relocation.symbol];
        stubs_.insert({symbol.section, symbol.value + static_cast<uint64_t>(relocation.addend)});
      }
    }
  }

  void AddSection(uint32_t index) {
    const ViewSection& section = view_.sections()[index];
    if (section.type == elf::SHT_INIT_ARRAY || section.type == elf::SHT_FINI_ARRAY ||
        absl::StartsWith(section.name, ".ctors") || absl::StartsWith(section.name, ".dtors")) {
      AddInitializers(section);
      return;
    }
    const bool has_data = HoldsProgramData(section);
    for (const uint32_t symbol_index : section.symbols) {
      const ViewSymbol& symbol = view_.symbols()[symbol_index];
      if (symbol.IsFunction()) {
        AddFunction(symbol, section);
      } else if (has_data) {
        AddData(symbol, section);
      }
    }
  }

  void AddInitializers(const ViewSection& section) {
    for (const ViewRelocation& relocation : section.relocations) {
      const ViewSymbol& symbol = view_.symbols()[relocation.symbol];
      if (symbol.section == 0) {
        summary_.initializers.push_back(symbol.name);
        continue;
      }
      const int64_t offset = static_cast<int64_t>(symbol.value) + relocation.addend;
      const std::optional<uint32_t> found = view_.SymbolAt(symbol.section, offset);
      if (found) summary_.initializers.push_back(view_.symbols()[*found].name);
    }
  }

  void AddFunction(const ViewSymbol& symbol, const ViewSection& section) {
    Encoding own(view_, frames_, Depth::kOwn);
    own.AddFunction(symbol);
    Encoding full(view_, frames_, Depth::kWithConstants);
    full.AddFunction(symbol);
    FunctionDescription function;
    function.name = symbol.name;
    function.binding = BindingOf(symbol);
    function.size = symbol.size;
    function.patchable = IsPatchable(symbol, section);
    function.fingerprint = full.Hash();
    summary_.functions.push_back(std::move(function));
    AddDetails(symbol, own);
  }

  // With -fcf-protection the no-op follows the endbr64.
  bool IsPatchable(const ViewSymbol& symbol, const ViewSection& section) const {
    return symbol.type == elf::STT_FUNC && symbol.size >= 8 && section.alignment >= 16 &&
           symbol.value % 16 == 0 &&
           (stubs_.contains({symbol.section, symbol.value}) ||
            stubs_.contains({symbol.section, symbol.value + 4}));
  }

  void AddData(const ViewSymbol& symbol, const ViewSection& section) {
    Encoding own(view_, frames_, Depth::kOwn);
    own.AddData(symbol);
    Encoding full(view_, frames_, Depth::kWithConstants);
    full.AddData(symbol);
    DataDescription datum;
    datum.name = symbol.name;
    datum.binding = BindingOf(symbol);
    datum.size = symbol.size;
    datum.is_thread_local =
        (section.flags & elf::SHF_TLS) != 0 || absl::StartsWith(symbol.name, kTlsImagePrefix);
    datum.is_constant = !section.IsWritable() && !datum.is_thread_local;
    datum.fingerprint = full.Hash();
    summary_.data.push_back(std::move(datum));
    AddDetails(symbol, own);
    if (IsIdentifier(section.name)) summary_.details[symbol.name].linker_set = section.name;
    const bool has_own_section = section.symbols.size() == 1 && !section.IsMergeable();
    if (has_own_section) summary_.details[symbol.name].alignment = section.alignment;
  }

  void AddCommon(const ViewSymbol& symbol) {
    DataDescription datum;
    datum.name = symbol.name;
    datum.size = symbol.size;
    datum.fingerprint = HashHex(absl::StrCat("common ", symbol.size, " ", symbol.value));
    summary_.details[symbol.name].own_fingerprint = datum.fingerprint;
    summary_.data.push_back(std::move(datum));
  }

  void AddDetails(const ViewSymbol& symbol, Encoding& own) {
    SymbolDetails& details = summary_.details[symbol.name];
    details.own_fingerprint = own.Hash();
    details.references = std::move(own.references());
    details.references.erase(symbol.name);
    details.addresses = std::move(own.addresses());
    details.addresses.erase(symbol.name);
    details.label_owners = std::move(own.label_owners());
    details.place = {symbol.section, symbol.value};
    details.is_in_group = (view_.sections()[symbol.section].flags & elf::SHF_GROUP) != 0;
  }

  const ObjectView& view_;
  const FrameIndex& frames_;
  std::set<std::pair<uint32_t, uint64_t>> stubs_;
  ObjectSummary summary_;
};

}  // namespace

absl::StatusOr<ObjectSummary> SummarizeObject(std::string_view elf_bytes) {
  absl::StatusOr<ObjectView> view = ObjectView::Parse(elf_bytes);
  if (!view.ok()) return view.status();
  absl::StatusOr<FrameIndex> frames = FrameIndex::Build(*view);
  if (!frames.ok()) return frames.status();
  return Summarizer(*view, *frames).Summarize();
}

void TakePatchable(const std::vector<FunctionDescription>& described, ObjectSummary& summary) {
  std::set<std::string_view> patchable;
  for (const FunctionDescription& function : described) {
    if (function.patchable) patchable.insert(function.name);
  }
  for (FunctionDescription& function : summary.functions) {
    function.patchable = patchable.contains(function.name);
  }
}

std::string HashHex(std::string_view bytes) {
  llvm::BLAKE3 hasher;
  hasher.update(llvm::StringRef(bytes.data(), bytes.size()));
  return llvm::toHex(hasher.final<16>(), /*LowerCase=*/true);
}

}  // namespace mend::patchc
