// The text of the simulated process: entries, slots, versions, trampolines, a guest module that
// comes and goes, and patches for all of it. Real memory, written by the core, and never executed.
//
// The functions: `pair` (held by every patch) calls `alpha` and then `beta`, and `delta` before and
// after them; `alpha` calls `beta`; `gamma`, of the module `mod`, calls `beta`. A patch replaces
// alpha, beta and (if it is told to) gamma; or delta, which patches of a set of their own do. What
// must never be seen: two versions inside one activation.
#ifndef MEND_TESTS_SIMULATION_MODEL_HOST_H_
#define MEND_TESTS_SIMULATION_MODEL_HOST_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/patch/code_host.h"
#include "runtime/patch/patch.h"

namespace mend::simulation {

// The module has gamma, which is marked MEND_UNIT, and epsilon, which passes for added to it by a
// patch of before.
enum Function : int { kPair, kAlpha, kBeta, kGamma, kDelta, kEpsilon, kFunctions };

// What a patch is made with. Every other version's gamma links when the module is there; those
// versions replace epsilon, too.
struct PatchPlan {
  int version = 1;
  bool replace = true;
  bool has_module = false;     // replaces gamma too
  bool has_callbacks = false;  // model_callbacks.h
  std::string set;
  bool replaces_delta = false;               // and nothing else
  std::map<unsigned long, unsigned> states;  // the versions, by id
};

class ModelHost : public CodeHost {
 public:
  ModelHost();
  absl::StatusOr<CodeRange> AllocateText(size_t bytes) override;
  void ReleaseText(CodeRange range) override;
  absl::Status WriteText(absl::Span<const TextWrite> writes) override;
  absl::Status WriteEntries(absl::Span<const EntryWrite> writes) override;

  std::unique_ptr<Patch> MakePatch(const PatchPlan& plan);

  // The guest module's text: linked, gone.
  mend_object* LinkModule();
  void FreeModule();
  bool has_module() const { return !sites_[kGamma].entry.is_null(); }
  mend_object* module() const { return modules_.back().get(); }
  CodeRange module_text() const;

  // gamma's has no entry while the module is not linked.
  const FunctionSite& Site(Function function) const { return sites_[function]; }
  // The version whose text `body` begins; -1: none, or it was freed.
  int VersionAt(CodeAddress body) const;
  // A trampoline that was not freed.
  bool IsTrampoline(CodeAddress address) const;
  // Where the range that it is in begins, which is freed as a whole.
  CodeAddress TrampolinesAround(CodeAddress address) const;
  bool Freed(CodeAddress address) const;
  size_t live_trampolines() const { return trampolines_.size(); }
  uint64_t EntryBytes(Function function) const;
  // What an open entry of the function reads.
  uint64_t OpenBytes(Function function) const;
  // Whether each slot leads somewhere: to a body or to a trampoline, and none of them freed.
  bool SlotsLead() const;
  // Whether no entry is open (unless one could not be closed), and each slot holds its original.
  bool Pristine(bool entries_may_be_open) const;

 private:
  friend class ModelText;
  friend class ModelLoader;
  struct Version {
    CodeRange text;
    int number;
    bool freed;
    bool goes_with_module = false;  // linked late for a module that has gone since
  };
  CodeRange NewText(size_t bytes);
  void MakeFunction(Function function);
  PatchObject MakeObject(const PatchPlan& plan, const char* name,
                         const std::vector<Function>& functions);

  size_t used_ = 0;
  size_t slots_used_ = 0;
  FunctionSite sites_[kFunctions];
  std::vector<Version> versions_;
  std::vector<CodeRange> trampolines_;
  std::vector<CodeRange> freed_;
  std::vector<std::unique_ptr<mend_object>> modules_;  // the newest is the one that is linked
  std::deque<mend_state> records_;                     // of patches' states
};

// Knows where gamma is, and links patches' versions of it that are to be linked late, with
// epsilon's.
class ModelLoader : public PatchLoader {
 public:
  explicit ModelLoader(ModelHost* host) : host_(host) {}
  absl::StatusOr<std::unique_ptr<Patch>> Load(const PatchModule&) override;
  absl::Status ResolveObject(Patch* patch, PatchObject* object) override;
  void ForgetObject(Patch* patch, PatchObject* object) override;
  absl::StatusOr<FunctionSite> FindFunction(const std::string& name) const override;
  std::vector<FunctionSite> UnitFunctions(const std::string&) const override {
    return {host_->Site(kGamma)};
  }
  std::string Describe(CodeAddress) const override { return "f"; }

 private:
  void LinkLate(PatchFunction* function, int version);

  ModelHost* const host_;
};

// Reads what the core wrote.
template <typename Value>
Value ReadText(CodeAddress at) {
  Value value;
  __builtin_memcpy(&value, reinterpret_cast<const void*>(at.value), sizeof value);
  return value;
}

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_MODEL_HOST_H_
