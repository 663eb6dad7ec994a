// Signal sets as the program may use them: without the signal of the safepoints.
#ifndef MEND_JIT_GUEST_LIBC_SIGNAL_MASK_H_
#define MEND_JIT_GUEST_LIBC_SIGNAL_MASK_H_

#include <signal.h>
#include <stdint.h>

#include <cstring>

#include "jit/guest_libc/guest_libc.h"
#include "runtime/safepoint/thread_registry.h"

namespace mend::jit {

// The kernel's own form of a signal set: what libc's sigset_t begins with.
using KernelSignalSet = uint64_t;
inline constexpr KernelSignalSet kHiddenSignalBit = KernelSignalSet{1} << (kHiddenSignal - 1);

inline KernelSignalSet ToKernelSet(const sigset_t& set) {
  KernelSignalSet words;
  std::memcpy(&words, &set, sizeof words);
  return words;
}

inline void StoreKernelSet(KernelSignalSet words, sigset_t* set) {
  std::memcpy(set, &words, sizeof words);
}

// A set that the program passes to libc. Holds a copy only if the hidden signal was in it.
class VisibleSet {
 public:
  explicit VisibleSet(const sigset_t* set) : set_(set) {
    if (set == nullptr || (ToKernelSet(*set) & kHiddenSignalBit) == 0) return;
    // The runtime's own threads block it for good; libraries that save and restore their mask
    // (abseil does, for a thread's first mutex) must not unblock it.
    if (ThreadRegistry::Get().IsRuntimeThread()) return;
    copy_ = *set;
    StoreKernelSet(ToKernelSet(*set) & ~kHiddenSignalBit, &copy_);
    set_ = &copy_;
  }

  VisibleSet(const VisibleSet&) = delete;
  VisibleSet& operator=(const VisibleSet&) = delete;

  // Null if the program passed null.
  const sigset_t* get() const { return set_; }

 private:
  const sigset_t* set_;
  sigset_t copy_;
};

// Changes the calling thread's mask by a raw system call: the hidden signal included, nothing
// interposed. `how` as for sigprocmask; returns the mask before.
KernelSignalSet ChangeKernelMask(int how, KernelSignalSet set);

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_SIGNAL_MASK_H_
