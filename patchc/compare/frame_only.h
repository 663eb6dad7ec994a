// FrameOnlyRecords: records whose layout changed though no object of the old layout meets new code,
// nor the other way round, since all of them lie in frames of functions that the patch replaces
// (frame_records.h says what is asked of the source).
//
// A thread with such a frame on its stack does not switch, in either direction, so all that it
// calls meanwhile is of the version that made the object. A function that does not change when the
// record does is right for both. What has to be known, then:
//
//   1. In each unit, objects lie in frames alone, and nothing else leads to them.
//   2. No unit that was not compiled again has a record of that name. Code that comes out as it was
//      fits both layouts.
//   3. Each function of the running program with such an object in its frame, be it because of
//      something that it inlined, is replaced. Held would not do: a later patch does not hold it.
//      Nor does a function that the patch adds, which is in no transition.
//   4. The patch is cumulative, and of no set of its own. It is compiled with the base's layout,
//      whatever is active beside it.
//
// One thread at a time.
#ifndef MEND_PATCHC_COMPARE_FRAME_ONLY_H_
#define MEND_PATCHC_COMPARE_FRAME_ONLY_H_

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "patchc/compare/closure.h"
#include "patchc/compare/layout.h"
#include "patchc/compile/record_use.h"

namespace mend::patchc {

// A changed record that is fine.
struct FrameOnlyRecord {
  std::string record;                  // "respctx"
  std::string change;                  // "struct respctx: member 'x' was added at offset 8"
  std::string detail;                  // both layouts
  std::vector<std::string> functions;  // replaced ones with such objects in their frames, by symbol
};

// What a unit does with a record before and after the edit.
struct UnitRecordUse {
  RecordUse base;
  RecordUse edited;
  ObjectDescription description;  // of the edited unit
};

class FrameOnlyRecords {
 public:
  // Takes a unit's change. Its uses have no escape.
  void Add(size_t object, size_t unit, LayoutChange change, UnitRecordUse use);

  // The unit has the changed record, and stays as it is: objects that it makes are no matter to
  // functions whose own are in frames alone.
  void Skip(size_t object, size_t unit, const std::string& record) {
    skipped_.insert({record, object, unit});
  }

  // Moves each record to `fine`, or refuses it in the first of its units. REQUIRES: `objects` are
  // closed over.
  void Check(std::vector<AffectedObject>& objects, bool is_cumulative,
             std::vector<FrameOnlyRecord>& fine);

 private:
  struct Use {
    size_t object;
    size_t unit;
    UnitRecordUse use;
  };
  struct Record {
    LayoutChange change;
    std::vector<Use> uses;
  };

  std::map<std::string, Record> records_;  // by name
  std::set<std::tuple<std::string, size_t, size_t>> skipped_;
};

// A layout's refusal that says why the record is not fine.
Refusal WithReason(Refusal refusal, const std::string& reason);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPARE_FRAME_ONLY_H_
