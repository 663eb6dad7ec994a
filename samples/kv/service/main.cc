// A key-value service on 127.0.0.1: kv [PORT [WORKERS]].
//
// Requests and answers are lines: SET KEY VALUE, GET KEY, DEL KEY, VERSION, STATS. Prints
// "listening 127.0.0.1:PORT" when it is ready; SIGTERM and SIGINT end it with exit code 0.
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "server.h"

namespace {

int stop_descriptor = -1;

void RequestStop(int) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_descriptor, &one, sizeof one);
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc > 1 ? std::atoi(argv[1]) : 0;
  const int workers = argc > 2 ? std::atoi(argv[2]) : 8;
  if (port < 0 || port > 65535 || workers < 1 || workers > 256) {
    std::fprintf(stderr, "usage: kv [PORT [WORKERS]]\n");
    return 2;
  }
  stop_descriptor = eventfd(0, EFD_CLOEXEC);
  struct sigaction action = {};
  action.sa_handler = RequestStop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);

  kv::Server server(workers);
  const uint16_t actual = server.Listen(static_cast<uint16_t>(port));
  if (actual == 0) {
    std::perror("kv: cannot listen");
    return 1;
  }
  std::printf("listening 127.0.0.1:%d\n", actual);
  std::fflush(stdout);
  server.Run(stop_descriptor);
  std::printf("stopped\n");
  return 0;
}
