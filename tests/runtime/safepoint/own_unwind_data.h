// The test program's own functions as entries for an UnwindTable, so that natively compiled code
// can play the part of hosted text.
#ifndef MEND_TESTS_RUNTIME_SAFEPOINT_OWN_UNWIND_DATA_H_
#define MEND_TESTS_RUNTIME_SAFEPOINT_OWN_UNWIND_DATA_H_

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "runtime/base/check.h"
#include "runtime/safepoint/call_frame_info.h"
#include "runtime/safepoint/unwind_table.h"

namespace mend {

// The entries of the object that holds `function`, as its .eh_frame_hdr lists them (the form that
// lld writes: 4-byte pointer, 4-byte count).
inline std::vector<FdeEntry> EntriesOfObjectWith(void* function) {
  dl_find_object object;
  MEND_CHECK(_dl_find_object(function, &object) == 0, "the function is in no loaded object");
  const auto* const header = static_cast<const uint8_t*>(object.dlfo_eh_frame);
  MEND_CHECK(header[1] == 0x1b && header[2] == 0x03 && header[3] == 0x3b, "unexpected header");
  uint32_t count;
  memcpy(&count, header + 8, sizeof(count));
  std::vector<FdeEntry> entries(count);
  for (uint32_t i = 0; i < count; ++i) {
    int32_t offset;
    memcpy(&offset, header + 12 + 8 * i + 4, sizeof(offset));
    entries[i].fde = header + offset;
    MEND_CHECK(ReadFdeRange(entries[i].fde, &entries[i].function), "an entry cannot be read");
  }
  return entries;
}

// From the first byte to the last that any entry covers.
inline CodeRange SpanOf(const std::vector<FdeEntry>& entries) {
  CodeRange span = entries.front().function;
  for (const FdeEntry& entry : entries) {
    span.begin = std::min(span.begin, entry.function.begin);
    span.end = std::max(span.end, entry.function.end);
  }
  return span;
}

// While it lives, the object that holds `function` is hosted text for the process' UnwindTable.
class HostedForTest {
 public:
  explicit HostedForTest(void* function) {
    std::vector<FdeEntry> entries = EntriesOfObjectWith(function);
    span_ = SpanOf(entries);
    UnwindTable::Get().AddRegion(span_, std::move(entries));
  }
  ~HostedForTest() { UnwindTable::Get().RemoveRegion(span_); }
  HostedForTest(const HostedForTest&) = delete;
  HostedForTest& operator=(const HostedForTest&) = delete;

 private:
  CodeRange span_;
};

}  // namespace mend

#endif  // MEND_TESTS_RUNTIME_SAFEPOINT_OWN_UNWIND_DATA_H_
