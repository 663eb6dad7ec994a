// UnwindReader: a bounded cursor over unwind data (.eh_frame, .eh_frame_hdr, DWARF expressions).
//
// Reading past the end returns zero and makes the reader fail for good, so callers may read a whole
// record and ask once. Async-signal-safe; allocates nothing.
#ifndef MEND_RUNTIME_SAFEPOINT_UNWIND_READER_H_
#define MEND_RUNTIME_SAFEPOINT_UNWIND_READER_H_

#include <cstddef>
#include <cstdint>

namespace mend {

// Pointer encodings (DW_EH_PE_*).
inline constexpr uint8_t kEncodingOmitted = 0xff;
inline constexpr uint8_t kEncodingFormatMask = 0x0f;
inline constexpr uint8_t kEncodingBaseMask = 0x70;
inline constexpr uint8_t kEncodingPcRelative = 0x10;
inline constexpr uint8_t kEncodingDataRelative = 0x30;
inline constexpr uint8_t kEncodingIndirect = 0x80;

class UnwindReader {
 public:
  UnwindReader(const uint8_t* begin, const uint8_t* end) noexcept : position_(begin), end_(end) {}

  bool failed() const noexcept { return failed_; }
  bool done() const noexcept { return position_ == end_; }
  const uint8_t* position() const noexcept { return position_; }
  const uint8_t* end() const noexcept { return end_; }

  // Ends the data at `end`, which must not lie behind the present end.
  void Truncate(const uint8_t* end) noexcept {
    if (end < position_ || end > end_) return Fail();
    end_ = end;
  }

  template <typename Integer>
  Integer Read() noexcept {
    if (static_cast<size_t>(end_ - position_) < sizeof(Integer)) {
      Fail();
      return 0;
    }
    Integer value;
    __builtin_memcpy(&value, position_, sizeof(Integer));
    position_ += sizeof(Integer);
    return value;
  }

  uint64_t ReadUleb() noexcept {
    // Nearly all numbers in unwind data are below 128.
    if (position_ != end_ && *position_ < 0x80) return *position_++;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      const uint8_t byte = Read<uint8_t>();
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    Fail();
    return 0;
  }

  int64_t ReadSleb() noexcept {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      const uint8_t byte = Read<uint8_t>();
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) != 0) continue;
      if (shift + 7 < 64 && (byte & 0x40) != 0) value |= ~uint64_t{0} << (shift + 7);
      return static_cast<int64_t>(value);
    }
    Fail();
    return 0;
  }

  void Skip(uint64_t bytes) noexcept {
    if (bytes > static_cast<uint64_t>(end_ - position_)) return Fail();
    position_ += bytes;
  }

  // Moves by `bytes` in either direction, not before `begin`.
  void Jump(int64_t bytes, const uint8_t* begin) noexcept {
    if (bytes < begin - position_ || bytes > end_ - position_) return Fail();
    position_ += bytes;
  }

  // A pointer in one of the DW_EH_PE encodings; `data_base` is what data-relative ones count from.
  // With only the format bits set it reads a plain number. Indirect pointers are refused: nothing
  // that a walk needs is one.
  uintptr_t ReadEncoded(uint8_t encoding, uintptr_t data_base) noexcept {
    const uintptr_t here = reinterpret_cast<uintptr_t>(position_);
    const uintptr_t value = ReadFormat(encoding & kEncodingFormatMask);
    if ((encoding & kEncodingIndirect) != 0) Fail();
    switch (encoding & kEncodingBaseMask) {
      case 0:
        return value;
      case kEncodingPcRelative:
        return here + value;
      case kEncodingDataRelative:
        return data_base + value;
      default:
        Fail();
        return 0;
    }
  }

  // Steps over an encoded pointer of any base, indirect ones too.
  void SkipEncoded(uint8_t encoding) noexcept {
    if (encoding != kEncodingOmitted) ReadFormat(encoding & kEncodingFormatMask);
  }

  void Fail() noexcept {
    failed_ = true;
    position_ = end_;
  }

 private:
  uintptr_t ReadFormat(uint8_t format) noexcept {
    switch (format) {
      case 0x00:  // DW_EH_PE_absptr
      case 0x04:
        return Read<uint64_t>();
      case 0x01:
        return ReadUleb();
      case 0x02:
        return Read<uint16_t>();
      case 0x03:
        return Read<uint32_t>();
      case 0x09:
        return static_cast<uintptr_t>(ReadSleb());
      case 0x0a:
        return static_cast<uintptr_t>(static_cast<intptr_t>(Read<int16_t>()));
      case 0x0b:
        return static_cast<uintptr_t>(static_cast<intptr_t>(Read<int32_t>()));
      case 0x0c:
        return static_cast<uintptr_t>(Read<int64_t>());
      default:
        Fail();
        return 0;
    }
  }

  const uint8_t* position_;
  const uint8_t* end_;
  bool failed_ = false;
};

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_UNWIND_READER_H_
