// The load generator of the demo: kv_load PORT [--connections N] [--seconds S].
//
// Each connection is a client of its own with keys of its own. It knows what every answer must be,
// for the service's first version, for the one with the fix and for the one with the new format;
// an answer that is right for none of them has failed, and an answer that is half of one version
// and half of another is mixed. Each second one line goes to standard output; a summary follows
// after S seconds or SIGTERM.
//
// Exit code: 0 when no answer failed and none was mixed, 1 otherwise, 2 for wrong usage.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// The versions that an answer can tell apart, and what the service calls them.
enum Version { kFirst, kFixed, kNewFormat, kVersions };
constexpr std::array<const char*, kVersions> kVersionNames = {"1.0", "1.0.1", "1.1"};

enum class Verdict { kRight, kWrong, kMixed };

std::string PlainEncoding(const std::string& value) { return "p:" + value; }

std::string PlainChecksum(const std::string& value) {
  unsigned sum = 0;
  for (const char c : value) sum = (sum + static_cast<unsigned char>(c)) & 0xff;
  char text[8];
  std::snprintf(text, sizeof text, "s:%02x", sum);
  return text;
}

std::string NewEncoding(const std::string& value) {
  std::string text = "x:";
  for (const char c : value) {
    char digits[4];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c));
    text += digits;
  }
  return text;
}

std::string NewChecksum(const std::string& value) {
  uint32_t hash = 2166136261U;
  for (const char c : value) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  char text[16];
  std::snprintf(text, sizeof text, "f:%08x", hash);
  return text;
}

// What one client counts. The client adds, the reporter takes.
struct Tally {
  std::vector<uint32_t> latencies_us;
  uint64_t failed = 0;
  uint64_t mixed = 0;
  std::array<uint64_t, kVersions> answered_by = {};
};

class Client {
 public:
  Client(uint16_t port, int number) : port_(port), number_(number) {}
  ~Client() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool Connect();
  // Sends requests until `stopping` or the first one without any answer.
  void Run(const std::atomic<bool>& stopping);

  Tally Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(tally_, Tally());
  }

 private:
  bool Round(uint64_t round);
  // Sends a request and reads its answer; false when none came.
  bool Ask(const std::string& request);
  void Expect(const std::string& request, const std::string& right);
  void ExpectValue(const std::string& request, const std::string& value);
  void ExpectEmpty(const std::string& request);
  bool ExpectStatistics();
  Verdict JudgeValue(const std::string& value, bool* new_format) const;
  void Count(const std::string& request, Verdict verdict);
  void CountVersion(Version version);

  const uint16_t port_;
  const int number_;
  int descriptor_ = -1;
  std::string input_;
  std::string answer_;
  uint64_t answers_seen_ = 0;  // of the service's own counter, which only grows
  std::mutex mutex_;
  Tally tally_;  // protected by mutex_
};

bool Client::Connect() {
  descriptor_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_);
  const int yes = 1;
  setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  const timeval patience = {10, 0};
  setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

bool Client::Ask(const std::string& request) {
  const std::string line = request + "\n";
  const Clock::time_point start = Clock::now();
  bool answered = send(descriptor_, line.data(), line.size(), MSG_NOSIGNAL) ==
                  static_cast<ssize_t>(line.size());
  std::size_t end = std::string::npos;
  while (answered && (end = input_.find('\n')) == std::string::npos) {
    char buffer[1024];
    const ssize_t count = recv(descriptor_, buffer, sizeof buffer, 0);
    if (count <= 0) {
      answered = false;
    } else {
      input_.append(buffer, static_cast<std::size_t>(count));
    }
  }
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
  if (!answered) {
    std::printf("client %d: no answer to '%s'\n", number_, request.c_str());
    const std::lock_guard<std::mutex> lock(mutex_);
    ++tally_.failed;
    return false;
  }
  answer_ = input_.substr(0, end);
  input_.erase(0, end + 1);
  const std::lock_guard<std::mutex> lock(mutex_);
  tally_.latencies_us.push_back(static_cast<uint32_t>(took.count()));
  return true;
}

void Client::Count(const std::string& request, Verdict verdict) {
  if (verdict == Verdict::kRight) return;
  const bool is_mixed = verdict == Verdict::kMixed;
  const std::lock_guard<std::mutex> lock(mutex_);
  uint64_t& count = is_mixed ? tally_.mixed : tally_.failed;
  if (count++ == 0) {
    std::printf("client %d: %s answer to '%s': '%s'\n", number_, is_mixed ? "mixed" : "wrong",
                request.c_str(), answer_.c_str());
  }
}

void Client::CountVersion(Version version) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++tally_.answered_by[version];
}

void Client::Expect(const std::string& request, const std::string& right) {
  Count(request, answer_ == right ? Verdict::kRight : Verdict::kWrong);
}

Verdict Client::JudgeValue(const std::string& value, bool* new_format) const {
  *new_format = answer_ == "VALUE " + NewEncoding(value) + " " + NewChecksum(value);
  if (*new_format || answer_ == "VALUE " + PlainEncoding(value) + " " + PlainChecksum(value)) {
    return Verdict::kRight;
  }
  const bool mixed = answer_ == "VALUE " + PlainEncoding(value) + " " + NewChecksum(value) ||
                     answer_ == "VALUE " + NewEncoding(value) + " " + PlainChecksum(value);
  return mixed ? Verdict::kMixed : Verdict::kWrong;
}

void Client::ExpectValue(const std::string& request, const std::string& value) {
  bool new_format = false;
  Count(request, JudgeValue(value, &new_format));
}

// A key with an empty value shows all three: the first version denies that there is such a key.
void Client::ExpectEmpty(const std::string& request) {
  if (answer_ == "NONE") {
    CountVersion(kFirst);
    return;
  }
  bool new_format = false;
  const Verdict verdict = JudgeValue("", &new_format);
  Count(request, verdict);
  if (verdict == Verdict::kRight) CountVersion(new_format ? kNewFormat : kFixed);
}

// The service's counters are state that outlives every patch.
bool Client::ExpectStatistics() {
  if (!Ask("STATS")) return false;
  unsigned long long answers = 0;
  const bool readable = std::sscanf(answer_.c_str(), "STATS answers=%llu", &answers) == 1;
  Count("STATS", readable && answers > answers_seen_ ? Verdict::kRight : Verdict::kWrong);
  answers_seen_ = answers;
  if (!Ask("VERSION")) return false;
  const bool known = std::any_of(kVersionNames.begin(), kVersionNames.end(), [&](const char* name) {
    return answer_ == std::string("VERSION ") + name;
  });
  Count("VERSION", known ? Verdict::kRight : Verdict::kWrong);
  return true;
}

bool Client::Round(uint64_t round) {
  const std::string client = std::to_string(number_);
  const std::string key = "c" + client + "-" + std::to_string(round % 64);
  const std::string value = "v" + client + "-" + std::to_string(round);
  const std::string kept = "kept-" + client;  // set once, read for ever: must survive each patch
  const std::string get = "GET " + key;
  if (round == 0) {
    if (!Ask("SET " + kept + " " + client)) return false;
    Expect("SET", "OK");
  }
  if (!Ask("SET " + key + " " + value)) return false;
  Expect("SET", "OK");
  if (!Ask(get)) return false;
  ExpectValue(get, value);
  if (!Ask("SET " + key + " ")) return false;
  Expect("SET", "OK");
  if (!Ask(get)) return false;
  ExpectEmpty(get);
  if (!Ask("DEL " + key)) return false;
  Expect("DEL", "OK");
  if (!Ask(get)) return false;
  Expect(get, "NONE");
  if (!Ask("GET " + kept)) return false;
  ExpectValue("GET " + kept, client);
  return round % 16 != 0 || ExpectStatistics();
}

void Client::Run(const std::atomic<bool>& stopping) {
  for (uint64_t round = 0; !stopping.load(std::memory_order_relaxed); ++round) {
    if (!Round(round)) return;
  }
}

void Add(Tally& sum, Tally&& part) {
  sum.latencies_us.insert(sum.latencies_us.end(), part.latencies_us.begin(),
                          part.latencies_us.end());
  sum.failed += part.failed;
  sum.mixed += part.mixed;
  for (int v = 0; v < kVersions; ++v) sum.answered_by[v] += part.answered_by[v];
}

double PercentileMs(const std::vector<uint32_t>& sorted_us, double part) {
  if (sorted_us.empty()) return 0;
  const auto last = static_cast<double>(sorted_us.size() - 1);
  return sorted_us[static_cast<std::size_t>(last * part)] / 1000.0;
}

// Which versions answered: the share of each, of the answers that tell.
std::string Shares(const std::array<uint64_t, kVersions>& answered_by) {
  uint64_t all = 0;
  for (const uint64_t count : answered_by) all += count;
  std::string text;
  for (int v = 0; v < kVersions; ++v) {
    if (answered_by[v] == 0) continue;
    const double percent = 100.0 * static_cast<double>(answered_by[v]) / static_cast<double>(all);
    char share[48];
    std::snprintf(share, sizeof share, "%s%s %.0f%%", text.empty() ? "" : ", ", kVersionNames[v],
                  percent);
    text += answered_by[v] == all ? kVersionNames[v] : share;
  }
  return text.empty() ? "none" : text;
}

void PrintLine(double second, double elapsed, Tally& tally) {
  std::vector<uint32_t>& latencies = tally.latencies_us;
  std::sort(latencies.begin(), latencies.end());
  std::printf(
      "%5.1f s  %7.0f req/s  p50 %6.2f ms  p99 %6.2f ms  max %7.2f ms  "
      "failed %llu  mixed %llu  version %s\n",
      second, static_cast<double>(latencies.size()) / elapsed, PercentileMs(latencies, 0.5),
      PercentileMs(latencies, 0.99), PercentileMs(latencies, 1),
      static_cast<unsigned long long>(tally.failed), static_cast<unsigned long long>(tally.mixed),
      Shares(tally.answered_by).c_str());
  std::fflush(stdout);
}

struct Options {
  uint16_t port = 0;
  int connections = 16;
  double seconds = 10;
};

bool ParseOptions(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--connections") == 0 && i + 1 < argc) {
      options->connections = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
      options->seconds = std::atof(argv[++i]);
    } else {
      options->port = static_cast<uint16_t>(std::atoi(argv[i]));
    }
  }
  return options->port != 0 && options->connections > 0 && options->seconds > 0;
}

std::atomic<bool> stop_requested{false};

// Prints a line each second until the time is up; returns the sum of all.
Tally Report(const Options& options, std::vector<std::unique_ptr<Client>>& clients) {
  Tally total;
  const Clock::time_point start = Clock::now();
  Clock::time_point last = start;
  for (bool over = false; !over;) {
    const Clock::time_point next = last + std::chrono::seconds(1);
    while (Clock::now() < next && !stop_requested.load()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const Clock::time_point now = Clock::now();
    Tally second;
    for (const std::unique_ptr<Client>& client : clients) Add(second, client->Take());
    const std::chrono::duration<double> since_start = now - start;
    const std::chrono::duration<double> since_last = now - last;
    PrintLine(since_start.count(), since_last.count(), second);
    Add(total, std::move(second));
    last = now;
    over = stop_requested.load() || since_start.count() >= options.seconds;
  }
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, &options)) {
    std::fprintf(stderr, "usage: kv_load PORT [--connections N] [--seconds S]\n");
    return 2;
  }
  struct sigaction action = {};
  action.sa_handler = [](int) { stop_requested.store(true); };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);

  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < options.connections; ++i) {
    clients.push_back(std::make_unique<Client>(options.port, i));
    if (!clients.back()->Connect()) {
      std::perror("kv_load: cannot connect");
      return 1;
    }
  }
  std::atomic<bool> stopping{false};
  std::vector<std::thread> threads;
  for (const std::unique_ptr<Client>& client : clients) {
    threads.emplace_back([&client, &stopping] { client->Run(stopping); });
  }
  Tally total = Report(options, clients);
  stopping.store(true);
  for (std::thread& thread : threads) thread.join();
  for (const std::unique_ptr<Client>& client : clients) Add(total, client->Take());

  std::printf("summary: requests %zu, failed %llu, mixed %llu, answered by",
              total.latencies_us.size(), static_cast<unsigned long long>(total.failed),
              static_cast<unsigned long long>(total.mixed));
  for (int v = 0; v < kVersions; ++v) {
    std::printf(" %s: %llu", kVersionNames[v],
                static_cast<unsigned long long>(total.answered_by[v]));
  }
  std::printf("\n");
  return total.failed + total.mixed == 0 && !total.latencies_us.empty() ? 0 : 1;
}
