#include "runtime/control/server.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "mend/client.h"
#include "mend/target.h"
#include "runtime/base/descriptor_table.h"
#include "runtime/control/request_runner.h"
#include "runtime/control/socket_place.h"
#include "tests/runtime/control/control_fixture.h"

namespace mend {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

class ControlServerTest : public ControlFixture {
 protected:
  Client client() const { return Client(server_->socket_path()); }

  Reply Get(const std::string& path) const {
    const absl::StatusOr<Reply> reply = client().Get(path);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *reply : Reply();
  }

  Reply Post(const std::string& path, const std::string& body = "") const {
    const absl::StatusOr<Reply> reply = client().Post(path, body);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *reply : Reply();
  }

  Json GetJson(const std::string& path) const {
    return Json::parse(Get(path).body, nullptr, false);
  }
};

// Other programs that run on this machine are in there, too.
std::vector<pid_t> PidsOfTargets() {
  std::vector<pid_t> pids;
  for (const Target& target : ListTargets()) pids.push_back(target.pid);
  return pids;
}

int Connect(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

std::string Exchange(int fd, const std::string& request) {
  [[maybe_unused]] const ssize_t sent = ::send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  std::string answer;
  char buffer[4096];
  for (ssize_t size; (size = ::recv(fd, buffer, sizeof buffer, 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(size));
  }
  return answer;
}

TEST_F(ControlServerTest, SocketIsPrivateAndInTheDefaultPlace) {
  EXPECT_EQ(server_->socket_path(), DefaultSocketPath(::getpid()));
  struct stat status = {};
  ASSERT_EQ(::stat(server_->socket_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

std::vector<std::string> OpenDescriptors() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    names.push_back(entry.path().filename());
  }
  return names;
}

TEST_F(ControlServerTest, ProgramHasNoneOfItsDescriptors) {
  StopServing();
  const size_t before = OpenDescriptors().size();
  Serve("");
  EXPECT_EQ(Get("/status").status, 200);
  EXPECT_EQ(OpenDescriptors().size(), before);
}

TEST_F(ControlServerTest, OutlivesAProgramThatClosesEverything) {
  ::close_range(3, ~0u, 0);
  for (int number = 512; number < 516; ++number) ASSERT_EQ(::dup2(2, number), number);
  EXPECT_EQ(Post("/patches", MakeModule("fix", {"f"})).status, 200);
  EXPECT_EQ(Get("/livepatch/fix/enabled").body, "1\n");
}

// A request may run callbacks, which use the program's descriptors.
TEST(RequestRunnerTest, RequestsSeeTheDescriptorsOfWhoStartedIt) {
  RequestRunner runner;
  ASSERT_TRUE(runner.Start().ok());
  const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  bool asks_from_elsewhere = false;
  bool is_open_there = true;
  bool is_open_in_request = false;
  std::thread server([&] {
    asks_from_elsewhere = LeaveSharedDescriptorTable({});
    is_open_there = ::fcntl(number, F_GETFD) >= 0;
    runner.Run([&] { is_open_in_request = ::fcntl(number, F_GETFD) >= 0; });
  });
  server.join();
  EXPECT_TRUE(asks_from_elsewhere);
  EXPECT_FALSE(is_open_there);
  EXPECT_TRUE(is_open_in_request);
  runner.Stop();
  ::close(number);
}

TEST(RequestRunnerTest, OneRequestDoesNotWaitForAnother) {
  RequestRunner runner;
  ASSERT_TRUE(runner.Start().ok());
  absl::Notification second_is_done;
  std::thread first([&] { runner.Run([&] { second_is_done.WaitForNotification(); }); });
  runner.Run([&] { second_is_done.Notify(); });
  first.join();
  runner.Stop();
}

TEST(DescriptorTableTest, KeepsWhatIsNamedOnly) {
  const int kept = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int other = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  std::thread([&] {
    ASSERT_TRUE(LeaveSharedDescriptorTable({kept}));
    EXPECT_GE(::fcntl(kept, F_GETFD), 0);
    EXPECT_LT(::fcntl(other, F_GETFD), 0);
    EXPECT_LT(::fcntl(STDERR_FILENO, F_GETFD), 0);
    ::close(kept);
  }).join();
  EXPECT_GE(::fcntl(kept, F_GETFD), 0);
  EXPECT_GE(::fcntl(other, F_GETFD), 0);
  ::close(kept);
  ::close(other);
}

TEST_F(ControlServerTest, SchemaComesFirst) {
  for (const char* path : {"/program", "/status", "/threads"}) {
    EXPECT_TRUE(absl::StartsWith(Get(path).body, "{\"schema\":1,")) << path;
  }
}

TEST_F(ControlServerTest, ProgramSaysWhoItIs) {
  const Json program = GetJson("/program");
  EXPECT_EQ(program["pid"], std::to_string(::getpid()));
  EXPECT_EQ(program["name"], "kv-server");
  EXPECT_THAT(program["executable"].get<std::string>(), HasSubstr("control_server_test"));
}

TEST_F(ControlServerTest, TargetIsFoundByEveryKindOfName) {
  for (const std::string& operand : {std::to_string(::getpid()), server_->socket_path(),
                                     std::string("kv-server"), std::string("kv-*")}) {
    const absl::StatusOr<Target> target = FindTarget(operand);
    ASSERT_TRUE(target.ok()) << target.status();
    EXPECT_EQ(target->pid, ::getpid());
  }
  EXPECT_EQ(FindTarget("kv").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ControlServerTest, PatchGoesInAndOut) {
  const Reply applied = Post("/patches", MakeModule("fix", {"f"}));
  ASSERT_EQ(applied.status, 200) << applied.body;
  const Json report = Json::parse(applied.body);
  EXPECT_EQ(report["outcome"], "complete");
  EXPECT_EQ(report["functions"][0]["name"], "f");
  EXPECT_EQ(report["functions"][0]["reason"], "changed");
  EXPECT_EQ(report["transition"]["switched"]["blocked"], 2);
  EXPECT_EQ(GetJson("/status")["patches"][0]["enabled"], true);
  EXPECT_EQ(Get("/livepatch/fix/enabled").body, "1\n");
  EXPECT_EQ(Post("/patches/fix/disable").status, 200);
  EXPECT_EQ(Post("/patches/fix/remove").status, 200);
  EXPECT_TRUE(GetJson("/status")["patches"].empty());
}

TEST_F(ControlServerTest, RefusalsCarryErrnoCodeAndExitCode) {
  const Reply refused = Post("/patches", MakeModule("fix", {"missing"}));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(ExitCodeOf(refused), kExitRefused);
  EXPECT_EQ(Json::parse(refused.body)["code"], "MEND-E0042");
  EXPECT_TRUE(absl::StartsWith(ErrorText(refused), "EINVAL: Invalid argument (MEND-E0042: "));
  EXPECT_EQ(ErrorText(Post("/patches", "no module")).substr(0, 7), "EINVAL:");
  EXPECT_EQ(ErrorText(Post("/patches/nope/disable")).substr(0, 7), "ENOENT:");
  EXPECT_EQ(ErrorText(Post("/patches?tiemout_ns=1", "")).substr(0, 7), "EINVAL:");
  EXPECT_EQ(ErrorText(Post("/patches?timeout_ns=soon", "")).substr(0, 7), "EINVAL:");
  EXPECT_EQ(Get("/nothing").status, 404);
}

TEST_F(ControlServerTest, TimedOutTransitionIsReversedWithItsStraggler) {
  const StuckThreads stuck;
  const Reply reply = Post("/patches?timeout_ns=30000000", MakeModule("fix", {"f"}));
  EXPECT_EQ(reply.status, 504);
  EXPECT_EQ(ExitCodeOf(reply), kExitReversed);
  const Json report = Json::parse(reply.body);
  EXPECT_EQ(report["outcome"], "reversed");
  EXPECT_EQ(report["stragglers"][0]["straggler"]["function"], "old_f");
  EXPECT_EQ(report["stragglers"][0]["straggler"]["frame"], 3);
  EXPECT_EQ(report["stragglers"][0]["straggler"]["tries"], 7);
}

TEST_F(ControlServerTest, NoWaitAnswersWhileThreadsMigrate) {
  const StuckThreads stuck;
  const Reply reply = Post("/patches?no_wait=1", MakeModule("fix", {"f"}));
  EXPECT_EQ(reply.status, 202);
  EXPECT_EQ(ExitCodeOf(reply), kExitMigrating);
  EXPECT_EQ(ExitCodeOf(Get("/transition/wait?timeout_ms=10")), kExitMigrating);
  EXPECT_EQ(GetJson("/status")["transition"]["patch"], "fix");
  EXPECT_EQ(ErrorText(Post("/patches", MakeModule("other", {"g"}))).substr(0, 6), "EBUSY:");
  EXPECT_EQ(ExitCodeOf(Post("/patches/fix/force")), kExitOk);
  EXPECT_EQ(ExitCodeOf(Get("/transition/wait?timeout_ms=10")), kExitOk);
}

TEST_F(ControlServerTest, AttributesAreReadListedAndWritten) {
  Post("/patches", MakeModule("fix", {"f"}));
  EXPECT_EQ(Get("/").body, "livepatch\nmodule\nthreads\n");
  EXPECT_EQ(Get("/livepatch/").body, "fix\n");
  EXPECT_EQ(Get("/threads/100/patch_state").body, "-1\n");
  EXPECT_EQ(client().Put("/livepatch/fix/enabled", "0")->status, 204);
  EXPECT_EQ(Get("/livepatch/").body, "");
  EXPECT_EQ(ErrorText(*client().Put("/livepatch/fix/enabled", "0")).substr(0, 7), "ENOENT:");
  EXPECT_EQ(ErrorText(*client().Put("/status", "0")).substr(0, 7), "ENOENT:");
}

TEST_F(ControlServerTest, EventsAreReadAndFollowed) {
  events_.Append(LivepatchEvent("enabling", "fix", "enabling patch 'fix'"));
  const Json event = Json::parse(Get("/events").body);
  EXPECT_EQ(event["seq"], "1");
  EXPECT_EQ(event["text"], "livepatch: enabling patch 'fix'");
  EXPECT_EQ(Get("/events?after=1").body, "");
  std::thread writer([this] {
    absl::SleepFor(absl::Milliseconds(50));
    events_.Append(LivepatchEvent("later", "fix", "later"));
  });
  std::vector<std::string> kinds;
  const absl::StatusOr<Reply> reply =
      client().Follow("/events?follow=1", [&](std::string_view line) {
        kinds.push_back(Json::parse(line)["kind"].get<std::string>());
        return kinds.size() < 2;
      });
  writer.join();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(kinds, ElementsAre("enabling", "later"));
}

TEST_F(ControlServerTest, MetricsEndAsOpenMetricsAsks) {
  Post("/patches", MakeModule("fix", {"f"}));
  const std::string text = Get("/metrics").body;
  EXPECT_THAT(text, HasSubstr("mend_patch_enabled{patch=\"fix\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("mend_threads 2\n"));
  EXPECT_TRUE(absl::EndsWith(text, "# EOF\n"));
}

TEST_F(ControlServerTest, RequestsOfManyClientsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> answered = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) answered += client().Get("/status")->status == 200 ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, 160);
}

TEST_F(ControlServerTest, SeveralRequestsOnOneConnection) {
  const int fd = Connect(server_->socket_path());
  ASSERT_GE(fd, 0);
  const std::string answers =
      Exchange(fd,
               "GET /program HTTP/1.1\r\nHost: x\r\n\r\n"
               "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  ::close(fd);
  EXPECT_THAT(answers, HasSubstr("\"name\":\"kv-server\""));
  EXPECT_THAT(answers, HasSubstr("# EOF"));
}

// curl says of a body that it is a form's, unless it is told otherwise.
TEST_F(ControlServerTest, BodyIsTheModuleWhateverItsTypeIs) {
  const auto post = [this](const std::string& type, const std::string& body) {
    const int fd = Connect(server_->socket_path());
    EXPECT_GE(fd, 0);
    std::string answer = Exchange(
        fd, absl::StrCat("POST /patches HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: ",
                         type, "\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
    ::close(fd);
    return answer;
  };
  const std::string form = "application/x-www-form-urlencoded";
  EXPECT_THAT(post(form, MakeModule("fix", {"f"})), HasSubstr("\"outcome\":\"complete\""));
  // More than the library takes for a form.
  EXPECT_THAT(post(form, std::string(20'000, 'x')), HasSubstr("not a usable patch module"));
  EXPECT_THAT(post("multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--b--\r\n"),
              HasSubstr(" 415 "));
  EXPECT_EQ(Get("/livepatch/fix/enabled").body, "1\n");
}

TEST_F(ControlServerTest, GarbageDoesNoHarm) {
  for (const char* garbage : {"\n\n\n\n", "GET\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n",
                              "POST /patches HTTP/1.1\r\nContent-Length: -1\r\n\r\n"}) {
    const int fd = Connect(server_->socket_path());
    ASSERT_GE(fd, 0);
    [[maybe_unused]] const ssize_t sent = ::send(fd, garbage, std::strlen(garbage), MSG_NOSIGNAL);
    ::shutdown(fd, SHUT_WR);
    Exchange(fd, "");
    ::close(fd);
  }
  EXPECT_EQ(Get("/program").status, 200);
}

// Clients that say nothing, as many as the process may have: whoever comes then is told at once.
TEST_F(ControlServerTest, IdleClientsDoNotHoldOthersUp) {
  std::vector<int> idle(300);
  for (int& fd : idle) ASSERT_GE(fd = Connect(server_->socket_path()), 0);
  const int fd = Connect(server_->socket_path());
  ASSERT_GE(fd, 0);
  const timeval patience = {.tv_sec = 20, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string answer = Exchange(fd, "GET /program HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, AllOf(HasSubstr("503"), HasSubstr("too many connections")));
  ::close(fd);
  for (const int other : idle) ::close(other);
  int tries = 0;
  while (Get("/program").status != 200 && ++tries < 500) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_LT(tries, 500);
}

// A client that goes away after any number of its request's bytes: nothing happens, and the next
// one is answered.
TEST_F(ControlServerTest, RequestCutOffAtEveryByte) {
  const std::string body = "not a module, but the server waits for all of it";
  const std::string request =
      absl::StrCat("POST /patches?no_wait=1 HTTP/1.1\r\nHost: x\r\nContent-Length: ", body.size(),
                   "\r\n\r\n", body);
  for (size_t bytes = 0; bytes < request.size(); ++bytes) {
    const int fd = Connect(server_->socket_path());
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::send(fd, request.data(), bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
    ::close(fd);
    if (bytes % 16 == 0) EXPECT_EQ(Get("/program").status, 200) << "after " << bytes << " bytes";
  }
  EXPECT_EQ(Get("/livepatch/").body, "");
  // In answers, too: the client that goes away reads part of one.
  for (int round = 0; round < 20; ++round) {
    const int fd = Connect(server_->socket_path());
    const std::string get = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    ASSERT_EQ(::send(fd, get.data(), get.size(), MSG_NOSIGNAL), static_cast<ssize_t>(get.size()));
    char some[16];
    if (round % 2 == 0) (void)::recv(fd, some, sizeof some, 0);
    ::close(fd);
  }
  EXPECT_EQ(Get("/program").status, 200);
}

// The library matches paths by a regular expression that recurses per character.
TEST_F(ControlServerTest, LongestPathsAreAnswered) {
  EXPECT_EQ(Get("/" + std::string(8000, 'x')).status, 404);
  EXPECT_EQ(Get("/livepatch/" + std::string(100'000, 'x')).status, 414);
  EXPECT_EQ(Get("/program").status, 200);
}

TEST_F(ControlServerTest, SocketOfAKilledProcessIsClearedAway) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const std::string stale = absl::StrCat(directory_, "/mend/", child, ".sock");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, stale.c_str());
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  EXPECT_THAT(PidsOfTargets(), AllOf(Contains(::getpid()), Not(Contains(child))));
  EXPECT_NE(::access(stale.c_str(), F_OK), 0);
  EXPECT_EQ(::access(server_->socket_path().c_str(), F_OK), 0);
}

TEST_F(ControlServerTest, ClientThatVanishesInAWaitDoesNoHarm) {
  const StuckThreads stuck;
  const int fd = Connect(server_->socket_path());
  const std::string request = "GET /transition/wait?timeout_ms=100 HTTP/1.1\r\nHost: x\r\n\r\n";
  ASSERT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  ::close(fd);
  EXPECT_EQ(Get("/program").status, 200);
}

TEST_F(ControlServerTest, AnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  // Let the other user get as far as the socket itself.
  ASSERT_EQ(::chmod(directory_.c_str(), 0755), 0);
  ASSERT_EQ(::chmod((directory_ + "/mend").c_str(), 0755), 0);
  ASSERT_EQ(::chmod(server_->socket_path().c_str(), 0666), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setuid(65534) != 0) ::_exit(2);
    const int fd = Connect(server_->socket_path());
    if (fd < 0) ::_exit(3);
    const std::string answer = Exchange(fd, "GET /program HTTP/1.1\r\nHost: x\r\n\r\n");
    ::_exit(absl::StartsWith(answer, "HTTP/1.1 403") ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(ControlServerTest, SocketGoesWithTheServer) {
  const std::string path = server_->socket_path();
  StopServing();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  EXPECT_EQ(Client(path).Get("/program").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ControlServerTest, StreamDoesNotHoldUpTheEnd) {
  const int fd = Connect(server_->socket_path());
  const std::string request = "GET /events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n";
  ASSERT_GT(::send(fd, request.data(), request.size(), MSG_NOSIGNAL), 0);
  absl::SleepFor(absl::Milliseconds(50));
  const absl::Time start = absl::Now();
  StopServing();
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  ::close(fd);
}

TEST_F(ControlServerTest, SocketThatAKilledProcessLeftIsReplaced) {
  const std::string path = directory_ + "/custom.sock";
  const pid_t child = ::fork();
  if (child == 0) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  ASSERT_EQ(::access(path.c_str(), F_OK), 0);
  server_.reset();
  Serve(path);
  EXPECT_EQ(Get("/program").status, 200);
}

TEST_F(ControlServerTest, PathThatIsTakenIsRefused) {
  const auto start = [this](const std::string& path) {
    return ControlServer::Start({.socket = path, .http_module = MEND_HTTP_MODULE}, &routes_,
                                &events_)
        .status();
  };
  EXPECT_EQ(start(server_->socket_path()).code(), absl::StatusCode::kAlreadyExists);
  const std::string file = directory_ + "/file";
  std::ofstream(file) << "precious";
  EXPECT_EQ(start(file).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(::access(file.c_str(), F_OK), 0);
  EXPECT_EQ(start(std::string(200, 'x')).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(start("/nonexistent/x.sock").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Get("/program").status, 200);
}

// The threads that serve take none of the program's signals.
TEST_F(ControlServerTest, ServingThreadsBlockSignals) {
  Get("/program");
  const auto count_serving = [] {
    DIR* const tasks = ::opendir("/proc/self/task");
    int serving = 0;
    while (const dirent* entry = ::readdir(tasks)) {
      const std::string task = std::string("/proc/self/task/") + entry->d_name;
      std::string name;
      std::ifstream(task + "/comm") >> name;
      if (name != "mend-control") continue;
      ++serving;
      std::ifstream file(task + "/status");
      for (std::string line; std::getline(file, line);) {
        if (!absl::StartsWith(line, "SigBlk:")) continue;
        const uint64_t blocked = std::stoull(line.substr(8), nullptr, 16);
        for (const int signal : {SIGTERM, SIGINT, SIGCHLD, SIGUSR1, SIGALRM}) {
          EXPECT_NE(blocked & (uint64_t{1} << (signal - 1)), 0u) << signal;
        }
      }
    }
    ::closedir(tasks);
    return serving;
  };
  // Those of an earlier test's server are nobody's to join, and may still be on their way out.
  int serving = count_serving();
  for (int tries = 0; serving > 1 && tries < 1000; ++tries) {
    absl::SleepFor(absl::Milliseconds(10));
    serving = count_serving();
  }
  EXPECT_EQ(serving, 1);
}

TEST_F(ControlServerTest, ForkedChildHasItsOwnSocket) {
  Get("/program");  // the HTTP module is open, and its threads have run
  const std::string parent_socket = server_->socket_path();
  int release[2];
  ASSERT_EQ(::pipe(release), 0);
  server_->PrepareFork();
  events_.PrepareFork();
  const pid_t child = ::fork();
  events_.AfterFork();
  if (child == 0) {
    server_->ChildAfterFork();
    ::close(release[1]);
    char byte;
    while (::read(release[0], &byte, 1) < 0) {
    }
    StopServing();
    ::_exit(::access(parent_socket.c_str(), F_OK) == 0 ? 0 : 1);
  }
  server_->ParentAfterFork();
  absl::StatusOr<Target> target = absl::NotFoundError("");
  for (int i = 0; i < 500 && !target.ok(); ++i) {
    absl::SleepFor(absl::Milliseconds(10));
    target = FindTarget(std::to_string(child));
  }
  EXPECT_TRUE(target.ok()) << target.status();
  if (target.ok()) {
    EXPECT_EQ(target->name, "kv-server");
    EXPECT_EQ(Client(target->socket).Post("/patches", MakeModule("fix", {"f"}))->status, 200);
  }
  EXPECT_TRUE(GetJson("/status")["patches"].empty()) << "the child's patch is the child's";
  EXPECT_EQ(FindTarget("kv-server").status().code(), absl::StatusCode::kFailedPrecondition)
      << "two programs have that name now";
  ::close(release[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(PidsOfTargets(), AllOf(Contains(::getpid()), Not(Contains(child))));
  ::close(release[0]);
}

TEST_F(ControlServerTest, ModulesNeedANameAndBytes) {
  EXPECT_EQ(Post("/modules?name=plugin").status, 400) << "without bytes a path would be read";
  EXPECT_EQ(Post("/modules", "module").status, 400);
  EXPECT_EQ(Post("/modules?name=plugin&what=ever", "module").status, 400);
  EXPECT_EQ(Post("/modules?name=plugin&param=verbose", "module").status, 400);
  EXPECT_EQ(Get("/module/").body, "");
  EXPECT_EQ(Post("/modules?name=plugin&param=verbose%3DY", "module").status, 200);
  EXPECT_EQ(Get("/module/plugin/parameters/verbose").body, "Y\n");
  EXPECT_EQ(Post("/modules/plugin/reload").status, 404);
  EXPECT_EQ(Post("/modules/plugin/unload").status, 200);
  EXPECT_THAT(Post("/modules/plugin/unload").body, HasSubstr("nothing_to_do"));
}

TEST_F(ControlServerTest, ModulesAreListedAndHandedOutAsTheyWereLoaded) {
  EXPECT_TRUE(GetJson("/modules")["modules"].empty());
  const std::string bytes = std::string("\x7f module", 8) + std::string(70000, 'x');
  ASSERT_EQ(Post("/modules?name=plugin", bytes).status, 200);
  const auto modules = GetJson("/modules")["modules"];
  ASSERT_EQ(modules.size(), 1u);
  EXPECT_EQ(modules[0]["name"], "plugin");
  EXPECT_EQ(modules[0]["state"], "live");
  EXPECT_EQ(modules[0]["refcnt"], 0);
  EXPECT_EQ(Get("/modules/plugin/file").body, bytes);
  EXPECT_EQ(Get("/modules/other/file").status, 404);
  EXPECT_EQ(Get("/modules/plugin").status, 404);
  EXPECT_EQ(Get("/modulesque").status, 404);
  ASSERT_EQ(Post("/modules/plugin/unload").status, 200);
  EXPECT_EQ(Get("/modules/plugin/file").status, 404);
}

TEST_F(ControlServerTest, PatchParametersAreSetAtApply) {
  loader_.parameter = "level";
  EXPECT_EQ(Post("/patches?param=level%3Dmuch", MakeModule("fix", {"f"})).status, 400);
  EXPECT_EQ(Post("/patches?param=depth%3D1", MakeModule("fix", {"f"})).status, 400);
  EXPECT_EQ(Get("/livepatch/").body, "");
  EXPECT_EQ(Post("/patches?param=level%3D-19", MakeModule("fix", {"f"})).status, 200);
  EXPECT_EQ(loader_.parameter_value, -19);
}

}  // namespace
}  // namespace mend
