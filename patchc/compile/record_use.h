// What a unit's source does with a record, see frame_records.h.
#ifndef MEND_PATCHC_COMPILE_RECORD_USE_H_
#define MEND_PATCHC_COMPILE_RECORD_USE_H_

#include <map>
#include <set>
#include <string>

namespace mend::patchc {

struct RecordUse {
  // Why an object may be elsewhere than in a frame, or be reached from elsewhere, with the place in
  // the source. Empty: none can.
  std::string escape;
  // The functions with such objects in their frames, by symbol: alternatives of each, as the
  // variants of a constructor.
  std::set<std::set<std::string>> holders;
};

using RecordUses = std::map<std::string, RecordUse>;  // by the record's name

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_RECORD_USE_H_
