// The mend program: hosts programs and operates on running ones. Each verb is in commands/.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mend/client.h"
#include "mend/commands/commands.h"
#include "mend/standard_streams.h"

namespace {

constexpr char kRunHelp[] = R"(usage: mend run [OPTION]... OPERAND...

Hosts a program. OPERAND is an executable made by patchc, followed by its arguments; or C and C++
sources, objects, archives, LLVM IR, -lNAME and -LDIR up to `--`, then the program's arguments.
The exit code is the program's own; 127: not found, 126: refused.

  --name N             how operators find it (default: the executable's base name)
  --socket PATH        path of the control socket (default: in $XDG_RUNTIME_DIR/mend,
                       /run/mend for root, or $TMPDIR/mend-UID)
  --no-socket          serve no control socket
  --patch-dir DIR      apply its patch modules at the start; --persist keeps patches there
  --log FILE           append event lines to it (default: standard error)
  --poke-interval SEC  wake threads asleep in unknown host code after this long (default: 15)
  --debugger           tell gdb about hosted code: names, lines, variables
  --perf               tell perf: /tmp/perf-PID.map names hosted functions

An executable made by patchc also starts by itself, and takes these options from MEND_OPTIONS.

examples:
  mend run ./server --port 8080
  mend run --name counter counter.c -- 10
)";

// The words of one command line that verbs take.
struct CommandLine {
  bool json = false;
  bool follow = false;
  std::string target, patch, path, value, module, name;
  std::vector<std::string> parameters;
  double timeout_s = 30;
  mend::WaitFlags wait;
};

using Action = std::function<int()>;

class Parser {
 public:
  Parser() {
    app_.require_subcommand(1);
    app_.set_version_flag("--version", std::string("mend ") + MEND_VERSION);
    app_.get_formatter()->column_width(34);
    app_.footer(
        "TARGET is a process id, the path of a control socket, or a name or glob of names.\n"
        "Exit codes: 0 done, 1 internal error, 2 usage, 3 refused, 4 timed out and reversed,\n"
        "5 still migrating, 6 target unreachable, 7 some of several targets failed.\n"
        "\nexamples:\n  mend run ./server --port 8080\n  mend status server\n"
        "  mend disable 'worker-*' fix --timeout 5\n  mend get server livepatch/fix/enabled");
    app_.add_subcommand("run", "host a program (see mend run --help)");
    AddQueries();
    AddVerbs();
    AddAttributes();
    AddModules();
  }

  // Exits 2 for a wrong command line, 0 for --help and --version.
  int Run(int argc, char** argv) {
    const auto is_named = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
    if (argc > 1 && argv[1][0] != '-' && app_.get_subcommands(is_named).empty()) {
      std::fprintf(stderr, "mend: there is no command '%s'; see mend --help\n", argv[1]);
      return mend::kExitUsage;
    }
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? mend::kExitOk : mend::kExitUsage;
    }
    return action_ ? action_() : mend::kExitUsage;
  }

 private:
  CLI::App* Add(const char* name, const char* description, const char* example, Action action) {
    CLI::App* const command = app_.add_subcommand(name, description);
    command->add_flag("--json", line_.json, "one JSON object instead of text");
    command->footer(std::string("example: ") + example);
    command->callback([this, action = std::move(action)] { action_ = action; });
    return command;
  }

  CLI::App* AddTargeted(const char* name, const char* description, const char* example,
                        Action action) {
    CLI::App* const command = Add(name, description, example, std::move(action));
    command->add_option("TARGET", line_.target, "process id, socket path, name or glob")
        ->required();
    return command;
  }

  CLI::App* AddPatched(const char* name, const char* description, const char* example,
                       Action action) {
    CLI::App* const command = AddTargeted(name, description, example, std::move(action));
    command->add_option("PATCH", line_.patch, "name of a patch")->required();
    return command;
  }

  void AddQueries() {
    Add("ps", "list the running programs", "mend ps --json",
        [this] { return mend::ListPrograms(line_.json); });
    AddTargeted("status", "patches and the running transition", "mend status server",
                [this] { return mend::ShowStatus(line_.target, line_.json); });
    AddTargeted("threads", "where threads are, and what holds them back", "mend threads 4711",
                [this] { return mend::ShowThreads(line_.target, line_.json); });
    AddTargeted("events", "what happened so far", "mend events server --follow", [this] {
      return mend::ShowEvents(line_.target, line_.follow, line_.json);
    })->add_flag("--follow", line_.follow, "go on with events as they happen");
  }

  void AddSwitch(const char* name, const char* description, const char* example) {
    CLI::App* const command = AddPatched(name, description, example, [this, name] {
      return mend::SwitchPatch(line_.target, line_.patch, name, line_.wait, line_.json);
    });
    AddWait(command);
  }

  void AddWait(CLI::App* command) {
    command->add_flag("--no-wait", line_.wait.no_wait, "return once the transition has started");
    command->add_option("--timeout", line_.wait.timeout_s, "seconds to wait (default: 30)")
        ->check(mend::SecondsProblem, "SECONDS");
    command->add_option("--on-timeout", line_.wait.on_timeout, "what then (default: reverse)")
        ->check(CLI::IsMember({"reverse", "wait", "force"}));
  }

  void AddVerbs() {
    AddSwitch("disable", "take a patch off; during its transition: reverse it",
              "mend disable server fix --timeout 5");
    AddSwitch("enable", "put a disabled patch back; during its removal: reverse it",
              "mend enable server fix");
    AddSwitch("promote", "have a canary's other threads switch too", "mend promote server fix");
    AddWait(AddTargeted(
        "revert", "bring back what was active before the last apply", "mend revert server",
        [this] { return mend::RevertLastApply(line_.target, line_.wait, line_.json); }));
    AddPatched("force", "complete the transition for all threads left (unsafe)",
               "mend force server fix",
               [this] { return mend::ForcePatch(line_.target, line_.patch, line_.json); });
    AddPatched("remove", "free a disabled or replaced patch", "mend remove server fix",
               [this] { return mend::RemovePatch(line_.target, line_.patch, line_.json); });
    AddTargeted(
        "wait", "wait until no transition runs", "mend wait server --timeout 10",
        [this] { return mend::WaitForTransition(line_.target, line_.timeout_s, line_.json); })
        ->add_option("--timeout", line_.timeout_s, "seconds to wait (default: 30)")
        ->check(mend::SecondsProblem, "SECONDS");
  }

  void AddAttributes() {
    AddTargeted("ls", "list a folder of the attribute tree", "mend ls server livepatch", [this] {
      return mend::ListAttributes(line_.target, line_.path, line_.json);
    })->add_option("PATH", line_.path, "folder (default: the roots)");
    AddTargeted("get", "read an attribute", "mend get server livepatch/fix/enabled",
                [this] { return mend::GetAttribute(line_.target, line_.path, line_.json); })
        ->add_option("PATH", line_.path, "attribute")
        ->required();
    CLI::App* const set =
        AddTargeted("set", "write an attribute", "mend set server livepatch/fix/enabled 0",
                    [this] { return mend::SetAttribute(line_.target, line_.path, line_.value); });
    set->add_option("PATH", line_.path, "attribute")->required();
    set->add_option("VALUE", line_.value, "what to write")->required();
  }

  void AddModules() {
    CLI::App* const load = AddTargeted(
        "load", "load a guest module", "mend load server plugin.so --param verbose=Y", [this] {
          return mend::LoadModule(line_.target, line_.module, line_.name, line_.parameters,
                                  line_.json);
        });
    load->add_option("MODULE", line_.module, "a library made by patchc cc -shared")->required();
    load->add_option("--name", line_.name, "its name (default: the file's)");
    load->add_option("--param", line_.parameters, "NAME=VALUE: a parameter of the module")
        ->allow_extra_args(false);
    AddTargeted("unload", "unload a guest module", "mend unload server plugin",
                [this] { return mend::UnloadModule(line_.target, line_.module, line_.json); })
        ->add_option("NAME", line_.module, "name of a guest module")
        ->required();
  }

  CLI::App app_{"Hosts programs and patches them while they run.", "mend"};
  CommandLine line_;
  Action action_;
};

// `run` is not parsed further: what follows the program is the program's.
int RunVerb(const std::vector<std::string>& words) {
  if (!words.empty() && (words[0] == "--help" || words[0] == "-h")) {
    std::fputs(kRunHelp, stdout);
    return mend::kExitOk;
  }
  return mend::RunProgram(words);
}

}  // namespace

int main(int argc, char** argv) {
  mend::OpenClosedStreams(/*discards_output=*/false);
  const bool runs = argc > 1 && std::string_view(argv[1]) == "run";
  try {
    const int code = runs ? RunVerb({argv + 2, argv + argc}) : Parser().Run(argc, argv);
    return mend::FinishOutput("mend", code);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mend: internal error: %s\n", error.what());
    return mend::kExitInternal;
  }
}
