#include "runtime/control/metrics.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace mend {
namespace {

double Seconds(int64_t ns) { return static_cast<double>(ns) / 1e9; }

void Family(std::string* text, const char* name, const char* help, const char* unit = "") {
  absl::StrAppend(text, "# TYPE ", name, " gauge\n");
  if (unit[0] != '\0') absl::StrAppend(text, "# UNIT ", name, " ", unit, "\n");
  absl::StrAppend(text, "# HELP ", name, " ", help, "\n");
}

std::string Label(const std::string& value) {
  return absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}});
}

void PatchSamples(std::string* text, const CoreStatus& status) {
  Family(text, "mend_patch_enabled", "Whether the patch is enabled.");
  for (const PatchStatus& patch : status.patches) {
    absl::StrAppend(text, "mend_patch_enabled{patch=\"", Label(patch.name), "\"} ",
                    patch.enabled ? 1 : 0, "\n");
  }
  Family(text, "mend_patch_functions", "Functions that the patch replaces.");
  for (const PatchStatus& patch : status.patches) {
    absl::StrAppend(text, "mend_patch_functions{patch=\"", Label(patch.name), "\"} ",
                    patch.functions.size(), "\n");
  }
  Family(text, "mend_patch_text_bytes", "Machine code of the patch.", "bytes");
  for (const PatchStatus& patch : status.patches) {
    absl::StrAppend(text, "mend_patch_text_bytes{patch=\"", Label(patch.name), "\"} ",
                    patch.text_bytes, "\n");
  }
}

void LastTransitionSamples(std::string* text, const TransitionReport& last) {
  if (last.patch.empty()) return;
  Family(text, "mend_last_transition_seconds", "Phases of the latest transition.", "seconds");
  const auto phase = [&](const char* name, int64_t ns) {
    absl::StrAppend(text, "mend_last_transition_seconds{phase=\"", name, "\"} ", Seconds(ns), "\n");
  };
  phase("start", last.start_ns);
  phase("switch", last.switch_ns);
  phase("complete", last.complete_ns);
  Family(text, "mend_last_transition_threads", "How threads switched in the latest transition.");
  const auto way = [&](const char* name, uint64_t threads) {
    absl::StrAppend(text, "mend_last_transition_threads{way=\"", name, "\"} ", threads, "\n");
  };
  way("outside", last.switched.outside);
  way("blocked", last.switched.blocked);
  way("poll", last.switched.poll);
  way("signal", last.switched.signal);
  way("forced", last.switched.forced);
  way("created", last.switched.created);
}

}  // namespace

std::string MetricsText(const CoreStatus& status, const TransitionReport& last) {
  std::string text;
  PatchSamples(&text, status);
  Family(&text, "mend_transition_running", "Whether a transition is running.");
  absl::StrAppend(&text, "mend_transition_running ", status.transition.empty() ? 0 : 1, "\n");
  Family(&text, "mend_transition_age_seconds", "Age of the running transition.", "seconds");
  absl::StrAppend(&text, "mend_transition_age_seconds ", Seconds(status.transition_age_ns), "\n");
  Family(&text, "mend_threads", "Threads that may run hosted code.");
  absl::StrAppend(&text, "mend_threads ", status.threads_total, "\n");
  Family(&text, "mend_threads_left", "Threads that have not switched yet.");
  absl::StrAppend(&text, "mend_threads_left ", status.threads_left, "\n");
  LastTransitionSamples(&text, last);
  absl::StrAppend(&text, "# EOF\n");
  return text;
}

}  // namespace mend
