// Threads begin and end, are cancelled, fork and exec.
#include <errno.h>
#include <execinfo.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include <new>
#include <string>
#include <vector>

#include "jit/guest_libc/stack_size.h"
#include "runtime/safepoint/runtime_thread.h"
#include "runtime/safepoint/unwind_table.h"
#include "tests/integration/guest_libc_threads.h"

namespace mend::jit {
namespace {

[[maybe_unused]] const auto* const kMain = testing::AddGlobalTestEnvironment(new RegisteredMain);

// As much static TLS as the loader's pool has.
thread_local volatile char tls_pool[64 * 1024];

int Wait(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST(ThreadTest, ThousandThreadsComeAndGo) {
  std::atomic<int> registered{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 1000; ++i) {
    threads.emplace_back([&] {
      if (ThreadRegistry::CurrentRecord() != nullptr && OwnActivity() == Activity::kRunning) {
        ++registered;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(registered, 1000);
  int left = 0;
  for (ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    if (record->activity.Get() != Activity::kGone) ++left;
  }
  EXPECT_EQ(left, 1) << "only the main thread";
}

pthread_key_t late_key;
std::atomic<int> late_rounds{0};

// Its destructors are the program's code: the thread must still count.
TEST(ThreadTest, CountsUntilItsLastDestructor) {
  ASSERT_EQ(pthread_key_create(&late_key,
                               [](void* value) {
                                 EXPECT_EQ(OwnActivity(), Activity::kRunning);
                                 if (++late_rounds < PTHREAD_DESTRUCTOR_ITERATIONS - 1) {
                                   pthread_setspecific(late_key, value);
                                 }
                               }),
            0);
  struct AtEnd {
    ~AtEnd() { EXPECT_EQ(OwnActivity(), Activity::kRunning); }
  };
  std::atomic<ThreadRecord*> record{nullptr};
  std::thread([&] {
    static thread_local AtEnd at_end;
    [[maybe_unused]] AtEnd* const used = &at_end;
    pthread_setspecific(late_key, &late_key);
    record = ThreadRegistry::CurrentRecord();
  }).join();
  EXPECT_EQ(late_rounds, PTHREAD_DESTRUCTOR_ITERATIONS - 1);
  EXPECT_EQ(record.load()->activity.Get(), Activity::kGone);
}

TEST(ThreadTest, StartHookRunsRegisteredAndBeforeHandlers) {
  static std::atomic<int> hooks;
  static std::atomic<int> handled;
  static std::atomic<int> handled_before_hook;
  static thread_local bool hooked = false;
  hooks = handled = handled_before_hook = 0;
  SetThreadStartHook([] {
    EXPECT_EQ(OwnActivity(), Activity::kRunning);
    // Long enough for a signal to come by.
    for (const int64_t end = NowNs() + 1'000'000; NowNs() < end;) continue;
    hooked = true;
    ++hooks;
  });
  signal(SIGUSR1, [](int) {
    ++handled;
    if (!hooked) ++handled_before_hook;
  });
  // The kernel prefers the main thread for the process's signals.
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  std::atomic<bool> done{false};
  std::thread creator([&] {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    for (int i = 0; i < 100; ++i) std::thread([] {}).join();
    done = true;
  });
  while (!done) {
    kill(getpid(), SIGUSR1);
    usleep(100);
  }
  creator.join();
  SetThreadStartHook(nullptr);
  signal(SIGUSR1, SIG_IGN);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(hooks, 101);
  EXPECT_GT(handled, 0);
  EXPECT_EQ(handled_before_hook, 0);
}

TEST(ThreadTest, KeepsTheCreatorsMask) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  std::thread([] {
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    EXPECT_EQ(sigismember(&now, SIGUSR2), 1);
    EXPECT_EQ(sigismember(&now, SIGUSR1), 0);
  }).join();
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, &before, &after);
  EXPECT_EQ(sigismember(&after, SIGUSR1), 0);
}

std::atomic<int> handled_in_order{0};
std::atomic<int> handled_too_early{0};

// libc gives the mask of its attributes to a thread before anything of it runs.
TEST(ThreadTest, AttributesMaskLetsHandlersInWhenTheThreadCounts) {
  struct sigaction action = {}, before_action;
  action.sa_handler = [](int) {
    const bool counts =
        ThreadRegistry::CurrentRecord() != nullptr && OwnActivity() == Activity::kRunning;
    ++(counts ? handled_in_order : handled_too_early);
  };
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before_action), 0);
  sigset_t blocked, wanted, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGUSR2);
  cpu_set_t processors;
  ASSERT_EQ(sched_getaffinity(0, sizeof processors, &processors), 0);
  int processor = 0;
  while (!CPU_ISSET(processor, &processors)) ++processor;
  CPU_ZERO(&processors);
  CPU_SET(processor, &processors);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setsigmask_np(&attributes, &wanted), 0);
  ASSERT_EQ(pthread_attr_setaffinity_np(&attributes, sizeof processors, &processors), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
  ASSERT_EQ(kill(getpid(), SIGUSR1), 0);  // waits for a thread that takes it
  pthread_t thread;
  const auto body = [](void*) -> void* {
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    EXPECT_EQ(sigismember(&now, SIGUSR2), 1);
    EXPECT_EQ(sigismember(&now, SIGUSR1), 0);
    cpu_set_t own;
    EXPECT_EQ(sched_getaffinity(0, sizeof own, &own), 0);
    EXPECT_EQ(CPU_COUNT(&own), 1);
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, body, nullptr), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  sigaction(SIGUSR1, &before_action, nullptr);
  EXPECT_EQ(handled_too_early, 0);
  EXPECT_EQ(handled_in_order, 1);
}

// Uses `size` bytes of the stack.
__attribute__((noinline)) int UseStack(size_t size) {
  auto* const bytes = static_cast<volatile char*>(__builtin_alloca(size));
  for (size_t i = 0; i < size; i += 512) bytes[i] = 1;
  return bytes[0];
}

void* UseTwelveKilobytes(void*) {
  tls_pool[0] = 1;
  return reinterpret_cast<void*>(static_cast<uintptr_t>(UseStack(12 * 1024)));
}

TEST(ThreadTest, SmallestStackHasItsFullSize) {
  EXPECT_GE(OwnStaticTlsSize(), sizeof tls_pool);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN), 0);
  pthread_t thread;
  void* result = nullptr;
  ASSERT_EQ(pthread_create(&thread, &attributes, &UseTwelveKilobytes, nullptr), 0);
  ASSERT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, reinterpret_cast<void*>(1));
  size_t size = 0;
  pthread_attr_getstacksize(&attributes, &size);
  EXPECT_EQ(size, static_cast<size_t>(PTHREAD_STACK_MIN)) << "the program's attributes changed";
  pthread_attr_destroy(&attributes);
}

TEST(ThreadTest, ProgramsOwnSmallStackIsReplaced) {
  constexpr size_t kSize = 16 * 1024;
  void* const memory =
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstack(&attributes, memory, kSize), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, &UseTwelveKilobytes, nullptr), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
  munmap(memory, kSize);
}

TEST(ThreadTest, RuntimesThreadIsNotTheProgrammes) {
  pthread_t thread;
  ASSERT_TRUE(StartRuntimeThread(
                  "test",
                  [](void*) -> void* {
                    EXPECT_EQ(ThreadRegistry::CurrentRecord(), nullptr);
                    usleep(1000);
                    std::thread([] { EXPECT_EQ(ThreadRegistry::CurrentRecord(), nullptr); }).join();
                    return nullptr;
                  },
                  nullptr, &thread)
                  .ok());
  pthread_join(thread, nullptr);
}

struct NoticesUnwinding {
  std::atomic<int>* unwound;
  ~NoticesUnwinding() {
    EXPECT_EQ(OwnActivity(), Activity::kRunning);
    ++*unwound;
  }
};

TEST(CancellationTest, LeavesRegionsWhileItUnwinds) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  struct Case {
    const char* function;
    std::function<void()> sleep;
  };
  const Case cases[] = {
      {"read",
       [&] {
         char byte;
         (void)!read(fds[0], &byte, 1);
       }},
      {"poll", [] { poll(nullptr, 0, -1); }},
      {"nanosleep",
       [] {
         const timespec long_time = {1000, 0};
         nanosleep(&long_time, nullptr);
       }},
      {"pthread_cond_wait",
       [&] {
         pthread_mutex_lock(&mutex);
         pthread_cleanup_push(
             [](void* m) { pthread_mutex_unlock(static_cast<pthread_mutex_t*>(m)); }, &mutex);
         pthread_cond_wait(&condition, &mutex);
         pthread_cleanup_pop(0);
       }},
      {"wait4",
       [] {
         wait4(getppid(), nullptr, 0, nullptr);
         pause();
       }},
      {"sem_wait", [] { pause(); }},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.function);
    std::atomic<int> unwound{0};
    std::atomic<ThreadRecord*> record{nullptr};
    struct Start {
      const Case* which;
      std::atomic<int>* unwound;
      std::atomic<ThreadRecord*>* record;
    } start = {&one, &unwound, &record};
    pthread_t thread;
    ASSERT_EQ(pthread_create(
                  &thread, nullptr,
                  [](void* argument) -> void* {
                    const auto& s = *static_cast<Start*>(argument);
                    const NoticesUnwinding notices{s.unwound};
                    *s.record = ThreadRegistry::CurrentRecord();
                    s.which->sleep();
                    return nullptr;
                  },
                  &start),
              0);
    ASSERT_TRUE(Await([&] {
      return record.load() != nullptr && record.load()->activity.Get() == Activity::kBlocked;
    }));
    ASSERT_EQ(pthread_cancel(thread), 0);
    void* result = nullptr;
    ASSERT_EQ(pthread_join(thread, &result), 0);
    EXPECT_EQ(result, PTHREAD_CANCELED);
    EXPECT_EQ(unwound, 1);
    EXPECT_EQ(record.load()->activity.Get(), Activity::kGone);
  }
  EXPECT_EQ(pthread_mutex_trylock(&mutex), 0) << "the mutex was not given back";
}

TEST(CancellationTest, ThreadExitRunsDestructors) {
  static std::atomic<int> unwound;
  unwound = 0;
  std::thread([] {
    const NoticesUnwinding notices{&unwound};
    pthread_exit(nullptr);
  }).join();
  EXPECT_EQ(unwound, 1);
}

std::string fork_trace;

TEST(ForkTest, HooksRunInsideTheProgramsHandlers) {
  SetForkHooks({.prepare = [] { fork_trace += "[prepare]"; },
                .parent = [] { fork_trace += "[parent]"; },
                .child = [] { fork_trace += "[child]"; }});
  pthread_atfork([] { fork_trace += "program-prepare "; }, [] { fork_trace += " program-parent"; },
                 [] { fork_trace += " program-child"; });
  fork_trace.clear();
  const pid_t child = fork();
  if (child == 0) {
    _exit(fork_trace == "program-prepare [prepare][child] program-child" ? 0 : 1);
  }
  EXPECT_EQ(Wait(child), 0);
  EXPECT_EQ(fork_trace, "program-prepare [prepare][parent] program-parent");
}

TEST(ForkTest, DaemonRunsHooks) {
  static int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  SetForkHooks({.prepare = nullptr, .parent = nullptr, .child = [] { fork_trace += "[child]"; }});
  const pid_t child = fork();
  if (child == 0) {
    fork_trace.clear();
    if (daemon(1, 1) != 0) _exit(1);
    const bool right =
        fork_trace.find("[child]") != std::string::npos && OwnActivity() == Activity::kRunning;
    _exit(write(fds[1], right ? "y" : "n", 1) == 1 ? 0 : 1);
  }
  EXPECT_EQ(Wait(child), 0);
  char answer = 0;
  EXPECT_EQ(read(fds[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  SetForkHooks({});
}

TEST(ForkTest, ChildOfThreadInstallsHandlersAndStartsThreads) {
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    while (!stop) signal(SIGUSR1, SIG_IGN);
  });
  for (int i = 0; i < 100; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(10);
      signal(SIGUSR1, SIG_DFL);
      std::thread([] {}).join();
      _exit(0);
    }
    ASSERT_EQ(Wait(child), 0);
  }
  stop = true;
  changer.join();
}

int exit_report;

// In the child of a fork, which has a thread of the runtime: ends all of the program's threads.
[[noreturn]] void EndAllProgramThreads() {
  alarm(10);
  pthread_t runtime_thread;
  (void)StartRuntimeThread(
      "test",
      [](void*) -> void* {
        while (true) pause();
      },
      nullptr, &runtime_thread);
  atexit([] {
    [[maybe_unused]] const ssize_t size =
        write(exit_report, OwnActivity() == Activity::kRunning ? "y" : "n", 1);
  });
  std::thread([] { usleep(100'000); }).detach();
  pthread_exit(nullptr);
}

std::atomic<int> allocations{0};

}  // namespace
}  // namespace mend::jit

// All of this program's, so that it can be seen who allocates.
void* operator new(size_t size) {
  ++mend::jit::allocations;
  void* const block = malloc(size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept { free(block); }
void operator delete(void* block, size_t) noexcept { free(block); }

namespace mend::jit {
namespace {

// Natively it is what handlers call that may have interrupted malloc.
TEST(NamesTest, BacktraceToADescriptorAllocatesNothing) {
  static const uint8_t no_unwind_data[16] = {};
  static const char text[64] = {};
  const CodeAddress begin{reinterpret_cast<uintptr_t>(text)};
  const CodeRange range{begin, begin + sizeof text};
  UnwindTable::Get().AddRegion(range, {{.function = range,
                                        .fde = no_unwind_data,
                                        .name = "a_function_whose_name_is_no_short_string"}});
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  void* const address = const_cast<char*>(text + 16);
  const int before = allocations;
  backtrace_symbols_fd(&address, 1, ends[1]);
  EXPECT_EQ(allocations, before);
  char line[512] = {};
  EXPECT_GT(read(ends[0], line, sizeof line - 1), 0);
  EXPECT_NE(std::string(line).find("(a_function_whose_name_is_no_short_string+0x10) ["),
            std::string::npos)
      << line;
  close(ends[0]);
  close(ends[1]);
  UnwindTable::Get().RemoveRegion(range);
}

TEST(ExitTest, LastThreadEndsTheProcessAlthoughTheRuntimeHasThreads) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  exit_report = fds[1];
  // Not from the test's own frames, which catch what unwinds a thread.
  pthread_t forker;
  void* child = nullptr;
  ASSERT_EQ(pthread_create(
                &forker, nullptr,
                [](void*) -> void* {
                  const pid_t pid = fork();
                  if (pid == 0) EndAllProgramThreads();
                  return reinterpret_cast<void*>(static_cast<intptr_t>(pid));
                },
                nullptr),
            0);
  ASSERT_EQ(pthread_join(forker, &child), 0);
  close(fds[1]);
  EXPECT_EQ(Wait(static_cast<pid_t>(reinterpret_cast<intptr_t>(child))), 0);
  char answer = 0;
  EXPECT_EQ(read(fds[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
}

TEST(ExecTest, EveryFormPassesItsArguments) {
  const std::vector<std::function<void()>> forms = {
      [] { execl("/bin/sh", "sh", "-c", "exit $(($# + 40))", "x", "1", "2", nullptr); },
      [] { execlp("sh", "sh", "-c", "exit $(($# + 40))", "x", "1", "2", nullptr); },
      [] {
        const char* environment[] = {"TWO=2", nullptr};
        execle("/bin/sh", "sh", "-c", "exit $((TWO + 40))", nullptr, environment);
      },
      [] {
        const char* arguments[] = {"sh", "-c", "exit 42", nullptr};
        execvp("sh", const_cast<char* const*>(arguments));
      },
      [] {
        const char* arguments[] = {"sh", "-c", "exit 42", nullptr};
        execve("/bin/sh", const_cast<char* const*>(arguments), environ);
      },
  };
  for (const auto& form : forms) {
    const pid_t child = fork();
    if (child == 0) {
      form();
      _exit(99);
    }
    EXPECT_EQ(Wait(child), 42);
  }
}

TEST(ExecTest, FailedExecLeavesTheThreadRunning) {
  EXPECT_EQ(execl("/nowhere/at/all", "x", nullptr), -1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(OwnActivity(), Activity::kRunning);
}

TEST(ExecTest, ExecInChildOfVforkLeavesTheParentRunning) {
  const pid_t child = vfork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "exit 42", nullptr);
    _exit(99);
  }
  EXPECT_EQ(OwnActivity(), Activity::kRunning);
  EXPECT_EQ(Wait(child), 42);
}

}  // namespace
}  // namespace mend::jit
