// The mend program against a control server in this process: what operators and scripts see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/runtime/control/control_fixture.h"

namespace mend {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

struct CommandResult {
  int exit_code = -1;
  std::string out;
};

// Runs `mend ARGUMENTS`, with standard error in the output too when `merge` says so.
CommandResult Mend(const std::string& arguments, bool merge = false) {
  CommandResult result;
  const std::string command =
      absl::StrCat(MEND_PROGRAM, " ", arguments, merge ? " 2>&1" : " 2>/dev/null");
  FILE* const pipe = ::popen(command.c_str(), "r");
  char buffer[4096];
  for (size_t size; (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    result.out.append(buffer, size);
  }
  const int status = ::pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

class CliTest : public ControlFixture {
 protected:
  void Apply(const std::string& name, bool no_wait = false) {
    ASSERT_TRUE(service_.Apply(MakeModule(name, {"f"}), {.wait = {.no_wait = no_wait}}).ok());
  }
};

TEST_F(CliTest, WrongCommandLinesExitWith2) {
  for (const char* line : {"", "frobnicate", "status", "disable kv-server",
                           "status kv-server --nope", "wait kv-server --timeout soon",
                           "wait kv-server --timeout -1", "wait kv-server --timeout nan",
                           "disable kv-server fix --on-timeout explode", "run", "run --nope x"}) {
    EXPECT_EQ(Mend(line).exit_code, 2) << line;
  }
}

TEST_F(CliTest, WrongCommandLinesSayWhatIsWrong) {
  EXPECT_EQ(Mend("frobnicate", true).out,
            "mend: there is no command 'frobnicate'; see mend --help\n");
  EXPECT_THAT(Mend("wait kv-server --timeout -1", true).out,
              HasSubstr("--timeout: '-1' is no number of seconds"));
  EXPECT_THAT(Mend("get kv-server nowhere", true).out, HasSubstr("(there is no '/nowhere')"));
}

TEST_F(CliTest, OutputThatCannotBeWrittenIsAFailure) {
  for (const char* line : {"ps", "ps --json", "status kv-server", "ls kv-server",
                           "events kv-server", "--help", "run --help"}) {
    // No event has happened: nothing to write.
    const int wanted = std::string(line) == "events kv-server" ? 0 : 1;
    EXPECT_EQ(Mend(absl::StrCat(line, " >/dev/full")).exit_code, wanted) << line;
    EXPECT_EQ(Mend(absl::StrCat(line, " >&-")).exit_code, wanted) << line;
  }
  EXPECT_EQ(Mend("status kv-server <&- 2>&-").exit_code, 0);
  EXPECT_EQ(Mend("status kv-server >/dev/null <&- 2>&-").exit_code, 0);
}

TEST_F(CliTest, TimeOutsMayBeOfAnyLength) {
  for (const char* seconds : {"1e9", "1e300", "inf"}) {
    EXPECT_EQ(Mend(absl::StrCat("wait kv-server --timeout ", seconds)).exit_code, 0) << seconds;
    Apply("fix");
    EXPECT_EQ(Mend(absl::StrCat("disable kv-server fix --timeout ", seconds)).exit_code, 0)
        << seconds;
  }
}

TEST_F(CliTest, ErrorsAreObjectsWhenJsonIsWanted) {
  for (const auto& [line, code] : std::map<std::string, int>{{"load kv-server /nonexistent.so", 3},
                                                             {"events nobody", 6},
                                                             {"status nobody", 6},
                                                             {"get kv-server nothing", 3}}) {
    const CommandResult result = Mend(line + " --json");
    EXPECT_EQ(result.exit_code, code) << line;
    const Json error = Json::parse(result.out, nullptr, false);
    ASSERT_TRUE(error.is_object()) << line << ": " << result.out;
    EXPECT_EQ(error.begin().key(), "schema") << line;
    EXPECT_EQ(error.value("exit_code", 0), code) << line;
    EXPECT_NE(error.value("message", ""), "") << line;
  }
}

TEST_F(CliTest, EveryVerbHasHelp) {
  for (const char* verb :
       {"run", "ps", "status", "threads", "load", "unload", "disable", "enable", "promote",
        "revert", "force", "remove", "wait", "ls", "get", "set", "events"}) {
    const CommandResult help = Mend(absl::StrCat(verb, " --help"));
    EXPECT_EQ(help.exit_code, 0) << verb;
    EXPECT_THAT(help.out, HasSubstr("example")) << verb;
  }
  EXPECT_THAT(Mend("--version").out, HasSubstr("mend 0."));
}

TEST_F(CliTest, ProgramsAreListed) {
  EXPECT_THAT(Mend("ps").out, HasSubstr("kv-server"));
  const Json programs = Json::parse(Mend("ps --json").out);
  EXPECT_EQ(programs.begin().key(), "schema");
  // Others may be hosted on this machine.
  std::vector<std::string> pids;
  for (const Json& program : programs["programs"]) pids.push_back(program["pid"]);
  EXPECT_THAT(pids, testing::Contains(std::to_string(::getpid())));
}

TEST_F(CliTest, UnreachableTargetsExitWith6) {
  for (const char* target : {"nobody", "999999999", "/tmp/no/such.sock", "'no*'"}) {
    EXPECT_EQ(Mend(absl::StrCat("status ", target)).exit_code, 6) << target;
  }
}

TEST_F(CliTest, StatusShowsPatchesInColumns) {
  Apply("fix");
  const CommandResult status = Mend("status kv-server");
  EXPECT_EQ(status.exit_code, 0);
  EXPECT_THAT(status.out, HasSubstr("ORDER  PATCH  STATE    CUMULATIVE  FUNCTIONS\n"
                                    "1      fix    enabled  yes         1\n"));
  EXPECT_THAT(status.out, HasSubstr("last transition: patching 'fix'"));
  EXPECT_THAT(status.out, Not(HasSubstr("\033"))) << "no colour in a pipe";
}

TEST_F(CliTest, ThreadsSayWhatHoldsThemBack) {
  const StuckThreads stuck;
  Apply("fix", /*no_wait=*/true);
  const CommandResult threads = Mend("threads kv-server");
  EXPECT_THAT(threads.out, HasSubstr("blocked in read"));
  EXPECT_THAT(threads.out, HasSubstr("old_f"));
  EXPECT_THAT(Mend("status kv-server").out, HasSubstr("1 thread left"));
}

TEST_F(CliTest, VerbsAreIdempotent) {
  Apply("fix");
  for (const char* line : {"enable kv-server fix", "disable kv-server fix", "disable kv-server fix",
                           "enable kv-server fix", "disable kv-server fix", "remove kv-server fix",
                           "remove kv-server fix", "wait kv-server"}) {
    EXPECT_EQ(Mend(line).exit_code, 0) << line;
  }
  const CommandResult unknown = Mend("disable kv-server fix", /*merge=*/true);
  EXPECT_EQ(unknown.exit_code, 3);
  EXPECT_TRUE(absl::StartsWith(unknown.out, "ENOENT: ")) << unknown.out;
}

TEST_F(CliTest, RefusedRemovalPrintsTheErrno) {
  Apply("fix");
  const CommandResult refused = Mend("remove kv-server fix", /*merge=*/true);
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_TRUE(absl::StartsWith(refused.out, "EBUSY: ")) << refused.out;
}

TEST_F(CliTest, ExitCodesOfTransitionsThatDoNotFinish) {
  Apply("fix");
  const StuckThreads stuck(/*both_ways=*/true);
  EXPECT_EQ(Mend("disable kv-server fix --no-wait").exit_code, 5);
  EXPECT_EQ(Mend("wait kv-server --timeout 0.05").exit_code, 5);
  EXPECT_EQ(Mend("disable kv-server fix --timeout 0.05 --on-timeout wait").exit_code, 5);
  EXPECT_EQ(Mend("force kv-server fix").exit_code, 0);
}

TEST_F(CliTest, TimeOutThatReversesExitsWith4) {
  Apply("old");
  Apply("fix");
  ASSERT_TRUE(service_.Disable("fix", {}).ok());
  const StuckThreads stuck;
  const CommandResult reversed = Mend("enable kv-server fix --timeout 0.05 --json");
  EXPECT_EQ(reversed.exit_code, 4);
  EXPECT_EQ(Json::parse(reversed.out)["outcome"], "reversed");
}

TEST_F(CliTest, AttributesAsInTheContract) {
  Apply("fix");
  EXPECT_EQ(Mend("ls kv-server").out, "livepatch\nmodule\nthreads\n");
  EXPECT_EQ(Mend("ls kv-server livepatch/fix/kv-server/f,1").out, "");
  EXPECT_EQ(Mend("ls kv-server livepatch/fix/kv-server/f,1").exit_code, 0);
  EXPECT_EQ(Mend("get kv-server livepatch/fix/enabled").out, "1\n");
  EXPECT_EQ(Mend("get kv-server /livepatch/fix/enabled --json").out,
            "{\"schema\":1,\"value\":\"1\",\"exit_code\":0}\n");
  const CommandResult same = Mend("set kv-server livepatch/fix/enabled 1", /*merge=*/true);
  EXPECT_EQ(same.exit_code, 3);
  EXPECT_TRUE(absl::StartsWith(same.out, "EINVAL: ")) << same.out;
  EXPECT_TRUE(absl::StartsWith(Mend("get kv-server livepatch/fix/force", true).out, "EACCES: "));
  EXPECT_TRUE(absl::StartsWith(Mend("get kv-server nope", true).out, "ENOENT: "));
  const CommandResult set = Mend("set kv-server livepatch/fix/enabled 0", /*merge=*/true);
  EXPECT_EQ(set.exit_code, 0);
  EXPECT_EQ(set.out, "");
}

TEST_F(CliTest, SomeOfSeveralTargetsFailed) {
  const std::string first = server_->socket_path();
  EventLog events;
  const std::unique_ptr<PatchRegistry> registry = MakeFakeRegistry(&events);
  PatchService service(registry.get(), &loader_, "");
  ControlRoutes routes(ThisProgram("kv-two"), &service, &events);
  // Another process' number, so that both lie in the default place.
  absl::StatusOr<std::unique_ptr<ControlServer>> second = ControlServer::Start(
      {.socket = directory_ + "/mend/1.sock", .http_module = MEND_HTTP_MODULE}, &routes, &events);
  ASSERT_TRUE(second.ok()) << second.status();
  Apply("fix");
  const CommandResult both = Mend("enable 'kv-*' fix --json");
  EXPECT_EQ(both.exit_code, 7) << "the second does not have it";
  EXPECT_EQ(Json::parse(both.out)["targets"].size(), 2u);
  EXPECT_EQ(Mend("disable 'kv-*' fix").exit_code, 0) << "nor need it be taken off there";
  EXPECT_EQ(Mend("status 'kv-*'").exit_code, 0);
  routes.Shutdown();
}

TEST_F(CliTest, EventsAreLinesOrObjects) {
  events_.Append(LivepatchEvent("enabling", "fix", "enabling patch 'fix'"));
  Event typed;
  typed.kind = "thread_switched";
  typed.tid = 7;
  events_.Append(typed);
  EXPECT_EQ(Mend("events kv-server").out,
            "livepatch: enabling patch 'fix'\nthread_switched tid=7\n");
  EXPECT_TRUE(absl::StartsWith(Mend("events kv-server --json").out, "{\"schema\":1,\"seq\":\"1\""));
}

TEST_F(CliTest, GuestModulesComeAndGo) {
  const std::string file = directory_ + "/plugin.so";
  std::ofstream(file) << "a module";
  const CommandResult loaded = Mend("load kv-server " + file + " --param verbose=Y");
  EXPECT_EQ(loaded.exit_code, 0);
  EXPECT_EQ(loaded.out, "module plugin loaded\n");
  EXPECT_EQ(Mend("get kv-server module/plugin/parameters/verbose").out, "Y\n");
  EXPECT_EQ(Mend("load kv-server " + file).out, "module plugin was loaded already\n");
  std::ofstream(file) << "another module";
  const CommandResult again = Mend("load kv-server " + file, /*merge=*/true);
  EXPECT_EQ(again.exit_code, 3);
  EXPECT_TRUE(absl::StartsWith(again.out, "EEXIST: ")) << again.out;
  EXPECT_EQ(Mend("load kv-server " + file + " --name other --json").out,
            "{\"schema\":1,\"exit_code\":0,\"outcome\":\"complete\",\"module\":\"other\"}\n");
  EXPECT_EQ(Mend("unload kv-server other").exit_code, 0);
  EXPECT_EQ(Mend("unload kv-server plugin").out, "module plugin unloaded\n");
  const CommandResult gone = Mend("unload kv-server plugin");
  EXPECT_EQ(gone.exit_code, 0);
  EXPECT_EQ(gone.out, "module plugin was unloaded already\n");
}

TEST_F(CliTest, RefusedModulesLeaveNothing) {
  const std::string file = directory_ + "/plugin.so";
  std::ofstream(file) << "a module";
  const auto refused = [&](const std::string& rest) {
    const CommandResult result = Mend("load kv-server " + rest, /*merge=*/true);
    EXPECT_EQ(result.exit_code, 3) << rest;
    return result.out.substr(0, result.out.find(':'));
  };
  EXPECT_EQ(refused(file + " --name broken"), "ENOEXEC");
  EXPECT_EQ(refused(file + " --param nothing=1"), "EINVAL");
  EXPECT_EQ(refused(file + " --param verbose=perhaps"), "EINVAL");
  EXPECT_EQ(refused(file + " --name a/b"), "EINVAL");
  EXPECT_EQ(refused(file + " --name a:b"), "EINVAL");
  EXPECT_EQ(Mend("load kv-server " + file + " --param verbose").exit_code, 2);
  EXPECT_EQ(Mend("load kv-server " + directory_ + "/none.so").exit_code, 3);
  EXPECT_EQ(Mend("ls kv-server module").out, "");
}

TEST_F(CliTest, NegativeValuesAreNoOptions) {
  loader_.parameter = "pre_patch_ret";
  Apply("fix");
  EXPECT_EQ(Mend("set kv-server module/fix/parameters/pre_patch_ret -19").exit_code, 0);
  EXPECT_EQ(Mend("get kv-server module/fix/parameters/pre_patch_ret").out, "-19\n");
}

TEST_F(CliTest, RunRefusesWhatItCannotHost) {
  EXPECT_EQ(Mend("run ./no-such-program").exit_code, 127);
  EXPECT_EQ(Mend("run no-such-program --help").exit_code, 127);
  EXPECT_EQ(Mend("run no-such-file.c").exit_code, 127);
  EXPECT_EQ(Mend("run /bin/true").exit_code, 126);
  EXPECT_EQ(Mend("run /tmp").exit_code, 126);
}

}  // namespace
}  // namespace mend
