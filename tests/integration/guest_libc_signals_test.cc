// Signals as the program sees them: its handlers, its masks, interrupted calls, and what it must
// not see.
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/safepoint.h"
#include "tests/integration/guest_libc_threads.h"

static_assert(mend::kSafepointSignal == mend::jit::kHiddenSignal);

namespace mend::jit {
namespace {

[[maybe_unused]] const auto* const kMain = testing::AddGlobalTestEnvironment(new RegisteredMain);

volatile sig_atomic_t handled;
Activity activity_in_handler;

void Handle(int) {
  activity_in_handler = OwnActivity();
  handled = handled + 1;
}

void Install(int number, int flags, void (*handler)(int) = &Handle) {
  handled = 0;
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ASSERT_EQ(sigaction(number, &action, nullptr), 0);
}

// Installs a handler behind guest_libc's back, as the runtime does: not one of the program's.
void InstallAsRuntime(int number) {
  handled = 0;
  struct sigaction action = {};
  action.sa_handler = &Handle;
  action.sa_flags = SA_RESTART;
  const auto real = reinterpret_cast<decltype(&sigaction)>(dlsym(RTLD_NEXT, "sigaction"));
  ASSERT_EQ(real(number, &action, nullptr), 0);
}

void AwaitHandled(int count) {
  EXPECT_TRUE(Await([&] { return handled == count; }));
}

TEST(SignalHandlerTest, InterruptsBlockedRegionAndReturnsToIt) {
  Install(SIGUSR1, SA_RESTART);
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const ProgramThread thread([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  for (int i = 1; i <= 100; ++i) {
    ASSERT_TRUE(thread.ComesToSleepIn("read"));
    pthread_kill(thread.handle(), SIGUSR1);
    AwaitHandled(i);
    EXPECT_EQ(activity_in_handler, Activity::kRunning);
  }
  EXPECT_TRUE(thread.ComesToSleepIn("read"));
  EXPECT_EQ(write(fds[1], "x", 1), 1);
}

// POSIX had a name for libc's signal once, which headers declare no more.
extern "C" void (*bsd_signal(int number, void (*handler)(int)) noexcept)(int);

TEST(SignalHandlerTest, EveryNameOfSignalTakesTheThreadOutOfItsRegion) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const ProgramThread thread([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  for (auto* const name : {&signal, &bsd_signal, &ssignal}) {
    handled = 0;
    activity_in_handler = Activity::kGone;
    ASSERT_NE(name(SIGUSR1, &Handle), SIG_ERR);
    ASSERT_TRUE(thread.ComesToSleepIn("read"));
    pthread_kill(thread.handle(), SIGUSR1);
    AwaitHandled(1);
    EXPECT_EQ(activity_in_handler, Activity::kRunning);
    EXPECT_EQ(name(SIGUSR1, SIG_DFL), &Handle);
  }
  EXPECT_EQ(write(fds[1], "x", 1), 1);
}

TEST(SignalHandlerTest, WithoutRestartTheCallIsInterrupted) {
  Install(SIGUSR1, 0);
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const ProgramThread thread([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), -1);
    EXPECT_EQ(errno, EINTR);
    EXPECT_EQ(OwnActivity(), Activity::kRunning);
  });
  ASSERT_TRUE(thread.ComesToSleepIn("read"));
  pthread_kill(thread.handle(), SIGUSR1);
}

// The calls that SA_RESTART does not restart.
struct Interruptible {
  const char* function;
  int (*call)();  // -1 and EINTR when interrupted; waits half a second otherwise
};
const timespec kHalfSecond = {.tv_sec = 0, .tv_nsec = 500'000'000};
const Interruptible kInterruptible[] = {
    {"poll", [] { return poll(nullptr, 0, 500); }},
    {"ppoll", [] { return ppoll(nullptr, 0, &kHalfSecond, nullptr); }},
    {"select",
     [] {
       timeval t = {0, 500'000};
       return select(0, nullptr, nullptr, nullptr, &t);
     }},
    {"pselect", [] { return pselect(0, nullptr, nullptr, nullptr, &kHalfSecond, nullptr); }},
    {"epoll_wait",
     [] {
       const int fd = epoll_create1(0);
       epoll_event event;
       const int result = epoll_wait(fd, &event, 1, 500);
       const int error = errno;
       close(fd);
       errno = error;
       return result;
     }},
    {"nanosleep", [] { return nanosleep(&kHalfSecond, nullptr); }},
    {"usleep", [] { return usleep(500'000); }},
    {"clock_nanosleep",
     [] {
       errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &kHalfSecond, nullptr);
       return errno == 0 ? 0 : -1;
     }},
    {"sigtimedwait",
     [] {
       sigset_t none;
       sigemptyset(&none);
       const int result = sigtimedwait(&none, nullptr, &kHalfSecond);
       return result == -1 && errno == EAGAIN ? 0 : result;
     }},
};

TEST(SignalHandlerTest, ProgramsHandlerInterruptsCallsThatDoNotRestart) {
  for (const Interruptible& call : kInterruptible) {
    SCOPED_TRACE(call.function);
    Install(SIGUSR1, SA_RESTART);
    const ProgramThread thread([&] {
      EXPECT_EQ(call.call(), -1);
      EXPECT_EQ(errno, EINTR);
    });
    ASSERT_TRUE(thread.ComesToSleepIn(call.function));
    // Asleep for the runtime is a moment before asleep in the kernel.
    while (!thread.done()) {
      pthread_kill(thread.handle(), SIGUSR1);
      usleep(20'000);
    }
  }
}

TEST(SignalHandlerTest, RuntimesHandlerInterruptsNothing) {
  InstallAsRuntime(SIGUSR2);
  for (const Interruptible& call : kInterruptible) {
    SCOPED_TRACE(call.function);
    handled = 0;
    const int64_t start = NowNs();
    const ProgramThread thread([&] { EXPECT_EQ(call.call(), 0); });
    ASSERT_TRUE(thread.ComesToSleepIn(call.function));
    usleep(50'000);
    for (int i = 1; i <= 3; ++i) {
      pthread_kill(thread.handle(), SIGUSR2);
      AwaitHandled(i);
    }
    EXPECT_TRUE(Await([&] { return thread.done(); }));
    EXPECT_GE(NowNs() - start, 500'000'000);
    EXPECT_LT(NowNs() - start, 3'000'000'000);
  }
}

TEST(SignalHandlerTest, RuntimesHandlerDoesNotEndPause) {
  InstallAsRuntime(SIGUSR2);
  Install(SIGUSR1, 0);
  const ProgramThread thread([] {
    EXPECT_EQ(pause(), -1);
    EXPECT_EQ(errno, EINTR);
    sigset_t mask;
    sigfillset(&mask);
    sigdelset(&mask, SIGUSR1);
    sigdelset(&mask, SIGUSR2);
    EXPECT_EQ(sigsuspend(&mask), -1);
  });
  for (const char* function : {"pause", "sigsuspend"}) {
    ASSERT_TRUE(thread.ComesToSleepIn(function));
    handled = 0;
    pthread_kill(thread.handle(), SIGUSR2);
    AwaitHandled(1);
    usleep(50'000);
    EXPECT_TRUE(thread.ComesToSleepIn(function));
    pthread_kill(thread.handle(), SIGUSR1);
    AwaitHandled(2);
  }
}

sigjmp_buf jump_target;

TEST(SignalHandlerTest, LongjmpOutOfHandlerLeavesRegion) {
  Install(SIGALRM, 0, [](int) { siglongjmp(jump_target, 1); });
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const ProgramThread thread([&] {
    if (sigsetjmp(jump_target, 1) == 0) {
      char byte;
      [[maybe_unused]] const ssize_t size = read(fds[0], &byte, 1);
      ADD_FAILURE() << "read returned";
    }
    EXPECT_EQ(OwnActivity(), Activity::kRunning);
    usleep(1000);  // regions still work
    EXPECT_EQ(OwnActivity(), Activity::kRunning);
  });
  ASSERT_TRUE(thread.ComesToSleepIn("read"));
  pthread_kill(thread.handle(), SIGALRM);
}

TEST(SignalActionTest, ProgramSeesItsOwnHandlerAndFlags) {
  struct sigaction action = {};
  action.sa_handler = &Handle;
  action.sa_flags = SA_NODEFER;
  sigaddset(&action.sa_mask, SIGUSR2);
  struct sigaction before;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &before), 0);
  EXPECT_EQ(before.sa_handler, &Handle);
  constexpr int kRestorer = 0x04000000;
  EXPECT_EQ(before.sa_flags & ~kRestorer, SA_NODEFER);
  EXPECT_EQ(sigismember(&before.sa_mask, SIGUSR2), 1);

  EXPECT_EQ(signal(SIGUSR1, SIG_IGN), &Handle);
  raise(SIGUSR1);
  EXPECT_EQ(signal(SIGUSR1, SIG_DFL), SIG_IGN);
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &before), 0);
  EXPECT_EQ(before.sa_handler, SIG_DFL);
  EXPECT_EQ(signal(SIGUSR1, &Handle), SIG_DFL);
  EXPECT_EQ(signal(SIGUSR1, &Handle), &Handle);
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &before), 0);
  EXPECT_EQ(before.sa_flags & ~kRestorer, SA_RESTART);
}

TEST(SignalActionTest, InfoHandlerGetsItsArguments) {
  static siginfo_t seen;
  struct sigaction action = {};
  action.sa_sigaction = [](int, siginfo_t* info, void* context) {
    seen = *info;
    EXPECT_NE(context, nullptr);
  };
  action.sa_flags = SA_SIGINFO;
  ASSERT_EQ(sigaction(SIGRTMIN, &action, nullptr), 0);
  sigval value;
  value.sival_int = 1234;
  ASSERT_EQ(sigqueue(getpid(), SIGRTMIN, value), 0);
  EXPECT_EQ(seen.si_value.sival_int, 1234);
  EXPECT_EQ(seen.si_signo, SIGRTMIN);
}

TEST(SignalActionTest, ResetHandRunsOnce) {
  Install(SIGUSR1, static_cast<int>(SA_RESETHAND));
  raise(SIGUSR1);
  EXPECT_EQ(handled, 1);
  struct sigaction now;
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &now), 0);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

TEST(SignalActionTest, SigsetHoldsAndReleases) {
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
  handled = 0;
  sigset(SIGUSR1, &Handle);
  EXPECT_EQ(sigset(SIGUSR1, SIG_HOLD), &Handle);
  raise(SIGUSR1);
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(sigset(SIGUSR1, &Handle), SIG_HOLD);
  EXPECT_EQ(handled, 1);
#pragma clang diagnostic pop
}

void HandleToo(int) { handled = handled + 1; }

TEST(SignalActionTest, HandlersChangeWhileSignalsArrive) {
  Install(SIGUSR1, SA_RESTART);
  std::atomic<bool> stop{false};
  std::vector<std::thread> changers;
  for (int i = 0; i < 2; ++i) {
    changers.emplace_back([&] {
      while (!stop) {
        signal(SIGUSR1, &HandleToo);
        signal(SIGUSR1, SIG_IGN);
        const auto before = signal(SIGUSR1, &Handle);
        EXPECT_TRUE(before == SIG_IGN || before == &Handle || before == &HandleToo);
      }
    });
  }
  for (int i = 0; i < 20000; ++i) raise(SIGUSR1);
  stop = true;
  for (std::thread& changer : changers) changer.join();
  EXPECT_GT(handled, 0);
}

volatile sig_atomic_t which;

template <int kNumber>
void HandleAs(int) {
  which = kNumber;
}

template <int... kNumbers>
std::vector<void (*)(int)> DistinctHandlers(std::integer_sequence<int, kNumbers...>) {
  return {&HandleAs<kNumbers>...};
}

TEST(SignalActionTest, AsManyHandlersAsTheProgramHas) {
  const auto distinct = DistinctHandlers(std::make_integer_sequence<int, 700>());
  signal(SIGUSR1, SIG_DFL);
  void (*before)(int) = SIG_DFL;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < static_cast<int>(distinct.size()); ++i) {
      EXPECT_EQ(signal(SIGUSR1, distinct[static_cast<size_t>(i)]), before);
      raise(SIGUSR1);
      EXPECT_EQ(which, i);
      before = distinct[static_cast<size_t>(i)];
    }
  }
  // One that has no entry of its own for another signal does not change this one's.
  signal(SIGUSR2, distinct[690]);
  raise(SIGUSR1);
  EXPECT_EQ(which, 699);
  raise(SIGUSR2);
  EXPECT_EQ(which, 690);
  signal(SIGUSR1, SIG_DFL);
  signal(SIGUSR2, SIG_DFL);
}

TEST(HiddenSignalTest, ProgramCannotNameBlockOrTakeIt) {
  EXPECT_EQ(SIGRTMAX, 63);
  struct sigaction action = {};
  action.sa_handler = &Handle;
  EXPECT_EQ(sigaction(64, &action, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(signal(64, &Handle), SIG_ERR);
  EXPECT_EQ(sigaction(63, &action, nullptr), 0);

  sigset_t all, before;
  sigfillset(&all);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
  uint64_t mask = 0;
  RawSyscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, reinterpret_cast<long>(&mask), sizeof mask);
  EXPECT_EQ(mask >> 63, 0u);
  EXPECT_EQ((mask >> 62) & 1, 1u);
  ASSERT_EQ(sigprocmask(SIG_SETMASK, &before, nullptr), 0);
  EXPECT_EQ(sigismember(&all, 64), 1) << "the program's own set was changed";
}

// Sent by the runtime, it arrives in spite of every mask and is not taken by any wait.
TEST(HiddenSignalTest, ArrivesWhereProgramBlocksAndWaitsForEverything) {
  InstallAsRuntime(kHiddenSignal);
  const int fd = [] {
    sigset_t all;
    sigfillset(&all);
    return signalfd(-1, &all, SFD_NONBLOCK);
  }();
  const ProgramThread thread([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    siginfo_t info;
    EXPECT_EQ(sigwaitinfo(&all, &info), SIGUSR1);
    signalfd_siginfo read_info;
    EXPECT_EQ(read(fd, &read_info, sizeof read_info), -1);
  });
  ASSERT_TRUE(thread.ComesToSleepIn("sigwaitinfo"));
  usleep(50'000);
  ASSERT_EQ(RawSyscall(SYS_tgkill, getpid(), thread.tid(), kHiddenSignal), 0);
  AwaitHandled(1);
  EXPECT_TRUE(thread.ComesToSleepIn("sigwaitinfo"));
  pthread_kill(thread.handle(), SIGUSR1);
  EXPECT_TRUE(Await([&] { return thread.done(); }));
  close(fd);
}

TEST(SignalStackTest, HandlerRunsOnIt) {
  static char stack[65536];
  static uintptr_t in_handler;
  stack_t wanted = {};
  wanted.ss_sp = stack;
  wanted.ss_size = sizeof stack;
  ASSERT_EQ(sigaltstack(&wanted, nullptr), 0);
  EXPECT_EQ(ThreadRegistry::CurrentRecord()->alternate_stack.low,
            reinterpret_cast<uintptr_t>(stack));
  EXPECT_EQ(ThreadRegistry::CurrentRecord()->alternate_stack.high,
            reinterpret_cast<uintptr_t>(stack) + sizeof stack);
  // The frame, not a local: a sanitizer keeps those elsewhere.
  Install(SIGUSR1, SA_ONSTACK,
          [](int) { in_handler = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); });
  raise(SIGUSR1);
  EXPECT_GE(in_handler, reinterpret_cast<uintptr_t>(stack));
  EXPECT_LT(in_handler, reinterpret_cast<uintptr_t>(stack) + sizeof stack);
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  ASSERT_EQ(sigaltstack(&none, nullptr), 0);
  EXPECT_EQ(ThreadRegistry::CurrentRecord()->alternate_stack.high, 0u);
}

}  // namespace
}  // namespace mend::jit
