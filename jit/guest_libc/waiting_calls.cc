// Calls that wait for descriptors to become ready, for time to pass or for a child: those that end
// with EINTR whatever a handler's flags say.
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jit/guest_libc/blocking.h"
#include "jit/guest_libc/signal_mask.h"

namespace mend::jit {
namespace {

// For calls whose time-out is in milliseconds, negative for none.
template <typename Call>
int CallRestartingMs(const char* function, int timeout_ms, Call call) {
  if (timeout_ms <= 0) return CallRestarting(function, [&] { return call(timeout_ms); });
  const timespec timeout = ToTimespec(int64_t{timeout_ms} * 1'000'000);
  return CallRestartingFor(function, &timeout, [&](const timespec* left) {
    const int64_t left_ms = (ToNanoseconds(*left) + 999'999) / 1'000'000;
    return call(static_cast<int>(left_ms));
  });
}

}  // namespace
}  // namespace mend::jit

using mend::jit::CallRestarting;
using mend::jit::CallRestartingFor;
using mend::jit::CallRestartingMs;
using mend::jit::VisibleSet;

MEND_NEXT(int, poll, pollfd*, nfds_t, int);
MEND_INTERPOSE(int, poll, pollfd* fds, nfds_t count, int timeout_ms) {
  return CallRestartingMs("poll", timeout_ms,
                          [&](int left) { return next_poll(fds, count, left); });
}

MEND_NEXT(int, __poll_chk, pollfd*, nfds_t, int, size_t);
MEND_INTERPOSE(int, __poll_chk, pollfd* fds, nfds_t count, int timeout_ms, size_t room) {
  return CallRestartingMs("poll", timeout_ms,
                          [&](int left) { return next___poll_chk(fds, count, left, room); });
}

MEND_NEXT(int, ppoll, pollfd*, nfds_t, const timespec*, const sigset_t*);
MEND_INTERPOSE(int, ppoll, pollfd* fds, nfds_t count, const timespec* timeout,
               const sigset_t* mask) {
  const VisibleSet visible(mask);
  return CallRestartingFor("ppoll", timeout, [&](const timespec* left) {
    return next_ppoll(fds, count, left, visible.get());
  });
}

MEND_NEXT(int, __ppoll_chk, pollfd*, nfds_t, const timespec*, const sigset_t*, size_t);
MEND_INTERPOSE(int, __ppoll_chk, pollfd* fds, nfds_t count, const timespec* timeout,
               const sigset_t* mask, size_t room) {
  const VisibleSet visible(mask);
  return CallRestartingFor("ppoll", timeout, [&](const timespec* left) {
    return next___ppoll_chk(fds, count, left, visible.get(), room);
  });
}

// The kernel counts the time-out of select down in place, and leaves the sets alone when it is
// interrupted: it can be made again as it stands.
MEND_BLOCKING_RESTARTING(int, select,
                         (int count, fd_set* in, fd_set* out, fd_set* error, timeval* timeout),
                         (count, in, out, error, timeout))

MEND_NEXT(int, pselect, int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*);
MEND_INTERPOSE(int, pselect, int count, fd_set* in, fd_set* out, fd_set* error,
               const timespec* timeout, const sigset_t* mask) {
  const VisibleSet visible(mask);
  return CallRestartingFor("pselect", timeout, [&](const timespec* left) {
    return next_pselect(count, in, out, error, left, visible.get());
  });
}

MEND_NEXT(int, epoll_wait, int, epoll_event*, int, int);
MEND_INTERPOSE(int, epoll_wait, int fd, epoll_event* events, int count, int timeout_ms) {
  return CallRestartingMs("epoll_wait", timeout_ms,
                          [&](int left) { return next_epoll_wait(fd, events, count, left); });
}

MEND_NEXT(int, epoll_pwait, int, epoll_event*, int, int, const sigset_t*);
MEND_INTERPOSE(int, epoll_pwait, int fd, epoll_event* events, int count, int timeout_ms,
               const sigset_t* mask) {
  const VisibleSet visible(mask);
  return CallRestartingMs("epoll_pwait", timeout_ms, [&](int left) {
    return next_epoll_pwait(fd, events, count, left, visible.get());
  });
}

MEND_NEXT(int, epoll_pwait2, int, epoll_event*, int, const timespec*, const sigset_t*);
MEND_INTERPOSE(int, epoll_pwait2, int fd, epoll_event* events, int count, const timespec* timeout,
               const sigset_t* mask) {
  const VisibleSet visible(mask);
  return CallRestartingFor("epoll_pwait2", timeout, [&](const timespec* left) {
    return next_epoll_pwait2(fd, events, count, left, visible.get());
  });
}

// The calls that sleep say what is left themselves.
MEND_NEXT(int, nanosleep, const timespec*, timespec*);
MEND_INTERPOSE(int, nanosleep, const timespec* duration, timespec* remaining) {
  timespec left;
  timespec* const rest = remaining != nullptr ? remaining : &left;
  return CallRestarting("nanosleep", [&, next = duration]() mutable {
    const int result = next_nanosleep(next, rest);
    if (result == -1 && errno == EINTR) next = rest;
    return result;
  });
}

MEND_NEXT_VERSION(int, clock_nanosleep, "GLIBC_2.17", clockid_t, int, const timespec*, timespec*);
MEND_INTERPOSE(int, clock_nanosleep, clockid_t clock, int flags, const timespec* duration,
               timespec* remaining) {
  const mend::BlockedRegion region("clock_nanosleep");
  const mend::jit::InterruptionWatch watch;
  timespec left;
  const bool is_absolute = (flags & TIMER_ABSTIME) != 0;
  timespec* const rest = is_absolute || remaining != nullptr ? remaining : &left;
  while (true) {
    const int error = next_clock_nanosleep(clock, flags, duration, rest);
    if (!watch.ShallRestart(error == EINTR)) return error;
    if (!is_absolute) duration = rest;
  }
}

// Made of nanosleep: sleep itself says whole seconds only, so it could not be taken up again.
MEND_INTERPOSE(unsigned, sleep, unsigned seconds) {
  const mend::BlockedRegion region("sleep");
  const mend::jit::InterruptionWatch watch;
  timespec left = {.tv_sec = seconds, .tv_nsec = 0};
  while (true) {
    if (next_nanosleep(&left, &left) == 0) return 0;
    if (!watch.ShallRestart(errno == EINTR)) return static_cast<unsigned>(left.tv_sec);
  }
}

MEND_INTERPOSE(int, usleep, useconds_t microseconds) {
  const timespec duration = mend::jit::ToTimespec(int64_t{microseconds} * 1000);
  return CallRestartingFor("usleep", &duration,
                           [](const timespec* left) { return next_nanosleep(left, nullptr); });
}

MEND_BLOCKING_RESTARTING(int, pause, (), ())

MEND_NEXT(int, sigsuspend, const sigset_t*);
MEND_INTERPOSE(int, sigsuspend, const sigset_t* mask) {
  const VisibleSet visible(mask);
  return CallRestarting("sigsuspend", [&] { return next_sigsuspend(visible.get()); });
}

MEND_NEXT(int, sigwait, const sigset_t*, int*);
MEND_INTERPOSE(int, sigwait, const sigset_t* set, int* signal_number) {
  const VisibleSet visible(set);
  const mend::BlockedRegion region("sigwait");
  return next_sigwait(visible.get(), signal_number);
}

MEND_NEXT(int, sigwaitinfo, const sigset_t*, siginfo_t*);
MEND_INTERPOSE(int, sigwaitinfo, const sigset_t* set, siginfo_t* info) {
  const VisibleSet visible(set);
  return CallRestarting("sigwaitinfo", [&] { return next_sigwaitinfo(visible.get(), info); });
}

MEND_NEXT(int, sigtimedwait, const sigset_t*, siginfo_t*, const timespec*);
MEND_INTERPOSE(int, sigtimedwait, const sigset_t* set, siginfo_t* info, const timespec* timeout) {
  const VisibleSet visible(set);
  return CallRestartingFor("sigtimedwait", timeout, [&](const timespec* left) {
    return next_sigtimedwait(visible.get(), info, left);
  });
}

// clang-format off
MEND_BLOCKING_RESTARTING(pid_t, wait, (int* status), (status))
MEND_BLOCKING_RESTARTING(pid_t, waitpid, (pid_t pid, int* status, int options), (pid, status, options))
MEND_BLOCKING_RESTARTING(pid_t, __waitpid, (pid_t pid, int* status, int options), (pid, status, options))
MEND_BLOCKING_RESTARTING(pid_t, wait3, (int* status, int options, rusage* usage), (status, options, usage))
MEND_BLOCKING_RESTARTING(pid_t, wait4, (pid_t pid, int* status, int options, rusage* usage), (pid, status, options, usage))
MEND_BLOCKING_RESTARTING(int, waitid, (idtype_t type, id_t id, siginfo_t* info, int options), (type, id, info, options))
// clang-format on
