#include "runtime/control/views.h"

#include <time.h>

#include "runtime/safepoint/system_threads.h"

namespace mend {
namespace {

OrderedJson Document() { return OrderedJson{{"schema", 1}}; }

const char* OutcomeName(Outcome outcome, bool apply) {
  switch (outcome) {
    case Outcome::kComplete:
      return "complete";
    case Outcome::kNothingToDo:
      return apply ? "already_applied" : "nothing_to_do";
    case Outcome::kMigrating:
      return "migrating";
    case Outcome::kReversed:
      return "reversed";
    case Outcome::kDryRun:
      return "dry_run";
    case Outcome::kCanary:
      return "canary";
  }
  return "unknown";
}

const char* DirectionName(bool patching) { return patching ? "patching" : "unpatching"; }

OrderedJson FunctionsView(const std::vector<FunctionStatus>& functions) {
  OrderedJson views = OrderedJson::array();
  for (const FunctionStatus& function : functions) {
    views.push_back({{"object", function.object},
                     {"name", function.name},
                     {"sympos", function.sympos},
                     {"reason", ChangeReasonName(function.reason)},
                     {"detail", function.detail},
                     {"nop", function.nop}});
  }
  return views;
}

OrderedJson ObjectsView(const std::vector<ObjectStatus>& objects) {
  OrderedJson views = OrderedJson::array();
  for (const ObjectStatus& object : objects) {
    views.push_back({{"name", object.name}, {"patched", object.patched}});
  }
  return views;
}

OrderedJson PatchView(const PatchStatus& patch) {
  return {{"name", patch.name},
          {"enabled", patch.enabled},
          {"transition", patch.transition},
          {"replace", patch.replace},
          {"replace_set", patch.replace_set},
          {"forced", patch.forced},
          {"stack_order", patch.stack_order},
          {"content_hash", patch.content_hash},
          {"text_bytes", patch.text_bytes},
          {"objects", ObjectsView(patch.objects)},
          {"functions", FunctionsView(patch.functions)}};
}

OrderedJson TransitionView(const TransitionReport& report) {
  const SwitchCounts& switched = report.switched;
  return {{"patch", report.patch},
          {"direction", DirectionName(report.patching)},
          {"reversed", report.reversed},
          {"start_ns", report.start_ns},
          {"switch_ns", report.switch_ns},
          {"complete_ns", report.complete_ns},
          {"switched",
           {{"outside", switched.outside},
            {"blocked", switched.blocked},
            {"poll", switched.poll},
            {"signal", switched.signal},
            {"forced", switched.forced},
            {"created", switched.created}}},
          {"last_straggler", report.last_straggler}};
}

const char* WhereName(Activity activity) {
  switch (activity) {
    case Activity::kBlocked:
      return "blocked";
    case Activity::kOutside:
      return "outside";
    case Activity::kGone:
    case Activity::kStarting:
    case Activity::kRunning:
    case Activity::kClaimed:
      return "hosted";
  }
  return "hosted";
}

const char* ReasonName(SwitchResult reason) {
  switch (reason) {
    case SwitchResult::kSwitched:
    case SwitchResult::kAlreadySwitched:
      return "switched";
    case SwitchResult::kRunning:
      return "running";
    case SwitchResult::kOnStack:
      return "on_stack";
    case SwitchResult::kUnreliableStack:
      return "unreliable_stack";
    case SwitchResult::kBusy:
      return "busy";
    case SwitchResult::kNotAsked:
      return "not_asked";
  }
  return "unknown";
}

const char* StateName(mend_module_state state) {
  switch (state) {
    case MEND_MODULE_LIVE:
      return "live";
    case MEND_MODULE_COMING:
      return "coming";
    case MEND_MODULE_GOING:
      return "going";
  }
  return "unknown";
}

int64_t AgeNs(int64_t monotonic_ns) {
  if (monotonic_ns == 0) return 0;
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec - monotonic_ns;
}

OrderedJson StragglerView(const ThreadStatus& thread) {
  const Straggler& straggler = thread.straggler;
  const bool held = straggler.reason != SwitchResult::kSwitched &&
                    straggler.reason != SwitchResult::kAlreadySwitched;
  if (!held || straggler.tries == 0 || thread.patch_state < 0) return nullptr;
  const bool unreliable = straggler.reason == SwitchResult::kUnreliableStack;
  return {{"reason", ReasonName(straggler.reason)},
          {"function", thread.straggler_function},
          {"frame", straggler.frame},
          {"since_ns", AgeNs(straggler.since_ns)},
          {"tries", straggler.tries},
          {"detail", unreliable ? WalkEndName(straggler.walk_end) : ""}};
}

OrderedJson ThreadView(const ThreadStatus& thread) {
  return {{"tid", std::to_string(thread.tid)},   {"name", thread.name},
          {"where", WhereName(thread.activity)}, {"blocked_in", thread.blocked_in},
          {"patch_state", thread.patch_state},   {"asked", thread.asked},
          {"straggler", StragglerView(thread)}};
}

OrderedJson ThreadArray(const std::vector<ThreadStatus>& threads) {
  OrderedJson views = OrderedJson::array();
  for (const ThreadStatus& thread : threads) views.push_back(ThreadView(thread));
  return views;
}

// Who runs the new code while the others wait; null when all were asked.
OrderedJson CanaryView(const CoreStatus& status, const std::vector<ThreadStatus>& threads) {
  if (!status.canary) return nullptr;
  size_t switched = 0;
  for (const ThreadStatus& thread : threads) switched += thread.patch_state == 1 ? 1 : 0;
  return {{"held", status.canary_held}, {"threads_switched", switched}};
}

void AddTransition(const VerbReport& report, OrderedJson* document) {
  (*document)["transition"] =
      report.transition.has_value() ? TransitionView(*report.transition) : OrderedJson(nullptr);
  (*document)["stragglers"] = ThreadArray(report.stragglers);
}

// A transition that timed out is an error too, for clients that look at nothing else.
void AddTimeout(const VerbReport& report, OrderedJson* document) {
  if (report.outcome != Outcome::kReversed) return;
  (*document)["errno"] = "ETIMEDOUT";
  (*document)["code"] = "";
  (*document)["message"] =
      "the transition of patch '" + report.patch + "' did not complete in time and was reversed";
}

}  // namespace

int ExitCodeOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kComplete:
    case Outcome::kNothingToDo:
    case Outcome::kDryRun:
    case Outcome::kCanary:
      return 0;
    case Outcome::kReversed:
      return 4;
    case Outcome::kMigrating:
      return 5;
  }
  return 1;
}

OrderedJson ProgramView(const ProgramInfo& program) {
  OrderedJson document = Document();
  document["pid"] = std::to_string(ProcessIdOutside());
  document["name"] = program.name;
  document["executable"] = program.executable;
  document["version"] = MEND_VERSION;
  document["start_time_ns"] = program.start_time_ns;
  return document;
}

OrderedJson StatusView(const ProgramInfo& program, const CoreStatus& status,
                       const TransitionReport& last, const std::vector<ThreadStatus>& threads) {
  OrderedJson document = ProgramView(program);
  document["transition"] = nullptr;
  if (!status.transition.empty()) {
    document["transition"] = {{"patch", status.transition},
                              {"direction", DirectionName(status.transition_patching)},
                              {"age_ns", status.transition_age_ns},
                              {"threads_left", status.threads_left},
                              {"canary", CanaryView(status, threads)}};
  }
  document["threads_total"] = status.threads_total;
  document["patches"] = OrderedJson::array();
  for (const PatchStatus& patch : status.patches) document["patches"].push_back(PatchView(patch));
  document["last_transition"] = last.patch.empty() ? OrderedJson(nullptr) : TransitionView(last);
  document["stragglers"] = OrderedJson::array();
  const int goal = status.transition_patching ? 1 : 0;
  for (const ThreadStatus& thread : threads) {
    if (!status.transition.empty() && thread.asked && thread.patch_state >= 0 &&
        thread.patch_state != goal) {
      document["stragglers"].push_back(ThreadView(thread));
    }
  }
  return document;
}

OrderedJson ThreadsView(const std::vector<ThreadStatus>& threads) {
  OrderedJson document = Document();
  document["threads"] = ThreadArray(threads);
  return document;
}

OrderedJson ApplyView(const ApplyResult& report) {
  OrderedJson document = Document();
  document["exit_code"] = ExitCodeOf(report.outcome);
  document["outcome"] = OutcomeName(report.outcome, /*apply=*/true);
  document["patch"] = report.patch;
  document["replace"] = report.replace;
  document["functions"] = FunctionsView(report.functions);
  document["added_functions"] = OrderedJson::array();
  for (const AddedFunction& function : report.added) {
    document["added_functions"].push_back({{"object", function.object}, {"name", function.name}});
  }
  document["held"] = report.held;
  document["replaced_patches"] = report.replaced_patches;
  document["phases"] = {{"parse_ns", report.parse_ns},
                        {"link_ns", report.link_ns},
                        {"check_ns", report.check_ns},
                        {"transition_ns", report.transition_ns}};
  AddTransition(report, &document);
  document["persisted"] = report.persisted;
  AddTimeout(report, &document);
  return document;
}

OrderedJson VerbView(const VerbReport& report) {
  OrderedJson document = Document();
  document["exit_code"] = ExitCodeOf(report.outcome);
  document["outcome"] = OutcomeName(report.outcome, /*apply=*/false);
  document["patch"] = report.patch;
  AddTransition(report, &document);
  AddTimeout(report, &document);
  return document;
}

OrderedJson ModulesView(const std::vector<ModuleStatus>& modules) {
  OrderedJson document = Document();
  document["modules"] = OrderedJson::array();
  for (const ModuleStatus& module : modules) {
    document["modules"].push_back(
        {{"name", module.name}, {"state", StateName(module.state)}, {"refcnt", module.references}});
  }
  return document;
}

OrderedJson ModuleView(const std::string& module, Outcome outcome) {
  OrderedJson document = Document();
  document["exit_code"] = 0;
  document["outcome"] = OutcomeName(outcome, /*apply=*/false);
  document["module"] = module;
  return document;
}

OrderedJson EventView(const Event& event) {
  OrderedJson document = Document();
  document["seq"] = std::to_string(event.seq);
  document["time_ns"] = event.time_ns;
  document["kind"] = event.kind;
  document["patch"] = event.patch;
  document["object"] = event.object;
  document["tid"] = std::to_string(event.tid);
  document["text"] = event.text;
  return document;
}

OrderedJson RefusalView(const Refusal& refusal) {
  OrderedJson document = Document();
  document["errno"] = refusal.errno_name;
  document["code"] = refusal.code;
  document["message"] = refusal.message;
  document["exit_code"] = refusal.exit_code;
  return document;
}

std::string ToText(const OrderedJson& document) {
  return document.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

HttpResponse JsonAnswer(const OrderedJson& document, int status) {
  HttpResponse response;
  response.status = status;
  response.body = ToText(document);
  return response;
}

HttpResponse RefusalAnswer(const absl::Status& status) {
  const Refusal refusal = DescribeRefusal(status);
  return JsonAnswer(RefusalView(refusal), refusal.http_status);
}

}  // namespace mend
