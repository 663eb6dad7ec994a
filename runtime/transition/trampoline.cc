#include "runtime/transition/trampoline.h"

#include <cstddef>
#include <cstring>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "runtime/base/check.h"
#include "runtime/safepoint/thread_state.h"

namespace mend {
namespace {

// Appends to a trampoline's bytes.
class Writer {
 public:
  Writer() { bytes_.fill(0xcc); }

  void Bytes(std::initializer_list<uint8_t> bytes) {
    for (const uint8_t byte : bytes) bytes_[at_++] = byte;
  }
  void Word(uint32_t word) {
    std::memcpy(&bytes_[at_], &word, sizeof word);
    at_ += sizeof word;
  }
  size_t at() const { return at_; }
  const TrampolineBytes& bytes() const { return bytes_; }

 private:
  TrampolineBytes bytes_;
  size_t at_ = 0;
};

// Appends the 32-bit displacement of a jump, which ends behind it. False when out of reach.
bool AppendDisplacement(Writer& writer, CodeAddress trampoline, CodeAddress target) {
  const int64_t next = static_cast<int64_t>(trampoline.value + writer.at() + sizeof(uint32_t));
  const int64_t displacement = static_cast<int64_t>(target.value) - next;
  if (displacement < std::numeric_limits<int32_t>::min() ||
      displacement > std::numeric_limits<int32_t>::max()) {
    return false;
  }
  writer.Word(static_cast<uint32_t>(static_cast<int32_t>(displacement)));
  return true;
}

}  // namespace

absl::StatusOr<TrampolineBytes> EncodeTrampoline(CodeAddress at, const TrampolineTargets& targets,
                                                 uint32_t epoch) {
  const intptr_t epoch_offset =
      ThreadWordsOffset() + static_cast<intptr_t>(offsetof(ThreadWords, epoch));
  const intptr_t poll_offset =
      ThreadWordsOffset() + static_cast<intptr_t>(offsetof(ThreadWords, poll));
  Writer writer;
  writer.Bytes({0xf3, 0x0f, 0x1e, 0xfa});
  writer.Bytes({0x64, 0x80, 0x3c, 0x25});
  writer.Word(static_cast<uint32_t>(static_cast<int32_t>(poll_offset)));
  writer.Bytes({0x00, 0x75, 0x17});
  const size_t decision = writer.at();
  writer.Bytes({0x64, 0x81, 0x3c, 0x25});
  writer.Word(static_cast<uint32_t>(static_cast<int32_t>(epoch_offset)));
  writer.Word(epoch);
  writer.Bytes({0x0f, 0x83});
  bool in_reach = AppendDisplacement(writer, at, targets.new_body);
  writer.Bytes({0xe9});
  in_reach = in_reach && AppendDisplacement(writer, at, targets.old_body);
  writer.Bytes({0xff, 0x15});
  in_reach = in_reach && AppendDisplacement(writer, at, targets.poll_slow_path);
  MEND_CHECK(writer.at() == kTrampolinePollReturn,
             "the stack check knows where the poll returns to");
  constexpr size_t kJumpSize = 2;
  writer.Bytes({0xeb, static_cast<uint8_t>(decision - (kTrampolinePollReturn + kJumpSize))});
  if (!in_reach) {
    return absl::OutOfRangeError(
        absl::StrFormat("a body at %#x or %#x is out of reach of the trampoline at %#x",
                        targets.old_body.value, targets.new_body.value, at.value));
  }
  return writer.bytes();
}

}  // namespace mend
