// FrameIndex: for each function of an object, where its unwind rules and its exception table are.
//
// A part of the fingerprint. Read-only after Build; thread-safe.
#ifndef MEND_PATCHC_OBJECT_FRAME_INDEX_H_
#define MEND_PATCHC_OBJECT_FRAME_INDEX_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "patchc/object/object_view.h"

namespace mend::patchc {

struct FrameRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct FrameEntry {
  uint32_t section = 0;  // of .eh_frame
  FrameRange common;     // the CIE without length and id
  FrameRange rules;      // the FDE from its augmentation data on, without padding
};

class FrameIndex {
 public:
  static absl::StatusOr<FrameIndex> Build(const ObjectView& view);

  // nullptr when the function at that place has no unwind rules.
  const FrameEntry* Find(uint32_t section, uint64_t offset) const;

  // The exception table that begins at `offset` of that section; several may share a section.
  std::optional<FrameRange> ExceptionTable(uint32_t section, int64_t offset) const;

 private:
  absl::Status AddSection(const ObjectView& view, uint32_t index);

  std::map<std::pair<uint32_t, uint64_t>, FrameEntry> entries_;
  std::set<std::pair<uint32_t, uint64_t>> tables_;
  std::map<uint32_t, uint64_t> table_section_sizes_;
};

}  // namespace mend::patchc

#endif  // MEND_PATCHC_OBJECT_FRAME_INDEX_H_
