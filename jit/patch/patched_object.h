// PatchedObject: what source patches have linked into one object (the program, or a guest module)
// and left there: their data, which live objects may point to and later patches find again, and
// text that cannot go before the object does.
//
// Thread safety: the session's lock serialises links, which use the data; what has to do with
// types, Keep and Free may be called by any thread.
#ifndef MEND_JIT_PATCH_PATCHED_OBJECT_H_
#define MEND_JIT_PATCH_PATCHED_OBJECT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "jit/debug/debug_support.h"
#include "jit/link/code_memory.h"
#include "jit/program/hosted_program.h"
#include "jit/unwind/unwind_rows.h"
#include "runtime/base/code_address.h"
#include "runtime/base/mutex.h"
#include "runtime/format/patch_module.h"

namespace mend::jit {

// The data that patches have brought and that stays, to be found again.
class PatchData {
 public:
  struct Datum {
    uintptr_t address = 0;
    uint64_t size = 0;
    std::string fingerprint;  // of its initial value
    // Of a thread-local, whose initial image this is: where it is from %fs.
    std::optional<intptr_t> thread_offset;
  };

  // `key` is the datum's name, after "UNIT|" when it is local to a unit.
  const Datum* Find(const std::string& key, uint64_t size, const std::string& fingerprint) const;
  void Add(const std::string& key, Datum datum) { data_[key] = std::move(datum); }
  // Functions that patches have added and whose addresses what runs may have, by `key`: later
  // versions of them are reached by those addresses, too. Null without one.
  const HostedSymbol* FindFunction(const std::string& key) const;
  void AddFunction(const std::string& key, HostedSymbol function);

  // Constants without a name, by content; and literals.
  std::optional<uintptr_t> FindConstant(const std::string& fingerprint) const;
  void AddConstant(std::string fingerprint, uintptr_t address) {
    constants_[std::move(fingerprint)] = address;
  }

 private:
  std::map<std::string, Datum> data_;
  std::map<std::string, HostedSymbol> functions_;
  std::map<std::string, uintptr_t> constants_;
};

// The text of a patch's units that were linked into one object, with all that knows it.
// REQUIRES of the destructor, which frees it: no thread can reach the text any more.
class LinkedUnits {
 public:
  struct Part {
    ModulePages pages;
    ModulePages data_pages;  // of data that goes with the text
    UnwindRows rows;
    std::vector<std::pair<CodeRange, std::string>> versions;  // of functions, for messages
    uint64_t data_bytes = 0;
    DebugSupport::Registration debugged;
  };

  // `program` must outlive it, whatever object the units are of. `is_pinned`: what stays may
  // lead to the text.
  LinkedUnits(const HostedProgram* program, const std::string& patch, bool is_pinned,
              std::vector<Part> parts);
  ~LinkedUnits();
  LinkedUnits(const LinkedUnits&) = delete;
  LinkedUnits& operator=(const LinkedUnits&) = delete;

  bool is_pinned() const { return is_pinned_; }
  uint64_t text_bytes() const;
  uint64_t data_bytes() const;
  // Of text that stays: the unwind table has a copy of what it needs.
  void DropRowEntries();

 private:
  const HostedProgram* const program_;
  const bool is_pinned_;
  std::vector<Part> parts_;
};

class PatchedObject {
 public:
  explicit PatchedObject(const HostedProgram* object) : object_(object) {}

  const HostedProgram& object() const { return *object_; }
  PatchData& data() { return data_; }

  // Text that stays as long as the object: data that stays leads to it, or the object goes while
  // threads may be in it. Frees it at once when the object is gone.
  void Keep(std::unique_ptr<LinkedUnits> units) ABSL_LOCKS_EXCLUDED(mu_);
  // The same for the place of a thread-local that a patch brought.
  void KeepThreadLocal(intptr_t offset, size_t size) { thread_locals_.emplace_back(offset, size); }
  // Whether an earlier patch has left objects of one of the unit's types that have another layout.
  absl::Status CheckTypes(const PatchUnit& unit) const ABSL_LOCKS_EXCLUDED(mu_);
  // From now on there may be objects of the unit's types.
  void KeepTypes(const PatchUnit& unit, const std::string& patch) ABSL_LOCKS_EXCLUDED(mu_);
  // The object is about to be freed. REQUIRES: no thread can reach its text, nor what was kept.
  void Free() ABSL_LOCKS_EXCLUDED(mu_);

  void PrepareFork() ABSL_EXCLUSIVE_LOCK_FUNCTION(mu_) { mu_.Lock(); }
  void AfterFork() ABSL_UNLOCK_FUNCTION(mu_) { mu_.Unlock(); }

 private:
  struct KnownType {
    std::string layout;
    std::string patch;  // that has brought it
  };

  const HostedProgram* const object_;
  PatchData data_;
  std::vector<std::pair<intptr_t, size_t>> thread_locals_;
  mutable Mutex mu_;
  std::map<std::string, KnownType> types_ ABSL_GUARDED_BY(mu_);  // by UNIT|TYPE
  bool is_gone_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::unique_ptr<LinkedUnits>> kept_ ABSL_GUARDED_BY(mu_);
};

}  // namespace mend::jit

#endif  // MEND_JIT_PATCH_PATCHED_OBJECT_H_
