#include "runtime/control/patch_service.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "runtime/base/errno_status.h"
#include "runtime/format/patch_module.h"
#include "runtime/patch/patch_name.h"

namespace mend {
namespace {

// Waits are cut into slices, so that Shutdown is noticed.
constexpr absl::Duration kSlice = absl::Milliseconds(100);
// How long threads that have switched may take to come back, at least.
constexpr absl::Duration kReverseTimeout = absl::Seconds(30);
constexpr absl::Duration kForceTimeout = absl::Seconds(10);

int64_t SinceNs(absl::Time start) { return absl::ToInt64Nanoseconds(absl::Now() - start); }

absl::Status CheckNames(const PatchModule& module) {
  if (!IsPatchName(module.name)) {
    return ErrnoStatus(EINVAL, "the patch module's name is empty, too long or no plain name");
  }
  if (!module.replace_set.empty() && !IsPatchName(module.replace_set)) {
    return ErrnoStatus(EINVAL, "the patch module's replace set is too long or no plain name");
  }
  return absl::OkStatus();
}

FunctionStatus ToStatus(const PatchFunction& function) {
  FunctionStatus status;
  status.object = function.old.object;
  status.name = function.old.name;
  status.sympos = function.old.sympos;
  status.reason = function.reason;
  status.detail = function.detail;
  status.nop = function.nop;
  return status;
}

void Describe(const PatchModule& module, const Patch& patch, ApplyResult* report) {
  report->patch = patch.name;
  report->replace = patch.replace;
  for (const PatchObject& object : patch.objects) {
    for (const PatchFunction& function : object.functions) {
      report->functions.push_back(ToStatus(function));
    }
  }
  for (const FunctionSite& site : patch.held) report->held.push_back(site.name);
  for (const PatchUnit& unit : module.units) {
    for (const std::string& name : unit.new_functions) {
      // What an earlier patch has brought is replaced, as the program's own is.
      const auto is_listed = [&](const FunctionStatus& replaced) {
        return replaced.object == unit.module && replaced.name == name;
      };
      if (std::none_of(report->functions.begin(), report->functions.end(), is_listed)) {
        report->added.push_back({unit.module, name});
      }
    }
  }
}

// The patch of that name and content, whatever its generation; null without one.
const PatchStatus* FindSame(const CoreStatus& status, const PatchModule& module) {
  const PatchStatus* same = nullptr;
  for (const PatchStatus& patch : status.patches) {
    if (IsSamePatch(patch, module)) same = &patch;
  }
  return same;
}

std::vector<ThreadStatus> Stragglers(const PatchRegistry& registry) {
  const CoreStatus status = registry.Status();
  std::vector<ThreadStatus> threads;
  if (status.transition.empty()) return threads;
  const int goal = status.transition_patching ? 1 : 0;
  for (ThreadStatus& thread : registry.Threads()) {
    if (thread.asked && thread.patch_state >= 0 && thread.patch_state != goal) {
      threads.push_back(std::move(thread));
    }
  }
  return threads;
}

std::optional<PatchStatus> FindExact(const PatchRegistry& registry, const std::string& name) {
  for (PatchStatus& patch : registry.Status().patches) {
    if (patch.name == name) return std::move(patch);
  }
  return std::nullopt;
}

// Whether the file has exactly these contents.
bool Holds(const std::string& path, std::string_view contents) {
  std::ifstream file(path, std::ios::binary);
  // One more, to see that nothing follows.
  std::string found(contents.size() + 1, '\0');
  file.read(found.data(), static_cast<std::streamsize>(found.size()));
  return std::string_view(found.data(), static_cast<size_t>(file.gcount())) == contents;
}

}  // namespace

absl::StatusOr<PatchStatus> PatchService::FindPatch(const std::string& name) const {
  std::optional<PatchStatus> found;
  for (PatchStatus& patch : registry_->Status().patches) {
    // In the order in which they were added, so the last one is the newest.
    if (MayMean(name, patch.name)) found = std::move(patch);
  }
  if (!found.has_value()) {
    return ErrnoStatus(ENOENT, absl::StrCat("there is no patch '", name, "'"));
  }
  return *std::move(found);
}

PatchService::WaitEnd PatchService::WaitFor(absl::Duration timeout, bool or_held) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    if (registry_->Wait(std::min(left, kSlice), or_held).ok()) return WaitEnd::kIdle;
    if (shutdown_.load(std::memory_order_relaxed)) return WaitEnd::kCancelled;
    if (left <= absl::ZeroDuration()) return WaitEnd::kTimedOut;
  }
}

absl::StatusOr<CanarySpec> ParseCanary(const std::string& text) {
  CanarySpec canary;
  const bool percent = absl::EndsWith(text, "%");
  unsigned number = 0;
  if (absl::SimpleAtoi(absl::StripSuffix(text, "%"), &number)) {
    if (number == 0 || (percent && number > 100)) {
      return ErrnoStatus(EINVAL,
                         absl::StrCat("canary '", text, "' is for nobody, or more than all"));
    }
    (percent ? canary.percent : canary.threads) = number;
    return canary;
  }
  if (text.empty() || percent) {
    return ErrnoStatus(EINVAL, absl::StrCat("canary '", text,
                                            "' is no number of threads, no share (10%) and no glob "
                                            "of thread names"));
  }
  canary.names = text;
  return canary;
}

void PatchService::Shutdown() { shutdown_.store(true, std::memory_order_relaxed); }

absl::Status PatchService::Settle(const std::string& patch, bool enabled, const WaitPolicy& wait,
                                  VerbReport* report, bool is_canary) {
  report->patch = patch;
  report->outcome = Outcome::kMigrating;
  const WaitEnd end = wait.no_wait ? WaitEnd::kTimedOut : WaitFor(wait.timeout, is_canary);
  if (end == WaitEnd::kCancelled) return absl::CancelledError("the program's runtime is ending");
  if (end == WaitEnd::kTimedOut && !wait.no_wait) return GiveUp(patch, enabled, wait, report);
  if (end == WaitEnd::kTimedOut && !registry_->Status().transition.empty()) {
    report->stragglers = Stragglers(*registry_);
    return absl::OkStatus();
  }
  if (const CoreStatus status = registry_->Status();
      is_canary && status.canary_held && status.transition == patch) {
    report->outcome = Outcome::kCanary;
    return absl::OkStatus();
  }
  const std::optional<PatchStatus> now = FindExact(*registry_, patch);
  // Somebody else turned the transition round meanwhile: the state asked for does not hold.
  report->outcome =
      now.has_value() && now->enabled == enabled ? Outcome::kComplete : Outcome::kReversed;
  const TransitionReport last = registry_->LastTransition();
  if (last.patch == patch) report->transition = last;
  return absl::OkStatus();
}

absl::Status PatchService::GiveUp(const std::string& patch, bool enabled, const WaitPolicy& wait,
                                  VerbReport* report) {
  report->stragglers = Stragglers(*registry_);
  if (wait.on_timeout == TimeoutPolicy::kWait) return absl::OkStatus();
  const bool force = wait.on_timeout == TimeoutPolicy::kForce;
  // Both fail when the transition completed just now, which is what was asked for, and when
  // somebody else has turned it round meanwhile: he is not to be overruled, nor a way back to be
  // forced.
  const Direction expected = enabled ? Direction::kPatching : Direction::kUnpatching;
  const absl::Status turned = force ? registry_->Force(ExactName(patch), expected)
                                    : registry_->Reverse(ExactName(patch), expected);
  const CoreStatus status = registry_->Status();
  if (!turned.ok() && status.transition == patch && status.transition_patching == enabled) {
    return turned;
  }
  const absl::Duration timeout = force ? kForceTimeout : std::max(wait.timeout, kReverseTimeout);
  const WaitEnd end = WaitFor(timeout);
  if (end == WaitEnd::kCancelled) return absl::CancelledError("the program's runtime is ending");
  if (end == WaitEnd::kTimedOut) return absl::OkStatus();
  const std::optional<PatchStatus> now = FindExact(*registry_, patch);
  report->outcome =
      now.has_value() && now->enabled == enabled ? Outcome::kComplete : Outcome::kReversed;
  const TransitionReport last = registry_->LastTransition();
  if (last.patch == patch) report->transition = last;
  return absl::OkStatus();
}

absl::StatusOr<ApplyResult> PatchService::Apply(std::string_view module_bytes,
                                                const ApplyOptions& options) {
  ApplyResult report;
  absl::Time start = absl::Now();
  absl::StatusOr<PatchModule> module = ParsePatchModule(module_bytes);
  if (!module.ok()) return module.status();
  absl::Status valid = CheckNames(*module);
  if (!valid.ok()) return valid;
  if (options.persist && patch_dir_.empty()) {
    return ErrnoStatus(EINVAL, "--persist needs a target that was started with --patch-dir");
  }
  if (options.persist && !options.canary.empty()) {
    return ErrnoStatus(EINVAL,
                       "--persist keeps what all threads run; copy the module into the patch "
                       "directory when the canary is promoted");
  }
  if (options.wait.on_timeout == TimeoutPolicy::kForce && !options.canary.empty()) {
    return ErrnoStatus(EINVAL, "a canary is not forced: --on-timeout reverse or wait");
  }
  module->allow_inlined = options.allow_inlined;
  report.parse_ns = SinceNs(start);

  const CoreStatus before = registry_->Status();
  if (const PatchStatus* same = FindSame(before, *module); same != nullptr && !options.dry_run) {
    if (same->enabled || same->transition) return Reapply(*same, options, std::move(report));
    // A disabled or replaced one starts afresh, data included, and makes room when it has begun.
    // One that cannot be freed (it was forced) is put back as it is.
    const absl::StatusOr<int> users = registry_->References(ExactName(same->name));
    if (!users.ok() || *users != 0) return Reapply(*same, options, std::move(report));
  }
  start = absl::Now();
  absl::StatusOr<std::unique_ptr<Patch>> patch = loader_->Load(*module);
  if (!patch.ok()) return patch.status();
  if (absl::Status set = (*patch)->parameters.SetAll(options.parameters); !set.ok()) return set;
  (*patch)->file = std::make_shared<const std::string>(module_bytes);
  (*patch)->allow_inlined = options.allow_inlined;
  report.link_ns = SinceNs(start);
  Describe(*module, **patch, &report);
  for (const PatchStatus& older : before.patches) {
    const bool goes = report.replace && older.enabled && older.replace_set == module->replace_set;
    if (goes) report.replaced_patches.push_back(older.name);
  }
  if (options.dry_run) {
    absl::StatusOr<std::vector<ThreadStatus>> held_up = registry_->Examine(patch->get());
    if (!held_up.ok()) return held_up.status();
    report.stragglers = *std::move(held_up);
    report.outcome = Outcome::kDryRun;
    return report;
  }
  const absl::Status started = Start(*std::move(patch), options, &report);
  if (!started.ok()) return started;
  if (options.persist && report.outcome == Outcome::kComplete) {
    const absl::Status persisted = Persist(module_bytes, &report);
    if (!persisted.ok()) return persisted;
  }
  return report;
}

absl::Status PatchService::Start(std::unique_ptr<Patch> patch, const ApplyOptions& options,
                                 ApplyResult* report) {
  const absl::Time start = absl::Now();
  const absl::StatusOr<std::string> name = registry_->Enable(std::move(patch), options.canary);
  if (!name.ok()) return name.status();
  const int64_t enable_ns = SinceNs(start);
  const absl::Status settled =
      Settle(*name, /*enabled=*/true, options.wait, report, !options.canary.empty());
  if (!settled.ok()) return settled;
  if (report->transition.has_value()) {
    const TransitionReport& transition = *report->transition;
    report->check_ns = std::max<int64_t>(0, enable_ns - transition.start_ns);
    report->transition_ns = transition.start_ns + transition.switch_ns + transition.complete_ns;
  } else {
    report->check_ns = enable_ns;
    report->transition_ns = SinceNs(start) - enable_ns;
  }
  return absl::OkStatus();
}

absl::StatusOr<ApplyResult> PatchService::Reapply(const PatchStatus& same,
                                                  const ApplyOptions& options, ApplyResult report) {
  report.replace = same.replace;
  report.functions = same.functions;
  if (const CoreStatus status = registry_->Status();
      !options.canary.empty() && status.canary && status.transition == same.name) {
    // As it was asked for already; whom else it may name now makes no difference.
    const absl::Status settled = Settle(same.name, true, options.wait, &report, /*is_canary=*/true);
    if (!settled.ok()) return settled;
    return report;
  }
  if (!options.canary.empty() && !same.enabled && !same.transition) {
    return ErrnoStatus(EBUSY, absl::StrCat("patch '", same.name,
                                           "' cannot be applied afresh, and is enabled for all "
                                           "threads or none; remove it first"));
  }
  absl::StatusOr<VerbReport> verb = Switch(ExactName(same.name), /*enable=*/true, options.wait);
  if (!verb.ok()) return verb.status();
  static_cast<VerbReport&>(report) = *std::move(verb);
  return report;
}

absl::StatusOr<VerbReport> PatchService::Switch(const std::string& name, bool enable,
                                                const WaitPolicy& wait) {
  const absl::StatusOr<PatchStatus> patch = FindPatch(name);
  if (!patch.ok()) return patch.status();
  VerbReport report;
  report.patch = patch->name;
  const CoreStatus status = registry_->Status();
  const bool in_transition = status.transition == patch->name;
  if (!in_transition && patch->enabled == enable) {
    report.outcome = Outcome::kNothingToDo;
    return report;
  }
  // A transition that goes there already is only waited for, but a canary would stay as it is.
  if (in_transition && enable && status.canary) {
    const absl::Status promoted = registry_->Promote(ExactName(patch->name));
    if (!promoted.ok() && registry_->Status().canary) return promoted;
  } else if (!in_transition || status.transition_patching != enable) {
    const std::string exact = ExactName(patch->name);
    const absl::Status started = enable ? registry_->EnableAgain(exact) : registry_->Disable(exact);
    if (!started.ok()) return started;
  }
  const absl::Status settled = Settle(patch->name, enable, wait, &report);
  if (!settled.ok()) return settled;
  return report;
}

absl::StatusOr<VerbReport> PatchService::Disable(const std::string& patch, const WaitPolicy& wait) {
  return Switch(patch, /*enable=*/false, wait);
}

absl::StatusOr<VerbReport> PatchService::Enable(const std::string& patch, const WaitPolicy& wait) {
  const absl::StatusOr<PatchStatus> found = FindPatch(patch);
  if (!found.ok()) return found.status();
  if (!found->enabled && !found->transition && found->file != nullptr) {
    // It starts afresh, as if applied again; with the parameters that it has.
    absl::StatusOr<ApplyResult> applied =
        Apply(*found->file, {.wait = wait,
                             .allow_inlined = found->allow_inlined,
                             .parameters = found->parameter_values});
    if (!applied.ok()) return applied.status();
    return static_cast<VerbReport&>(*applied);
  }
  return Switch(patch, /*enable=*/true, wait);
}

absl::StatusOr<VerbReport> PatchService::Promote(const std::string& patch, const WaitPolicy& wait) {
  const absl::StatusOr<PatchStatus> found = FindPatch(patch);
  if (!found.ok()) return found.status();
  if (!found->enabled) {
    return ErrnoStatus(EINVAL, absl::StrCat("patch '", found->name, "' is no canary"));
  }
  return Switch(ExactName(found->name), /*enable=*/true, wait);
}

absl::StatusOr<VerbReport> PatchService::Reverse(const std::string& patch) {
  const absl::StatusOr<PatchStatus> found = FindPatch(patch);
  if (!found.ok()) return found.status();
  const absl::Status reversed = registry_->Reverse(ExactName(found->name));
  if (!reversed.ok()) return reversed;
  VerbReport report;
  report.patch = found->name;
  report.outcome =
      registry_->Status().transition.empty() ? Outcome::kComplete : Outcome::kMigrating;
  return report;
}

absl::StatusOr<VerbReport> PatchService::Revert(const WaitPolicy& wait) {
  const absl::StatusOr<std::string> patch = registry_->Revert();
  if (!patch.ok()) return patch.status();
  VerbReport report;
  if (absl::Status settled = Settle(*patch, /*enabled=*/false, wait, &report); !settled.ok()) {
    return settled;
  }
  return report;
}

absl::StatusOr<VerbReport> PatchService::Force(const std::string& patch) {
  const absl::StatusOr<PatchStatus> found = FindPatch(patch);
  if (!found.ok()) return found.status();
  VerbReport report;
  report.patch = found->name;
  const CoreStatus status = registry_->Status();
  if (status.transition != found->name) {
    report.outcome = Outcome::kNothingToDo;
    return report;
  }
  const absl::Status forced = registry_->Force(ExactName(found->name));
  if (!forced.ok()) return forced;
  const WaitPolicy wait = {.timeout = kForceTimeout, .on_timeout = TimeoutPolicy::kWait};
  const absl::Status settled = Settle(found->name, status.transition_patching, wait, &report);
  if (!settled.ok()) return settled;
  return report;
}

absl::StatusOr<VerbReport> PatchService::Remove(const std::string& patch) {
  VerbReport report;
  const absl::StatusOr<PatchStatus> found = FindPatch(patch);
  if (!found.ok()) {
    report.patch = patch;
    report.outcome = Outcome::kNothingToDo;
    return report;
  }
  const absl::Status removed = registry_->Remove(ExactName(found->name));
  if (!removed.ok()) return removed;
  report.patch = found->name;
  return report;
}

absl::StatusOr<VerbReport> PatchService::WaitIdle(absl::Duration timeout) {
  VerbReport report;
  const WaitEnd end = WaitFor(timeout);
  if (end == WaitEnd::kCancelled) return absl::CancelledError("the program's runtime is ending");
  if (end == WaitEnd::kTimedOut) {
    report.outcome = Outcome::kMigrating;
    report.stragglers = Stragglers(*registry_);
  }
  const TransitionReport last = registry_->LastTransition();
  if (!last.patch.empty()) report.transition = last;
  return report;
}

absl::Status PatchService::Persist(std::string_view module_bytes, ApplyResult* report) const {
  // The bare name: at the next start there is one generation only. Written beside and renamed, so
  // that a full disk leaves the earlier file.
  const std::string path =
      absl::StrCat(patch_dir_, "/", std::string(BareName(report->patch)), ".mendpatch");
  // Its parent or a sibling may have kept it: a worker that has given up its rights cannot.
  if (Holds(path, module_bytes)) {
    report->persisted = true;
    return absl::OkStatus();
  }
  const std::string scratch = absl::StrCat(path, ".", ::getpid(), ".new");
  const int fd = ::open(scratch.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool written = fd >= 0;
  while (written && !module_bytes.empty()) {
    const ssize_t size = ::write(fd, module_bytes.data(), module_bytes.size());
    if (size < 0 && errno == EINTR) continue;
    written = size > 0;
    if (written) module_bytes.remove_prefix(static_cast<size_t>(size));
  }
  if (written) written = ::fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!written || ::rename(scratch.c_str(), path.c_str()) != 0) {
    const int why = written ? errno : error;
    ::unlink(scratch.c_str());
    return ErrnoStatus(
        why, absl::StrCat("patch '", report->patch, "' is applied, but cannot be kept as '", path,
                          "': ", std::strerror(why)));
  }
  report->persisted = true;
  return absl::OkStatus();
}

}  // namespace mend
