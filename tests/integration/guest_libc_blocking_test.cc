// Every call that sleeps is seen as a blocked region while it sleeps, and gives the results that it
// gives without the wrapper.
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>

#include "tests/integration/guest_libc_threads.h"

namespace mend::jit {
namespace {

[[maybe_unused]] const auto* const kMain = testing::AddGlobalTestEnvironment(new RegisteredMain);

// Two connected descriptors and a folder; whatever a case needs.
class BlockingCallTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe(pipe_), 0);
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets_), 0);
    strcpy(folder_, "/tmp/guest_libc_XXXXXX");
    ASSERT_NE(mkdtemp(folder_), nullptr);
  }
  void TearDown() override {
    for (int fd : {pipe_[0], pipe_[1], sockets_[0], sockets_[1]}) close(fd);
    EXPECT_EQ(system(("rm -r " + std::string(folder_)).c_str()), 0);
  }

  // `sleep` must come to sleep in `function`, and end once `wake` was called.
  static void ExpectSleeps(const char* function, const std::function<void()>& sleep,
                           const std::function<void()>& wake) {
    SCOPED_TRACE(function);
    const ProgramThread thread([&] {
      sleep();
      EXPECT_EQ(OwnActivity(), Activity::kRunning) << "after " << function;
    });
    EXPECT_TRUE(thread.ComesToSleepIn(function)) << "asleep in " << thread.WhereAsleep();
    EXPECT_FALSE(thread.done());
    EXPECT_STREQ(WalkEndName(thread.WalkWhileAsleep()), WalkEndName(WalkEnd::kComplete));
    wake();
    EXPECT_TRUE(Await([&] { return thread.done(); })) << function << " did not wake";
  }

  void WritePipe() { EXPECT_EQ(write(pipe_[1], "x", 1), 1); }
  void WriteSocket() { EXPECT_EQ(write(sockets_[1], "x", 1), 1); }
  // Takes out what a case left in.
  void Drain(int fd) {
    char byte;
    EXPECT_EQ(read(fd, &byte, 1), 1);
  }

  int pipe_[2];
  int sockets_[2];
  char folder_[64];
};

TEST_F(BlockingCallTest, ReadsFromPipe) {
  char byte = 0;
  iovec vector = {&byte, 1};
  const auto wake = [&] { WritePipe(); };
  ExpectSleeps("read", [&] { EXPECT_EQ(read(pipe_[0], &byte, 1), 1); }, wake);
  EXPECT_EQ(byte, 'x');
  ExpectSleeps("readv", [&] { EXPECT_EQ(readv(pipe_[0], &vector, 1), 1); }, wake);
  ExpectSleeps(
      "splice", [&] { EXPECT_EQ(splice(pipe_[0], nullptr, sockets_[0], nullptr, 1, 0), 1); }, wake);
}

TEST_F(BlockingCallTest, WritesToFullPipe) {
  ASSERT_EQ(fcntl(pipe_[1], F_SETPIPE_SZ, 4096), 4096);
  const std::string page(4096, 'p');
  ASSERT_EQ(write(pipe_[1], page.data(), page.size()), 4096);
  std::string taken(4096, ' ');
  const auto wake = [&] { EXPECT_EQ(read(pipe_[0], taken.data(), taken.size()), 4096); };
  iovec vector = {const_cast<char*>(page.data()), page.size()};
  ExpectSleeps("write", [&] { EXPECT_EQ(write(pipe_[1], page.data(), 4096), 4096); }, wake);
  ExpectSleeps("writev", [&] { EXPECT_EQ(writev(pipe_[1], &vector, 1), 4096); }, wake);
  FILE* const stream = fdopen(dup(pipe_[1]), "w");
  setvbuf(stream, nullptr, _IONBF, 0);
  ExpectSleeps("fwrite", [&] { EXPECT_EQ(fwrite(page.data(), 1, 4096, stream), 4096u); }, wake);
  ExpectSleeps("fputs", [&] { EXPECT_GE(fputs(page.c_str(), stream), 0); }, wake);
  ExpectSleeps("vfprintf", [&] { EXPECT_EQ(fprintf(stream, "%s", page.c_str()), 4096); }, wake);
  fclose(stream);
}

TEST_F(BlockingCallTest, ReceivesFromSocket) {
  char byte;
  iovec vector = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  const auto wake = [&] { WriteSocket(); };
  const int fd = sockets_[0];
  ExpectSleeps("recv", [&] { EXPECT_EQ(recv(fd, &byte, 1, 0), 1); }, wake);
  ExpectSleeps(
      "recvfrom", [&] { EXPECT_EQ(recvfrom(fd, &byte, 1, 0, nullptr, nullptr), 1); }, wake);
  ExpectSleeps("recvmsg", [&] { EXPECT_EQ(recvmsg(fd, &message, 0), 1); }, wake);
}

TEST_F(BlockingCallTest, AcceptsConnection) {
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder_);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 5), 0);
  int client = -1;
  const auto wake = [&] {
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  };
  ExpectSleeps("accept", [&] { EXPECT_EQ(close(accept(listener, nullptr, nullptr)), 0); }, wake);
  close(client);
  ExpectSleeps(
      "accept4", [&] { EXPECT_EQ(close(accept4(listener, nullptr, nullptr, 0)), 0); }, wake);
  close(client);
  close(listener);
}

TEST_F(BlockingCallTest, WaitsForReadiness) {
  const auto wake = [&] { WritePipe(); };
  const auto drain = [&] { Drain(pipe_[0]); };
  pollfd watched = {.fd = pipe_[0], .events = POLLIN, .revents = 0};
  ExpectSleeps(
      "poll",
      [&] {
        EXPECT_EQ(poll(&watched, 1, -1), 1);
        drain();
      },
      wake);
  ExpectSleeps(
      "poll",
      [&] {
        EXPECT_EQ(poll(&watched, 1, 20000), 1);
        drain();
      },
      wake);
  ExpectSleeps(
      "ppoll",
      [&] {
        EXPECT_EQ(ppoll(&watched, 1, nullptr, nullptr), 1);
        drain();
      },
      wake);
  const auto set = [&](fd_set* fds) {
    FD_ZERO(fds);
    FD_SET(pipe_[0], fds);
    return fds;
  };
  fd_set fds;
  ExpectSleeps(
      "select",
      [&] {
        EXPECT_EQ(select(pipe_[0] + 1, set(&fds), nullptr, nullptr, nullptr), 1);
        drain();
      },
      wake);
  ExpectSleeps(
      "pselect",
      [&] {
        EXPECT_EQ(pselect(pipe_[0] + 1, set(&fds), nullptr, nullptr, nullptr, nullptr), 1);
        drain();
      },
      wake);
  const int epoll = epoll_create1(0);
  epoll_event event = {};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_[0], &event), 0);
  ExpectSleeps(
      "epoll_wait",
      [&] {
        EXPECT_EQ(epoll_wait(epoll, &event, 1, -1), 1);
        drain();
      },
      wake);
  ExpectSleeps(
      "epoll_pwait",
      [&] {
        EXPECT_EQ(epoll_pwait(epoll, &event, 1, -1, nullptr), 1);
        drain();
      },
      wake);
  ExpectSleeps(
      "epoll_pwait2",
      [&] {
        EXPECT_EQ(epoll_pwait2(epoll, &event, 1, nullptr, nullptr), 1);
        drain();
      },
      wake);
  close(epoll);
}

TEST_F(BlockingCallTest, LetsTimePass) {
  const timespec time = {.tv_sec = 0, .tv_nsec = 200'000'000};
  const auto none = [] {};
  const int64_t start = NowNs();
  ExpectSleeps("nanosleep", [&] { EXPECT_EQ(nanosleep(&time, nullptr), 0); }, none);
  ExpectSleeps(
      "clock_nanosleep", [&] { EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr), 0); },
      none);
  ExpectSleeps("usleep", [&] { EXPECT_EQ(usleep(200'000), 0); }, none);
  ExpectSleeps("thrd_sleep", [&] { EXPECT_EQ(thrd_sleep(&time, nullptr), 0); }, none);
  EXPECT_GE(NowNs() - start, 800'000'000);
  ExpectSleeps("sleep", [&] { EXPECT_EQ(sleep(1), 0u); }, none);
  EXPECT_GE(NowNs() - start, 1'800'000'000);
}

TEST_F(BlockingCallTest, WaitsForChild) {
  const auto child = [&] {
    const pid_t pid = fork();
    if (pid == 0) {
      char byte;
      _exit(read(pipe_[0], &byte, 1) == 1 ? 7 : 8);
    }
    return pid;
  };
  const auto wake = [&] { WritePipe(); };
  int status = 0;
  siginfo_t info;
  pid_t pid = child();
  ExpectSleeps("wait", [&] { EXPECT_EQ(wait(&status), pid); }, wake);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  pid = child();
  ExpectSleeps("waitpid", [&] { EXPECT_EQ(waitpid(pid, &status, 0), pid); }, wake);
  pid = child();
  ExpectSleeps("wait4", [&] { EXPECT_EQ(wait4(pid, &status, 0, nullptr), pid); }, wake);
  pid = child();
  ExpectSleeps(
      "waitid", [&] { EXPECT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED), 0); }, wake);
  ExpectSleeps("system", [&] { EXPECT_EQ(WEXITSTATUS(system("sleep 0.3; exit 3")), 3); }, [] {});
  ExpectSleeps(
      "pclose", [&] { EXPECT_EQ(WEXITSTATUS(pclose(popen("sleep 0.3; exit 4", "r"))), 4); }, [] {});
}

TEST_F(BlockingCallTest, WaitsForLock) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  const timespec late = {.tv_sec = 4'000'000'000, .tv_nsec = 0};
  pthread_mutex_lock(&mutex);
  const auto unlock = [&] { pthread_mutex_unlock(&mutex); };
  const auto relock = [&] { pthread_mutex_lock(&mutex); };
  ExpectSleeps(
      "pthread_mutex_lock",
      [&] {
        EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
        unlock();
      },
      unlock);
  relock();
  ExpectSleeps(
      "pthread_mutex_timedlock",
      [&] {
        EXPECT_EQ(pthread_mutex_timedlock(&mutex, &late), 0);
        unlock();
      },
      unlock);

  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  const auto rwunlock = [&] { pthread_rwlock_unlock(&rwlock); };
  pthread_rwlock_wrlock(&rwlock);
  ExpectSleeps(
      "pthread_rwlock_rdlock",
      [&] {
        EXPECT_EQ(pthread_rwlock_rdlock(&rwlock), 0);
        rwunlock();
      },
      rwunlock);
  pthread_rwlock_rdlock(&rwlock);
  ExpectSleeps(
      "pthread_rwlock_wrlock",
      [&] {
        EXPECT_EQ(pthread_rwlock_wrlock(&rwlock), 0);
        rwunlock();
      },
      rwunlock);

  mtx_t mtx;
  mtx_init(&mtx, mtx_plain);
  mtx_lock(&mtx);
  ExpectSleeps(
      "mtx_lock",
      [&] {
        EXPECT_EQ(mtx_lock(&mtx), thrd_success);
        mtx_unlock(&mtx);
      },
      [&] { mtx_unlock(&mtx); });

  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  const auto post = [&] { sem_post(&semaphore); };
  ExpectSleeps("sem_wait", [&] { EXPECT_EQ(sem_wait(&semaphore), 0); }, post);
  ExpectSleeps("sem_timedwait", [&] { EXPECT_EQ(sem_timedwait(&semaphore, &late), 0); }, post);
  ExpectSleeps(
      "sem_clockwait", [&] { EXPECT_EQ(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &late), 0); },
      post);

  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  ExpectSleeps(
      "pthread_barrier_wait", [&] { pthread_barrier_wait(&barrier); },
      [&] { pthread_barrier_wait(&barrier); });
}

TEST_F(BlockingCallTest, WaitsForCondition) {
  std::mutex mutex;
  std::condition_variable condition;
  bool ready = false;
  const auto wake = [&] {
    const std::lock_guard lock(mutex);
    ready = true;
    condition.notify_one();
  };
  ExpectSleeps(
      "pthread_cond_wait",
      [&] {
        std::unique_lock lock(mutex);
        condition.wait(lock, [&] { return ready; });
      },
      wake);
  ready = false;
  ExpectSleeps(
      "pthread_cond_clockwait",
      [&] {
        std::unique_lock lock(mutex);
        EXPECT_TRUE(condition.wait_for(lock, std::chrono::seconds(20), [&] { return ready; }));
      },
      wake);
  ready = false;
  ExpectSleeps(
      "pthread_cond_timedwait",
      [&] {
        std::unique_lock lock(mutex);
        EXPECT_TRUE(
            condition.wait_until(lock, std::chrono::system_clock::now() + std::chrono::seconds(20),
                                 [&] { return ready; }));
      },
      wake);
}

TEST_F(BlockingCallTest, WaitsForThread) {
  std::thread other([&] { Drain(pipe_[0]); });
  ExpectSleeps("pthread_join", [&] { other.join(); }, [&] { WritePipe(); });
  thrd_t c11;
  ASSERT_EQ(thrd_create(
                &c11,
                [](void* fd) {
                  char byte;
                  return static_cast<int>(read(*static_cast<int*>(fd), &byte, 1)) + 40;
                },
                &pipe_[0]),
            thrd_success);
  int result = 0;
  ExpectSleeps(
      "thrd_join", [&] { EXPECT_EQ(thrd_join(c11, &result), thrd_success); }, [&] { WritePipe(); });
  EXPECT_EQ(result, 41);
}

TEST_F(BlockingCallTest, WaitsOnFutex) {
  std::atomic<uint32_t> word{0};
  const auto wake = [&] {
    word = 1;
    // The first wake may come before the sleep in the kernel.
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
  };
  const timespec limit = {.tv_sec = 20, .tv_nsec = 0};
  const auto sleep = [&](const timespec* timeout) {
    while (word == 0) syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, timeout);
  };
  ExpectSleeps("futex", [&] { sleep(nullptr); }, wake);
  word = 0;
  ExpectSleeps("futex", [&] { sleep(&limit); }, wake);
}

TEST_F(BlockingCallTest, WaitsForMessages) {
  struct {
    long type;
    char text[1];
  } message = {1, {'m'}};
  const int queue = msgget(IPC_PRIVATE, 0600);
  ASSERT_GE(queue, 0);
  ExpectSleeps(
      "msgrcv", [&] { EXPECT_EQ(msgrcv(queue, &message, 1, 0, 0), 1); },
      [&] { EXPECT_EQ(msgsnd(queue, &message, 1, 0), 0); });
  msgctl(queue, IPC_RMID, nullptr);

  const int set = semget(IPC_PRIVATE, 1, 0600);
  ASSERT_GE(set, 0);
  sembuf down = {0, -1, 0};
  sembuf up = {0, 1, 0};
  const timespec limit = {.tv_sec = 20, .tv_nsec = 0};
  ExpectSleeps(
      "semop", [&] { EXPECT_EQ(semop(set, &down, 1), 0); },
      [&] { EXPECT_EQ(semop(set, &up, 1), 0); });
  ExpectSleeps(
      "semtimedop", [&] { EXPECT_EQ(semtimedop(set, &down, 1, &limit), 0); },
      [&] { EXPECT_EQ(semop(set, &up, 1), 0); });
  semctl(set, 0, IPC_RMID);

  const std::string name = "/guest_libc_" + std::to_string(getpid());
  mq_attr attributes = {};
  attributes.mq_maxmsg = 1;
  attributes.mq_msgsize = 8;
  const mqd_t posix = mq_open(name.c_str(), O_CREAT | O_RDWR, 0600, &attributes);
  if (posix == -1) GTEST_SKIP() << "no POSIX message queues here: " << strerror(errno);
  char buffer[8];
  ExpectSleeps(
      "mq_receive", [&] { EXPECT_EQ(mq_receive(posix, buffer, 8, nullptr), 1); },
      [&] { EXPECT_EQ(mq_send(posix, "m", 1, 0), 0); });
  mq_close(posix);
  mq_unlink(name.c_str());
}

TEST_F(BlockingCallTest, WaitsForFile) {
  const std::string path = std::string(folder_) + "/file";
  const int holder = open(path.c_str(), O_CREAT | O_RDWR, 0600);
  const int waiter = open(path.c_str(), O_RDWR);
  ASSERT_EQ(flock(holder, LOCK_EX), 0);
  ExpectSleeps(
      "flock",
      [&] {
        EXPECT_EQ(flock(waiter, LOCK_EX), 0);
        flock(waiter, LOCK_UN);
      },
      [&] { flock(holder, LOCK_UN); });
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  ASSERT_EQ(fcntl(holder, F_OFD_SETLK, &lock), 0);
  ExpectSleeps(
      "fcntl",
      [&] {
        struct flock wanted = {};
        wanted.l_type = F_WRLCK;
        EXPECT_EQ(fcntl(waiter, F_OFD_SETLKW, &wanted), 0);
      },
      [&] {
        lock.l_type = F_UNLCK;
        EXPECT_EQ(fcntl(holder, F_OFD_SETLK, &lock), 0);
      });
  close(holder);
  close(waiter);

  const std::string fifo = std::string(folder_) + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  int reader = -1;
  ExpectSleeps(
      "open", [&] { EXPECT_GE(reader = open(fifo.c_str(), O_RDONLY), 0); },
      [&] { close(open(fifo.c_str(), O_WRONLY)); });
  close(reader);
}

TEST_F(BlockingCallTest, ReadsFromStream) {
  FILE* const stream = fdopen(dup(pipe_[0]), "r");
  const auto put = [&](const char* text) {
    EXPECT_EQ(write(pipe_[1], text, strlen(text)), static_cast<ssize_t>(strlen(text)));
  };
  char buffer[64];
  int number = 0;
  ExpectSleeps("fgetc", [&] { EXPECT_EQ(fgetc(stream), 'a'); }, [&] { put("a"); });
  ExpectSleeps("getc", [&] { EXPECT_EQ(getc(stream), 'b'); }, [&] { put("b"); });
  ExpectSleeps(
      "fgets", [&] { EXPECT_STREQ(fgets(buffer, 64, stream), "line\n"); }, [&] { put("line\n"); });
  ExpectSleeps("fread", [&] { EXPECT_EQ(fread(buffer, 1, 3, stream), 3u); }, [&] { put("abc"); });
  ExpectSleeps(
      "__isoc99_vfscanf", [&] { EXPECT_EQ(fscanf(stream, "%d", &number), 1); },
      [&] { put("42 "); });
  EXPECT_EQ(number, 42);
  char* line = nullptr;
  size_t size = 0;
  // The header makes getline of it.
  ExpectSleeps(
      "__getdelim", [&] { EXPECT_EQ(getline(&line, &size, stream), 6); }, [&] { put("more\n"); });
  free(line);
  flockfile(stream);
  ExpectSleeps("__uflow", [&] { EXPECT_EQ(getc_unlocked(stream), 'u'); }, [&] { put("u"); });
  funlockfile(stream);
  fclose(stream);

  std::ifstream cpp("/proc/self/fd/" + std::to_string(pipe_[0]));
  ExpectSleeps("read", [&] { EXPECT_EQ(cpp.get(), 'c'); }, [&] { put("c"); });
}

// Streams whose functions are the program's run them outside of any region.
TEST_F(BlockingCallTest, CookieStreamRunsProgramsFunctionAsRunning) {
  static Activity seen;
  cookie_io_functions_t functions = {};
  functions.read = [](void*, char* buffer, size_t) -> ssize_t {
    seen = OwnActivity();
    *buffer = '\n';
    return 1;
  };
  functions.write = [](void*, const char*, size_t size) -> ssize_t {
    seen = OwnActivity();
    return static_cast<ssize_t>(size);
  };
  FILE* const stream = fopencookie(nullptr, "r+", functions);
  ASSERT_NE(stream, nullptr);
  char line[8];
  seen = Activity::kGone;
  EXPECT_NE(fgets(line, sizeof line, stream), nullptr);
  EXPECT_EQ(seen, Activity::kRunning);
  seen = Activity::kGone;
  fprintf(stream, "text");
  fflush(stream);
  EXPECT_EQ(seen, Activity::kRunning);
  fclose(stream);
}

TEST_F(BlockingCallTest, FailuresKeepTheirErrno) {
  char byte;
  const auto fails = [](long result, int error) { return result == -1 && errno == error; };
  EXPECT_TRUE(fails(read(-1, &byte, 1), EBADF));
  EXPECT_TRUE(fails(write(-1, &byte, 1), EBADF));
  EXPECT_TRUE(fails(recv(pipe_[0], &byte, 1, 0), ENOTSOCK));
  EXPECT_TRUE(fails(open("/nowhere/at/all", O_RDONLY), ENOENT));
  EXPECT_TRUE(fails(waitpid(-1, nullptr, 0), ECHILD));
  EXPECT_TRUE(fails(epoll_wait(-1, nullptr, 1, 0), EINVAL) || errno == EBADF);
  const timespec invalid = {.tv_sec = 0, .tv_nsec = -1};
  EXPECT_TRUE(fails(nanosleep(&invalid, nullptr), EINVAL));
  EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &invalid, nullptr), EINVAL);
  EXPECT_TRUE(fails(ppoll(nullptr, 0, &invalid, nullptr), EINVAL));
  EXPECT_TRUE(fails(syscall(SYS_futex, &byte, FUTEX_WAIT_PRIVATE, 0, &invalid), EINVAL));
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  errno = 77;
  EXPECT_EQ(sem_wait(&semaphore), 0);
  EXPECT_EQ(errno, 77);
  const timespec past = {.tv_sec = 1, .tv_nsec = 0};
  EXPECT_TRUE(fails(sem_timedwait(&semaphore, &past), ETIMEDOUT));
  EXPECT_EQ(poll(nullptr, 0, 1), 0);

  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_t mutex;
  pthread_mutex_init(&mutex, &kind);
  EXPECT_EQ(pthread_mutex_lock(&mutex), 0);
  EXPECT_EQ(pthread_mutex_lock(&mutex), EDEADLK);
  EXPECT_EQ(pthread_mutex_unlock(&mutex), 0);
}

}  // namespace
}  // namespace mend::jit
