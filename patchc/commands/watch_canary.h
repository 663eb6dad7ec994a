// Staying with a canary: a health command decides whether it is taken back, time whether it is
// promoted.
#ifndef MEND_PATCHC_COMMANDS_WATCH_CANARY_H_
#define MEND_PATCHC_COMMANDS_WATCH_CANARY_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "mend/target.h"
#include "patchc/commands/send_patch.h"

namespace mend::patchc {

struct CanaryOptions {
  std::string health;          // a command of the shell; empty: none
  double period_s = 1;         // between two runs of it
  double promote_after_s = 0;  // 0: it is not promoted

  // Otherwise the canary is left as it is when all its threads have switched.
  bool watches() const { return !health.empty() || promote_after_s > 0; }
};

void AddCanaryOptions(CLI::App& app, CanaryOptions& options);

// A canary that is held, and what became of it so far.
struct HeldCanary {
  Target target;
  std::string patch;
  Outcome* outcome;
};

// Runs the health command, again and again. When it fails (any exit code but 0, death by signal, or
// no end within a minute), the patch is disabled in all the targets: their outcome is "reversed",
// exit code 4. When it has held for so long, it is promoted: "complete". Ctrl-C leaves it held:
// "canary", exit code 5. Targets whose canary somebody else promotes or takes back, or that end,
// are let go.
void WatchCanaries(std::vector<HeldCanary> canaries, const CanaryOptions& options,
                   const SendOptions& send);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMMANDS_WATCH_CANARY_H_
