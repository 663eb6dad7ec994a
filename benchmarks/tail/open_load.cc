// An open-loop load on the kv service: open_load PORT RATE SECONDS [CONNECTIONS]. Requests are due
// at fixed times, whether the last one was answered or not, and a latency counts from when the
// request was due: a service that stands still makes all wait that were due meanwhile. A lost
// connection is made again and the request repeated. RATE 0: as fast as it goes, and prints the
// requests a second. Otherwise prints "started", and at the end a line for each request: when it
// was due (in microseconds since the start) and how long its answer took (in microseconds).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

class Connection {
 public:
  Connection(uint16_t port, int number) : port_(port), key_("open-" + std::to_string(number)) {}
  ~Connection() { Close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Until there is an answer, whatever it is.
  void Ask() {
    const std::string request =
        (++count_ % 8 == 0 ? "SET " + key_ + " value" : "GET " + key_) + "\n";
    while (!Exchange(request)) {
      Close();
      std::this_thread::sleep_for(microseconds(200));
      Open();
    }
  }

 private:
  void Open() {
    descriptor_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    const int yes = 1;
    setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      Close();
    }
  }
  void Close() {
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = -1;
  }
  bool Exchange(const std::string& request) {
    if (descriptor_ < 0 || send(descriptor_, request.data(), request.size(), MSG_NOSIGNAL) !=
                               static_cast<ssize_t>(request.size())) {
      return false;
    }
    char buffer[1024];
    while (true) {
      const ssize_t got = recv(descriptor_, buffer, sizeof buffer, 0);
      if (got <= 0) return false;
      if (buffer[got - 1] == '\n') return true;
    }
  }

  const uint16_t port_;
  const std::string key_;
  int descriptor_ = -1;
  uint64_t count_ = 0;
};

struct Sample {
  int64_t due_us;
  int64_t took_us;
};

int64_t Micros(Clock::duration duration) {
  return std::chrono::duration_cast<microseconds>(duration).count();
}

void RunSchedule(uint16_t port, int number, Clock::time_point start, Clock::duration period,
                 Clock::duration offset, Clock::duration length, std::vector<Sample>* samples) {
  Connection connection(port, number);
  connection.Ask();
  for (Clock::duration due = offset; due < length; due += period) {
    std::this_thread::sleep_until(start + due);
    connection.Ask();
    samples->push_back({Micros(due), Micros(Clock::now() - start - due)});
  }
}

uint64_t RunFlatOut(uint16_t port, int number, Clock::time_point end) {
  Connection connection(port, number);
  uint64_t answered = 0;
  for (; Clock::now() < end; ++answered) connection.Ask();
  return answered;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const auto port = static_cast<uint16_t>(atoi(argv[1]));
  const double rate = atof(argv[2]);
  const std::chrono::duration<double> length(atof(argv[3]));
  const int connections = argc > 4 ? atoi(argv[4]) : 16;
  std::vector<std::thread> threads;
  if (rate == 0) {
    std::atomic<uint64_t> answered{0};
    const Clock::time_point end =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(length);
    for (int i = 0; i < connections; ++i) {
      threads.emplace_back([&answered, port, i, end] { answered += RunFlatOut(port, i, end); });
    }
    for (std::thread& thread : threads) thread.join();
    printf("%.0f\n", static_cast<double>(answered) / length.count());
    return 0;
  }
  std::vector<std::vector<Sample>> samples(static_cast<std::size_t>(connections));
  const auto period = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(connections / rate));
  const Clock::time_point start = Clock::now() + std::chrono::milliseconds(200);
  for (int i = 0; i < connections; ++i) {
    threads.emplace_back(RunSchedule, port, i, start, period, period * i / connections,
                         std::chrono::duration_cast<Clock::duration>(length),
                         &samples[static_cast<std::size_t>(i)]);
  }
  std::this_thread::sleep_until(start);
  puts("started");
  fflush(stdout);
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<Sample>& of_connection : samples) {
    for (const Sample& sample : of_connection) {
      printf("%lld %lld\n", static_cast<long long>(sample.due_us),
             static_cast<long long>(sample.took_us));
    }
  }
  return 0;
}
