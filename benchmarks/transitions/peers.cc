// How else a function of a running program can be changed: peers MANNER THREADS [ROUNDS].
//   stop    every thread is stopped in a signal handler, a pointer is swapped, they go on
//   dlopen  a library is opened and a pointer swapped, whatever the threads are doing
//   wait    prints "ready" once the threads are asleep, and waits
// Prints a time in milliseconds for each round.
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Version = int (*)();

int Original() { return 1; }
int Replacement() { return 2; }

std::atomic<Version> version{&Original};
std::atomic<int> asleep{0};
std::mutex mutex;
std::condition_variable condition;

sem_t stopped;
std::atomic<int> generation{0};

void Stop(int) {
  const int error = errno;
  const int stopped_in = generation.load();
  sem_post(&stopped);
  while (generation.load() == stopped_in) generation.wait(stopped_in);
  errno = error;
}

double SwapStopped(const std::vector<pthread_t>& threads, bool forth) {
  const Clock::time_point begin = Clock::now();
  for (const pthread_t thread : threads) pthread_kill(thread, SIGUSR1);
  for (std::size_t i = 0; i < threads.size(); ++i) {
    while (sem_wait(&stopped) != 0) {
    }
  }
  version.store(forth ? &Replacement : &Original);
  ++generation;
  generation.notify_all();
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double SwapLibrary(bool forth) {
  const Clock::time_point begin = Clock::now();
  void* const library = dlopen(forth ? "./version2.so" : "./version1.so", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) exit(1);
  version.store(reinterpret_cast<Version>(dlsym(library, "version")));
  const double took = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  version.store(&Original);
  dlclose(library);
  return took;
}

void Sleep() {
  version.load()();
  asleep++;
  std::unique_lock<std::mutex> lock(mutex);
  condition.wait(lock, [] { return false; });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string manner = argv[1];
  const int count = atoi(argv[2]);
  const int rounds = argc > 3 ? atoi(argv[3]) : 1;
  sem_init(&stopped, 0, 0);
  struct sigaction action = {};
  action.sa_handler = Stop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  std::vector<pthread_t> threads;
  for (int i = 0; i < count; ++i) {
    std::thread thread(Sleep);
    threads.push_back(thread.native_handle());
    thread.detach();
  }
  while (asleep < count) usleep(500);
  if (manner == "wait") {
    puts("ready");
    fflush(stdout);
    getchar();
  } else {
    usleep(50000);
    for (int i = 0; i < rounds; ++i) {
      printf("%.6f\n",
             manner == "stop" ? SwapStopped(threads, i % 2 == 0) : SwapLibrary(i % 2 == 0));
    }
  }
  fflush(stdout);
  _exit(0);
}
