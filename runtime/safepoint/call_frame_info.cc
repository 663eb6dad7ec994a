#include "runtime/safepoint/call_frame_info.h"

namespace mend {
namespace {

// Compilers nest remembered states one deep, shrink-wrapped code at most a few.
constexpr unsigned kRememberedMax = 6;
// A length field that announces the 64-bit format, which .eh_frame never uses in practice.
constexpr uint32_t kExtendedLength = 0xffffffff;

// Call frame instructions (DW_CFA_*). The upper two bits select the first three.
enum Instruction : uint8_t {
  kAdvanceLoc = 0x40,
  kOffset = 0x80,
  kRestore = 0xc0,
  kNop = 0x00,
  kSetLoc,
  kAdvanceLoc1,
  kAdvanceLoc2,
  kAdvanceLoc4,
  kOffsetExtended,
  kRestoreExtended,
  kUndefined,
  kSameValue,
  kRegister,
  kRememberState,
  kRestoreState,
  kDefCfa,
  kDefCfaRegister,
  kDefCfaOffset,
  kDefCfaExpression,
  kExpression,
  kOffsetExtendedSf,
  kDefCfaSf,
  kDefCfaOffsetSf,
  kValOffset,
  kValOffsetSf,
  kValExpression,
  kGnuArgsSize = 0x2e,
  kGnuNegativeOffsetExtended = 0x2f,
};

// A reader over the record at `record` behind its length field; failed if there is none.
UnwindReader OpenRecord(const uint8_t* record) noexcept {
  uint32_t length;
  __builtin_memcpy(&length, record, sizeof(length));
  if (length == kExtendedLength) length = 0;
  UnwindReader reader(record + 4, record + 4 + length);
  if (length == 0) reader.Fail();
  return reader;
}

// Interprets one instruction sequence up to a location.
class Interpreter {
 public:
  Interpreter(const CommonInformation& common, UnwindRow* row) noexcept
      : common_(common), row_(row) {}

  // Executes the instructions that apply to `pc`, in code that begins at `begin`.
  bool Run(UnwindReader reader, uintptr_t begin, uintptr_t pc) noexcept {
    location_ = begin;
    while (!reader.done()) {
      Execute(&reader);
      if (reader.failed()) return false;
      // The row so far ends where the new location begins.
      if (location_ > pc) return true;
    }
    return !reader.failed();
  }

 private:
  void SetRule(uint64_t number, RegisterRule rule, int64_t operand) noexcept {
    // Vector registers may be described; a walk does not need them.
    if (number >= kDwarfRegisters) return;
    row_->SetRule(static_cast<unsigned>(number), rule, operand);
  }

  void RestoreRule(uint64_t number) noexcept {
    if (number >= kDwarfRegisters) return;
    const UnwindRow& initial = common_.initial_row;
    if ((initial.specified >> number & 1) == 0) {
      row_->specified &= ~(1u << number);
    } else {
      row_->SetRule(static_cast<unsigned>(number), initial.rules[number], initial.operands[number]);
    }
  }

  void Advance(uint64_t delta, UnwindReader* reader) noexcept {
    const uintptr_t next = location_ + delta * common_.code_alignment;
    if (next < location_) return reader->Fail();
    location_ = next;
  }

  int64_t ReadFactored(UnwindReader* reader) noexcept {
    return static_cast<int64_t>(reader->ReadUleb() * static_cast<uint64_t>(common_.data_alignment));
  }
  int64_t ReadFactoredSigned(UnwindReader* reader) noexcept {
    return static_cast<int64_t>(static_cast<uint64_t>(reader->ReadSleb()) *
                                static_cast<uint64_t>(common_.data_alignment));
  }

  // Steps over a length-prefixed block and returns where it starts.
  const uint8_t* ReadBlock(UnwindReader* reader) noexcept {
    const uint8_t* const block = reader->position();
    reader->Skip(reader->ReadUleb());
    return block;
  }
  int64_t ReadBlockOperand(UnwindReader* reader) noexcept {
    return static_cast<int64_t>(reinterpret_cast<uintptr_t>(ReadBlock(reader)));
  }

  void Execute(UnwindReader* reader) noexcept {
    const uint8_t op = reader->Read<uint8_t>();
    const uint8_t low = op & 0x3f;
    switch (op & 0xc0) {
      case kAdvanceLoc:
        return Advance(low, reader);
      case kOffset:
        return SetRule(low, RegisterRule::kAtOffset, ReadFactored(reader));
      case kRestore:
        return RestoreRule(low);
      default:
        break;
    }
    switch (op) {
      case kNop:
        return;
      case kAdvanceLoc1:
        return Advance(reader->Read<uint8_t>(), reader);
      case kAdvanceLoc2:
        return Advance(reader->Read<uint16_t>(), reader);
      case kAdvanceLoc4:
        return Advance(reader->Read<uint32_t>(), reader);
      case kRememberState:
        return Remember(reader);
      case kRestoreState:
        return Recall(reader);
      case kGnuArgsSize:
        return static_cast<void>(reader->ReadUleb());
      case kDefCfa:
      case kDefCfaRegister:
      case kDefCfaOffset:
      case kDefCfaExpression:
      case kDefCfaSf:
      case kDefCfaOffsetSf:
        return DefineCfa(op, reader);
      // kSetLoc is not emitted by anybody for x86-64.
      default:
        return DefineRegister(op, reader);
    }
  }

  void DefineCfa(uint8_t op, UnwindReader* reader) noexcept {
    if (op == kDefCfaExpression) {
      row_->cfa_expression = ReadBlock(reader);
      return;
    }
    // An offset or register alone changes a register-based CFA only.
    const bool whole = op == kDefCfa || op == kDefCfaSf;
    if (!whole && row_->cfa_expression != nullptr) return reader->Fail();
    row_->cfa_expression = nullptr;
    if (whole || op == kDefCfaRegister) row_->cfa_register = reader->ReadUleb();
    if (op == kDefCfa || op == kDefCfaOffset) {
      row_->cfa_offset = static_cast<int64_t>(reader->ReadUleb());
    } else if (op == kDefCfaSf || op == kDefCfaOffsetSf) {
      row_->cfa_offset = ReadFactoredSigned(reader);
    }
  }

  void DefineRegister(uint8_t op, UnwindReader* reader) noexcept {
    if (op == kNop || op == kSetLoc || op > kGnuNegativeOffsetExtended) return reader->Fail();
    const uint64_t number = reader->ReadUleb();
    switch (op) {
      case kOffsetExtended:
        return SetRule(number, RegisterRule::kAtOffset, ReadFactored(reader));
      case kOffsetExtendedSf:
        return SetRule(number, RegisterRule::kAtOffset, ReadFactoredSigned(reader));
      case kGnuNegativeOffsetExtended:
        return SetRule(number, RegisterRule::kAtOffset, -ReadFactored(reader));
      case kValOffset:
        return SetRule(number, RegisterRule::kIsOffset, ReadFactored(reader));
      case kValOffsetSf:
        return SetRule(number, RegisterRule::kIsOffset, ReadFactoredSigned(reader));
      case kRestoreExtended:
        return RestoreRule(number);
      case kUndefined:
        return SetRule(number, RegisterRule::kUndefined, 0);
      case kSameValue:
        return SetRule(number, RegisterRule::kSame, 0);
      case kRegister:
        return SetRule(number, RegisterRule::kInRegister, static_cast<int64_t>(reader->ReadUleb()));
      case kExpression:
        return SetRule(number, RegisterRule::kAtExpression, ReadBlockOperand(reader));
      case kValExpression:
        return SetRule(number, RegisterRule::kIsExpression, ReadBlockOperand(reader));
      default:
        return reader->Fail();
    }
  }

  void Remember(UnwindReader* reader) noexcept {
    if (remembered_count_ == kRememberedMax) return reader->Fail();
    remembered_[remembered_count_++] = *row_;
  }

  void Recall(UnwindReader* reader) noexcept {
    if (remembered_count_ == 0) return reader->Fail();
    *row_ = remembered_[--remembered_count_];
  }

  const CommonInformation& common_;
  UnwindRow* const row_;
  uintptr_t location_ = 0;
  unsigned remembered_count_ = 0;
  // Left uninitialised: most functions remember nothing, and a walk makes one of these per frame.
  union {
    UnwindRow remembered_[kRememberedMax];
  };
};

// Reads the augmentation string and its data. False: something in it that would change the meaning
// of the rest.
bool ParseAugmentation(const uint8_t* string, UnwindReader* reader,
                       CommonInformation* common) noexcept {
  if (*string == '\0') return true;
  if (*string != 'z') return false;
  common->has_augmentation_data = true;
  const uint64_t size = reader->ReadUleb();
  UnwindReader data = *reader;
  reader->Skip(size);
  if (reader->failed()) return false;
  data.Truncate(reader->position());
  for (const uint8_t* c = string + 1; *c != '\0'; ++c) {
    switch (*c) {
      case 'R':
        common->pointer_encoding = data.Read<uint8_t>();
        break;
      case 'P':
        data.SkipEncoded(data.Read<uint8_t>());
        break;
      case 'L':
        data.Skip(1);
        break;
      case 'S':
        common->signal_frame = true;
        break;
      default:
        return false;
    }
  }
  return !data.failed();
}

// Parses the CIE at `entry`; `common` is unusable on failure.
bool ParseCommonInformation(const uint8_t* entry, CommonInformation* common) noexcept {
  common->entry = nullptr;
  common->pointer_encoding = 0;
  common->signal_frame = common->has_augmentation_data = false;
  common->initial_row.cfa_expression = nullptr;
  common->initial_row.cfa_register = kDwarfRegisters;
  common->initial_row.specified = 0;

  UnwindReader reader = OpenRecord(entry);
  if (reader.Read<uint32_t>() != 0) return false;  // not a CIE
  const uint8_t version = reader.Read<uint8_t>();
  if (version != 1 && version != 3) return false;
  const uint8_t* const augmentation = reader.position();
  while (reader.Read<uint8_t>() != 0) {
  }
  common->code_alignment = reader.ReadUleb();
  common->data_alignment = reader.ReadSleb();
  const uint64_t return_register = version == 1 ? reader.Read<uint8_t>() : reader.ReadUleb();
  if (reader.failed() || return_register != kDwarfReturnAddress) return false;
  if (!ParseAugmentation(augmentation, &reader, common)) return false;
  // Location 0 with target 0: the common instructions never advance.
  if (!Interpreter(*common, &common->initial_row).Run(reader, 0, 0)) return false;
  common->entry = entry;
  return true;
}

// The CIE of the entry at `fde`, null if `fde` is not one; leaves `reader` behind the pointer.
const uint8_t* CommonEntryOf(UnwindReader* reader) noexcept {
  const uint8_t* const field = reader->position();
  const uint32_t distance = reader->Read<uint32_t>();
  return reader->failed() || distance == 0 ? nullptr : field - distance;
}

// Reads an entry's range and leaves `reader` at its instructions. Null: malformed.
const CommonInformation* OpenFde(UnwindReader* reader, CommonInformationCache* cache,
                                 CodeRange* range) noexcept {
  const uint8_t* const entry = CommonEntryOf(reader);
  if (entry == nullptr) return nullptr;
  CommonInformation* const common = cache->PlaceFor(entry);
  if (entry != common->entry && !ParseCommonInformation(entry, common)) return nullptr;
  range->begin.value = reader->ReadEncoded(common->pointer_encoding, 0);
  range->end.value =
      range->begin.value + reader->ReadEncoded(common->pointer_encoding & kEncodingFormatMask, 0);
  if (common->has_augmentation_data) reader->Skip(reader->ReadUleb());
  return !reader->failed() && range->begin <= range->end ? common : nullptr;
}

}  // namespace

RowResult FindUnwindRow(const uint8_t* fde, CodeAddress pc, CommonInformationCache* cache,
                        UnwindRow* row, bool* signal_frame) noexcept [[clang::nonblocking]] {
  UnwindReader reader = OpenRecord(fde);
  CodeRange range;
  const CommonInformation* const common = OpenFde(&reader, cache, &range);
  if (common == nullptr) return RowResult::kMalformed;
  *signal_frame = common->signal_frame;
  if (!range.Contains(pc)) return RowResult::kNotCovered;
  *row = common->initial_row;
  return Interpreter(*common, row).Run(reader, range.begin.value, pc.value) ? RowResult::kFound
                                                                            : RowResult::kMalformed;
}

bool ReadFdeRange(const uint8_t* fde, CodeRange* range) noexcept [[clang::nonblocking]] {
  UnwindReader reader = OpenRecord(fde);
  CommonInformationCache cache;
  return OpenFde(&reader, &cache, range) != nullptr;
}

const uint8_t* SearchEhFrameHeader(const uint8_t* header, CodeAddress pc) noexcept
    [[clang::nonblocking]] {
  constexpr uint8_t kTableEncoding = kEncodingDataRelative | 0x0b;  // sdata4 from the header
  constexpr size_t kHeaderSizeMax = 4 + 8 + 8;
  if (header[0] != 1 || header[3] != kTableEncoding) return nullptr;
  UnwindReader reader(header + 4, header + kHeaderSizeMax);
  const auto base = reinterpret_cast<uintptr_t>(header);
  reader.SkipEncoded(header[1]);
  const uint64_t count = reader.ReadEncoded(header[2], base);
  if (reader.failed() || count == 0) return nullptr;

  struct Row {
    int32_t function;
    int32_t fde;
  };
  const auto* const table = reinterpret_cast<const Row*>(reader.position());
  const int64_t target = static_cast<int64_t>(pc.value - base);
  if (target < table[0].function) return nullptr;
  // The last row at or before `pc`.
  size_t low = 0;
  for (size_t size = count; size > 1;) {
    const size_t half = size / 2;
    if (table[low + half].function <= target) low += half;
    size -= half;
  }
  return header + table[low].fde;
}

ExpressionBlock ReadExpressionBlock(const uint8_t* block) noexcept [[clang::nonblocking]] {
  // The interpreter stepped over the block: it lies inside its record. Ten bytes hold any length.
  UnwindReader reader(block, block + 10);
  const uint64_t size = reader.ReadUleb();
  return {reader.position(), reader.position() + size};
}

}  // namespace mend
