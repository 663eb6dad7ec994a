// Safepoints: where a running thread looks at the current request by itself, at a poll that the
// compiler put there (safepoint_poll.h), or in the handler of the safepoint signal.
//
// The signal (kSafepointSignal) is SIGRTMAX as the kernel counts. guest_libc hides it from the
// program: no mask blocks it, no sigwait or signalfd takes it, sigaction refuses it.
#ifndef MEND_RUNTIME_SAFEPOINT_SAFEPOINT_H_
#define MEND_RUNTIME_SAFEPOINT_SAFEPOINT_H_

#include "absl/status/status.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/register_context.h"
#include "runtime/safepoint/thread_record.h"

namespace mend {

// Installs the handler. Idempotent. Where somebody else owns the signal (valgrind takes the last
// one for itself), returns OK and none is ever sent: running threads switch at polls alone.
absl::Status InstallSafepointSignal();
bool HasSafepointSignal();

// From now on no thread is signalled: the calling one is about to confine itself to system calls
// that do not include the return from a signal handler. Running threads switch at polls alone, or
// when they stop running.
void ForgoSafepointSignal();

// A running thread whose poll byte is set looks at the current request, from where `context` is.
// Preserves errno.
void AnswerPoll(const RegisterContext& context) noexcept;

// Asks a running thread to look at the current request; see invariant 4 of ThreadRecord. False when
// the thread is not running (any more), a signal is on its way already, or the thread is gone.
// REQUIRES: the patch registry's mutex.
bool SendSafepointSignal(ThreadRecord& record);

}  // namespace mend

#endif  // MEND_RUNTIME_SAFEPOINT_SAFEPOINT_H_
