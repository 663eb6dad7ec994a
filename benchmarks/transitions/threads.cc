// Threads to switch: threads KIND BLOCKED RUNNING [DEPTH]. Blocked ones wait in the KIND of call,
// after they have called the function that patches replace, DEPTH frames deep; running ones call it
// all the time. Prints "ready".
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "version.h"

namespace {

std::atomic<int> ready_count{0};
std::mutex mutex;
std::condition_variable condition;
bool done = false;
int pipe_ends[2];

// Until the process ends, or `done`.
void Block(const char* kind) {
  char byte = 0;
  if (strcmp(kind, "sleep") == 0) {
    sleep(3600);
  } else if (strcmp(kind, "read") == 0) {
    while (read(pipe_ends[0], &byte, 1) > 0) {
    }
  } else if (strcmp(kind, "epoll") == 0) {
    const int descriptor = epoll_create1(0);
    epoll_event event{};
    epoll_wait(descriptor, &event, 1, -1);
  } else {
    std::unique_lock<std::mutex> lock(mutex);
    condition.wait(lock, [] { return done; });
  }
}

// The volatile keeps the frames: no tail call, no loop.
__attribute__((noinline)) int Descend(const char* kind, int depth) {
  volatile int frame = depth;
  if (depth > 0) return Descend(kind, depth - 1) + frame;
  version();
  ready_count++;
  Block(kind);
  return frame;
}

void Wait(const char* kind, int depth) { Descend(kind, depth); }

[[noreturn]] void Run() {
  ready_count++;
  volatile long sum = 0;
  while (true) sum = sum + version();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || pipe(pipe_ends) != 0) return 2;
  const int blocked = atoi(argv[2]);
  const int running = atoi(argv[3]);
  const int depth = argc > 4 ? atoi(argv[4]) : 0;
  for (int i = 0; i < blocked; ++i) std::thread(Wait, argv[1], depth).detach();
  for (int i = 0; i < running; ++i) std::thread(Run).detach();
  while (ready_count < blocked + running) usleep(1000);
  usleep(100000);
  puts("ready");
  fflush(stdout);
  char line[16];
  while (fgets(line, sizeof line, stdin) != nullptr) {
  }
  _exit(0);
}
