// What the tests of the core share: a code host over the test program's own text, native functions
// that stand in for hosted ones, and threads that are registered as a program's are.
//
// The functions are compiled by clang with entry stubs, 16-aligned, each in a section of its own,
// so that their exact ranges are known. The stack walker walks them as it walks hosted code.
#ifndef MEND_TESTS_RUNTIME_TRANSITION_CORE_FIXTURE_H_
#define MEND_TESTS_RUNTIME_TRANSITION_CORE_FIXTURE_H_

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/event_log.h"
#include "runtime/base/mutex.h"
#include "runtime/patch/code_host.h"
#include "runtime/patch/patch.h"
#include "runtime/transition/patch_registry.h"

namespace mend::testing {

// A native function in a section of its own. The section's bounds are its text.
#define MEND_NATIVE(name)                                                                \
  extern "C" {                                                                           \
  extern const char __start_mend_##name[];                                               \
  extern const char __stop_mend_##name[];                                                \
  int name(int);                                                                         \
  }                                                                                      \
  extern "C" __attribute__((section("mend_" #name), noinline, aligned(16), used, retain, \
                            patchable_function_entry(8))) int                            \
  name(int argument)

// Hides a value from the optimiser, so that nothing is concluded from a body.
inline int Opaque(int value) {
  __asm__ volatile("" : "+r"(value));
  return value;
}

struct NativeFunction {
  std::string name;
  CodeRange text;
  int (*call)(int);
};
#define MEND_NATIVE_FUNCTION(name)                                              \
  ::mend::testing::NativeFunction {                                             \
    #name,                                                                      \
        {::mend::CodeAddress{reinterpret_cast<uintptr_t>(__start_mend_##name)}, \
         ::mend::CodeAddress{reinterpret_cast<uintptr_t>(__stop_mend_##name)}}, \
        name                                                                    \
  }

// A poll as the compiler makes it.
void Poll();

// Text near the test program, entries rewritten with mprotect.
class FakeCodeHost : public CodeHost {
 public:
  absl::StatusOr<CodeRange> AllocateText(size_t bytes) override;
  void ReleaseText(CodeRange range) override;
  absl::Status WriteText(absl::Span<const TextWrite> writes) override;
  absl::Status WriteEntries(absl::Span<const EntryWrite> writes) override;

  // The slot of a function; made when it is new, holding the original body.
  uintptr_t* SlotOf(const NativeFunction& function);

  int live_texts() const { return live_texts_; }
  int entry_batches() const { return entry_batches_; }

 private:
  int live_texts_ = 0;
  int entry_batches_ = 0;
};

class FakeLoader : public PatchLoader {
 public:
  absl::StatusOr<std::unique_ptr<Patch>> Load(const PatchModule&) override;
  // `OBJECT:NAME,POSITION` of a symbol.
  absl::StatusOr<FunctionSite> FindFunction(const std::string& request) const override;
  std::vector<FunctionSite> UnitFunctions(const std::string& module) const override {
    return SitesOf(units, module);
  }
  absl::Status ResolveObject(Patch* patch, PatchObject* object) override;
  void ForgetObject(Patch* patch, PatchObject* object) override;
  std::string Describe(CodeAddress pc) const override;

  void Know(const NativeFunction& function);
  // Symbols of an object, in link order, that ResolveObject finds.
  void AddSymbol(const std::string& object, const std::string& name, FunctionSite site) {
    site.object = object;
    site.name = name;
    symbols_[object].push_back(std::move(site));
  }
  void DropObject(const std::string& object) { symbols_.erase(object); }
  // What ResolveObject finds for a function of that name that links late, and what it adds besides.
  void LinkLate(const std::string& name, const NativeFunction& function,
                std::vector<CodeRange> added = {}) {
    Know(function);
    late_[name] = {function.text, std::move(added)};
  }
  // What the patch of that name replaces of what earlier ones have added, when the object is there.
  std::map<std::string, PatchFunction> replaces_added;
  // Patch and object of each call, in order.
  const std::vector<std::string>& forgotten() const { return forgotten_; }

  // Of modules: functions marked MEND_UNIT; and those that what is linked late marks.
  std::map<std::string, std::vector<std::string>> units, late_units;

 private:
  std::vector<FunctionSite> SitesOf(const std::map<std::string, std::vector<std::string>>& names,
                                    const std::string& module) const;

  mutable Mutex mu_;  // the coordinator describes stragglers while a test makes its next patch
  std::map<CodeAddress, NativeFunction> known_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<FunctionSite>> symbols_;
  std::map<std::string, std::pair<CodeRange, std::vector<CodeRange>>> late_;
  std::vector<std::string> forgotten_;
};

// A thread of the "program".
class ProgramThread {
 public:
  explicit ProgramThread(std::function<void()> body);
  ~ProgramThread() { Join(); }
  void Join();
  ProgramThread(const ProgramThread&) = delete;
  ProgramThread& operator=(const ProgramThread&) = delete;

 private:
  static void* Run(void* self);
  std::function<void()> body_;
  struct ThreadRecord* record_ = nullptr;
  pthread_t thread_ = {};
  bool joined_ = false;
};

// A flag that a thread sleeps on, inside a blocked region or outside of any.
class Gate {
 public:
  void Open();
  void Await(bool in_blocked_region);
  bool waited_for() const { return waiting_.load() > 0; }
  // Returns once a thread is (about to be) asleep.
  void AwaitWaiter() const;

 private:
  std::atomic<uint32_t> open_{0};
  std::atomic<int> waiting_{0};
};

// A patch's name such that it does not mean a newer generation.
std::string ExactName(const std::string& name);

// What is to happen, happens by then, on the busiest machine; what is held up, is still after this.
inline constexpr absl::Duration kSoon = absl::Seconds(20);
inline constexpr absl::Duration kNotYet = absl::Milliseconds(60);

inline constexpr bool kTsan =
#if __has_feature(thread_sanitizer)
    true;
#else
    false;
#endif

// 0 for OK.
int ErrnoOfStatus(const absl::Status& status);

struct Replacement {
  NativeFunction old_function;
  NativeFunction new_function;
};

class CoreTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Before the first use of the registry.
  RegistryOptions options_;
  PatchRegistry& registry();

  FunctionSite SiteOf(const NativeFunction& function);
  std::unique_ptr<Patch> MakePatch(const std::string& name, bool replace,
                                   const std::vector<Replacement>& replacements,
                                   const std::vector<NativeFunction>& held = {});
  void Enable(std::unique_ptr<Patch> patch);
  // Until no transition runs.
  void Settle();
  // Waits until the transition is held up for the reason `wanted`; the last one, maybe another,
  // when that takes too long or the transition completes.
  std::string AwaitReason(std::string_view wanted);
  void EnableAndWait(std::unique_ptr<Patch> patch);
  void DisableAndWait(const std::string& name);
  // The lines since the last call, without their prefix "livepatch: ".
  std::vector<std::string> Lines();
  std::vector<std::string> Kinds(const std::string& patch);
  bool EntryOpen(const NativeFunction& function) const;

  FakeCodeHost host_;
  FakeLoader loader_;
  EventLog events_;

 private:
  std::unique_ptr<PatchRegistry> registry_;
  uint64_t lines_read_ = 0;
  uint64_t contents_ = 0;
};

}  // namespace mend::testing

#endif  // MEND_TESTS_RUNTIME_TRANSITION_CORE_FIXTURE_H_
