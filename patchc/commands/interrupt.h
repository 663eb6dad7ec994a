// Ctrl-C for commands that go on until somebody ends them.
#ifndef MEND_PATCHC_COMMANDS_INTERRUPT_H_
#define MEND_PATCHC_COMMANDS_INTERRUPT_H_

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace mend::patchc {

// From here on SIGINT and SIGTERM do not end the process, but make the descriptor readable; -1,
// which nobody waits for, where the system has none. Whoever runs other programs gives them an
// empty mask.
inline int InterruptDescriptor() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

// Whether there was one since the last call.
inline bool WasInterrupted(int descriptor) {
  signalfd_siginfo signal;
  return read(descriptor, &signal, sizeof signal) == sizeof signal;
}

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMMANDS_INTERRUPT_H_
