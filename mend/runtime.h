// <mend/runtime.h>: the runtime for a C++ service that hosts part of its own code and patches it
// while it runs.
//
//   auto runtime = mend::Runtime::Create({.name = "server"});
//   absl::Status loaded = (*runtime)->Load("handlers.cc");
//   auto handle = (*runtime)->Lookup<int(const char*)>("handle_request");
//   int code = (*handle)("GET /");
//   auto report = (*runtime)->Apply("fix.mendpatch", {.timeout = absl::Seconds(5)});
//
// Link mend::mend; libmend.so should come before other libraries on the link line, so that the
// process's blocking libc calls pass through it and sleeping threads are switched without waking.
//
// Thread safety: all methods are thread-safe. One Runtime at a time in a process, as many one after
// the other as memory allows: each is empty at first, whatever those before it loaded. What they
// loaded stays mapped, and takes its part of the space for hosted thread-locals.
//
// A shared library may embed the runtime, also one that is opened by dlopen. Then hosted
// thread-locals have 512 bytes in all, unless the executable links lib/mend/static_pool.o as one
// that embeds the runtime itself does; and of the library's own functions hosted code finds those
// that the process sees (RTLD_GLOBAL).
//
// Errors: absl::Status; a refusal leaves the program running as before, with the earlier patch
// active, and its message says which function or file, and why. No exceptions are thrown by mend.
#ifndef MEND_MEND_RUNTIME_H_
#define MEND_MEND_RUNTIME_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "mend/function.h"

namespace mend {

struct RuntimeOptions {
  std::string name;    // how operators find this process; empty: the executable's base name
  bool serve = false;  // serve the control socket, for `mend` and `patchc apply --to`
  std::string socket;  // its path; empty: the default place
  std::string log;     // file for event lines; empty: none are written
  absl::Duration poke_interval = absl::Seconds(15);
  bool debugger = false;  // describe hosted code to gdb, when it attaches or has attached
  bool perf = false;      // write perf's map of hosted code, /tmp/perf-PID.map
};

// What to do when not every thread has switched in time.
enum class OnTimeout { kReverse, kWait, kForce };

struct ApplyRequest {
  absl::Duration timeout = absl::Seconds(30);
  OnTimeout on_timeout = OnTimeout::kReverse;
  bool wait = true;  // false: return once the transition has started
  // Only these threads switch, until Promote: "3" (the youngest), "10%" or a glob of thread names.
  // Empty: all. Not with kForce.
  std::string canary;
};

// What an Apply did.
struct ApplyReport {
  std::string patch;                   // final name: NAME~2 for a second generation
  bool already_applied = false;        // the same patch was enabled: nothing was done
  bool complete = false;               // every thread has switched
  bool held = false;                   // the canary's threads have
  std::vector<std::string> functions;  // replaced, demangled
  int64_t link_ns = 0;
  int64_t switch_ns = 0;  // from the first opened entry to the last thread switched
  std::string last_straggler;
};

// A patch as the runtime sees it.
struct PatchSummary {
  std::string name;
  bool enabled = false;
  bool in_transition = false;
};

class MEND_EXPORT Runtime {
 public:
  // RESOURCE_EXHAUSTED; FAILED_PRECONDITION when the process has a runtime already, when a
  // transition of the one before has not finished, or debugger and perf are not as they were for
  // that one.
  static absl::StatusOr<std::unique_ptr<Runtime>> Create(const RuntimeOptions& options);

  // Stops serving. Hosted code stays mapped, patched as it is: exit handlers and threads may still
  // run it. A transition that runs is completed; a canary is taken back.
  ~Runtime();

  // Hosts a C or C++ source, LLVM IR, a relocatable object or an archive, and runs its
  // constructors. Sources are compiled by patchc, which must be installed beside libmend.
  // INVALID_ARGUMENT carries the compiler's diagnostics; nothing is loaded then.
  absl::Status Load(const std::string& file);

  // The function of that name: a symbol name, or a C++ name with its parameter types.
  // NOT_FOUND; FAILED_PRECONDITION with the candidates when the name is ambiguous.
  template <typename Signature>
  absl::StatusOr<Function<Signature>> Lookup(const std::string& name) {
    absl::StatusOr<void*> entry = LookupAddress(name);
    if (!entry.ok()) return entry.status();
    return Function<Signature>(reinterpret_cast<typename Function<Signature>::Pointer>(*entry));
  }

  // Applies a patch module made by `patchc build`. DEADLINE_EXCEEDED: the transition timed out and
  // was reversed; the message names the thread that held it up.
  absl::StatusOr<ApplyReport> Apply(const std::string& module_file,
                                    const ApplyRequest& request = {});

  // Takes a patch off, by one transition that has completed when the call returns.
  absl::Status Disable(const std::string& patch, absl::Duration timeout = absl::Seconds(30));
  // Has a canary's other threads switch too; all have when the call returns.
  absl::Status Promote(const std::string& patch, absl::Duration timeout = absl::Seconds(30));
  // Turns the running transition of `patch` round.
  absl::Status Reverse(const std::string& patch);
  // Completes the running transition without regard to what threads run. Unsafe by nature.
  absl::Status Force(const std::string& patch);
  // Hosted code that was seen on a stack of which nobody told (see ForeignStack) has patches
  // refused and transitions wait, for good: what is suspended there is in nobody's sight. `ignore`:
  // go on all the same, for a host that is sure that no hosted frame of a patch is. For all
  // runtimes of the process.
  void IgnoreUnregisteredStacks(bool ignore);
  // Frees a patch that is not enabled.
  absl::Status Remove(const std::string& patch);
  std::vector<PatchSummary> Patches() const;

  // Calls `on_event` with each event's text, in order, from a thread of the runtime, until the
  // runtime is destroyed. `on_event` must not call the runtime back.
  // RESOURCE_EXHAUSTED when there is no thread to be had.
  absl::Status Subscribe(std::function<void(const std::string& text)> on_event);

 private:
  struct Impl;
  explicit Runtime(std::unique_ptr<Impl> impl);
  absl::StatusOr<void*> LookupAddress(const std::string& name) const;

  std::unique_ptr<Impl> impl_;
};

namespace internal {

// rip, rsp, rbp, rbx, r12 to r15 of the frame that waits.
struct Anchor {
  uintptr_t registers[8];
};
// False when the thread is in no hosted code, or waits already: then there is nothing to leave.
MEND_EXPORT bool EnterBlocked(const Anchor& anchor) noexcept;
MEND_EXPORT void LeaveBlocked() noexcept;

MEND_EXPORT void DepartForStack(const void* destination, const Anchor& anchor,
                                uintptr_t* mark) noexcept;

// Stores the registers of the function that this is inlined into.
__attribute__((always_inline)) inline void Capture(Anchor* anchor) noexcept {
  uintptr_t scratch;
  __asm__ volatile(
      "1: leaq 1b(%%rip), %0\n\t"
      "movq %0, 0(%1)\n\t"
      "movq %%rsp, 8(%1)\n\t"
      "movq %%rbp, 16(%1)\n\t"
      "movq %%rbx, 24(%1)\n\t"
      "movq %%r12, 32(%1)\n\t"
      "movq %%r13, 40(%1)\n\t"
      "movq %%r14, 48(%1)\n\t"
      "movq %%r15, 56(%1)"
      : "=&r"(scratch)
      : "r"(anchor)
      : "memory");
}

}  // namespace internal

// Around a host's own blocking call below hosted frames (hosted code called the host, and the host
// waits in a way that mend does not know, such as a raw system call): while the guard lives, the
// thread can be switched without waking it. Keep it in the frame that makes the call.
class BlockingCall {
 public:
  // Inlined, so that the anchor is the caller's own frame.
  __attribute__((always_inline)) BlockingCall() noexcept {
    internal::Anchor anchor;
    internal::Capture(&anchor);
    entered_ = internal::EnterBlocked(anchor);
  }
  ~BlockingCall() {
    if (entered_) internal::LeaveBlocked();
  }
  BlockingCall(const BlockingCall&) = delete;
  BlockingCall& operator=(const BlockingCall&) = delete;

 private:
  bool entered_;
};

// A stack of the host's own, a fiber's, on which hosted code may run: it calls the host, which goes
// on with another fiber, and comes back, in another thread maybe. Hosted frames that are suspended
// so are waited for like those of a thread, and go on with the version that they began with.
//
// Each switch is told of by a StackSwitch. (swapcontext needs neither, in a host that is linked
// with libmend before libc.) A thread that has switched stacks counts as one of the program from
// then on: where it waits in ways that mend does not know, it is signalled after the poke interval.
//
//   mend::ForeignStack stack(memory, size);                          // before anything runs there
//   { mend::StackSwitch leaving(fiber->sp); SwitchTo(&sp, fiber); }  // until somebody comes back
//   void Begin() { mend::StackSwitch::Arrive(); ... }                // where a fiber begins
class MEND_EXPORT ForeignStack {
 public:
  // [low, low + size). Has the calling thread's patch state.
  ForeignStack(void* low, size_t size);
  // Nothing will run there any more. REQUIRES: nothing does.
  ~ForeignStack();
  ForeignStack(const ForeignStack&) = delete;
  ForeignStack& operator=(const ForeignStack&) = delete;

 private:
  uintptr_t low_;
  uintptr_t high_;
};

// Keep it in the frame that switches, from before until after; the switch must come next. The
// thread's signals wait meanwhile (two system calls).
class StackSwitch {
 public:
  // `destination`: an address on the stack that it goes to, as its saved stack pointer. The
  // thread's own stack is gone back to in the same way. Inlined, so that the anchor is the caller's
  // own frame.
  __attribute__((always_inline)) explicit StackSwitch(const void* destination) noexcept {
    internal::Anchor anchor;
    internal::Capture(&anchor);
    internal::DepartForStack(destination, anchor, const_cast<uintptr_t*>(&mark_));
  }
  ~StackSwitch() {
    Arrive();
    mark_ = 0;
  }
  StackSwitch(const StackSwitch&) = delete;
  StackSwitch& operator=(const StackSwitch&) = delete;

  // The first thing on a stack that nothing has run on yet.
  MEND_EXPORT static void Arrive() noexcept;

 private:
  volatile uintptr_t mark_ = 0;
};

}  // namespace mend

#endif  // MEND_MEND_RUNTIME_H_
