// Threads to switch: threads KIND BLOCKED RUNNING. Blocked ones wait in the KIND of call, below a
// function that patches replace; running ones call it all the time. Prints "ready".
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
#include <vector>

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

void Wait(const char* kind) {
  version();
  ready_count++;
  Block(kind);
}

[[noreturn]] void Run() {
  ready_count++;
  volatile long sum = 0;
  while (true) sum = sum + version();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 || pipe(pipe_ends) != 0) return 2;
  const int blocked = atoi(argv[2]);
  const int running = atoi(argv[3]);
  for (int i = 0; i < blocked; ++i) std::thread(Wait, argv[1]).detach();
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
