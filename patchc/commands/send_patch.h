// Sending a patch module to a running program, and telling people and scripts what became of it.
#ifndef MEND_PATCHC_COMMANDS_SEND_PATCH_H_
#define MEND_PATCHC_COMMANDS_SEND_PATCH_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "mend/client.h"
#include "mend/json.h"
#include "mend/target.h"
#include "patchc/compare/patch_builder.h"

namespace mend::patchc {

struct SendOptions {
  std::vector<std::string> parameters;  // K=V
  bool allow_inlined = false;
  std::string canary;  // the threads that try it first; empty: all at once
  WaitFlags wait;
  bool dry_run = false;
  bool persist = false;
  bool json = false;             // nothing for people
  bool mentions_persist = true;  // that there is --persist
};

// --timeout and --on-timeout.
void AddWaitOptions(CLI::App& app, SendOptions& options);

// What became of one target. Nothing is printed before its turn: several are sent to at a time.
struct Outcome {
  int exit_code = kExitInternal;
  Json json;
  std::string out = {};  // for people, on stdout
  std::string err = {};  // on stderr; neither when JSON is wanted
};

// Prints what there is for people.
void PrintOutcome(const Outcome& outcome);

// The fields that every outcome has; `outcome` is one of the contract's words.
Outcome MakeOutcome(const Target& target, int exit_code, const std::string& outcome);

// Has the target apply the module and waits as the options say. `built`: how the module came to be,
// if it was built just now.
Outcome SendPatch(const Target& target, const std::string& module, const BuildReport* built,
                  const SendOptions& options);

// Has the target go back to the code that it had before the patch.
Outcome DisablePatch(const Target& target, const std::string& patch, const SendOptions& options);

// What there is nothing to send of: refused, or no change; without the refusals' texts.
Outcome NotSent(const Target& target, const BuildReport& report, bool json);

// What went wrong before the target had a say.
Outcome Failure(const Target& target, int exit_code, const std::string& message, bool json);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMMANDS_SEND_PATCH_H_
