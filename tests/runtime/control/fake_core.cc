#include "tests/runtime/control/fake_core.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "runtime/control/patch_service.h"
#include "runtime/patch/patch_name.h"
#include "runtime/safepoint/unregistered_stack.h"

namespace mend {
namespace {

std::atomic<int> stuck_patching = 0;
std::atomic<int> stuck_unpatching = 0;
std::atomic<int> turning_calls = 0;

}  // namespace

StuckThreads::StuckThreads(bool both_ways) {
  stuck_patching = 1;
  stuck_unpatching = both_ways ? 1 : 0;
}

StuckThreads::~StuckThreads() { stuck_patching = stuck_unpatching = 0; }

int TurningCalls() { return turning_calls; }

class PatchRegistry::State {
 public:
  EventLog* events = nullptr;
  std::mutex mu;
  std::vector<PatchStatus> patches;
  std::string transition;
  bool patching = true;
  bool reversed = false;
  bool canary = false;  // held at once
  TransitionReport last;
  std::map<std::string, ModuleParameters*> parameters;
  std::vector<std::unique_ptr<Patch>> kept;  // what has the parameters

  PatchStatus* Find(const std::string& name) {
    for (PatchStatus& patch : patches) {
      if (patch.name == name || ExactName(patch.name) == name) return &patch;
    }
    return nullptr;
  }
  // What the others call a patch that somebody asks for.
  std::string NameOf(const std::string& asked) {
    const PatchStatus* const patch = Find(asked);
    return patch == nullptr ? asked : patch->name;
  }
  bool Goes(Direction expected) const {
    return expected == Direction::kAny || patching == (expected == Direction::kPatching);
  }

  void Begin(const std::string& name, bool to_patched) {
    transition = name;
    patching = to_patched;
    reversed = false;
    Find(name)->transition = true;
    Find(name)->enabled = to_patched;
    events->Append(
        LivepatchEvent("transition_start", name,
                       absl::StrCat("'", name, "': starting ",
                                    to_patched ? "patching" : "unpatching", " transition")));
    Step();
  }

  void Step() {
    if (!transition.empty() && !canary && (patching ? stuck_patching : stuck_unpatching) == 0)
      Complete();
  }

  void Complete() {
    PatchStatus* const patch = Find(transition);
    patch->transition = false;
    if (patching && patch->replace) {
      for (PatchStatus& other : patches) {
        if (other.name != transition) other.enabled = false;
      }
    }
    unsigned order = 0;
    for (PatchStatus& other : patches) other.stack_order = other.enabled ? ++order : 0;
    last = {.patch = transition,
            .patching = patching,
            .reversed = reversed,
            .switched = {.blocked = 2, .poll = 1},
            .start_ns = 1000,
            .switch_ns = 2000,
            .complete_ns = 3000,
            .last_straggler = ""};
    transition.clear();
  }
};

PatchRegistry::PatchRegistry(std::unique_ptr<State> state) : state_(std::move(state)) {}
PatchRegistry::~PatchRegistry() = default;

absl::StatusOr<std::unique_ptr<PatchRegistry>> PatchRegistry::Create(CodeHost*, PatchLoader*,
                                                                     EventLog* events,
                                                                     const RegistryOptions&) {
  auto state = std::make_unique<State>();
  state->events = events;
  return std::unique_ptr<PatchRegistry>(new PatchRegistry(std::move(state)));
}

absl::StatusOr<std::string> PatchRegistry::Enable(std::unique_ptr<Patch> patch,
                                                  const CanarySpec& canary) {
  const std::lock_guard<std::mutex> lock(state_->mu);
  if (!state_->transition.empty()) {
    return absl::UnavailableError(
        absl::StrCat("EBUSY: a transition of patch '", state_->transition, "' is running"));
  }
  PatchStatus status;
  status.name = patch->name;
  // The same one, disabled, makes room.
  std::erase_if(state_->patches, [&patch](const PatchStatus& older) {
    return older.name == patch->name && !older.enabled && older.content_hash == patch->content_hash;
  });
  for (int generation = 2; state_->Find(status.name) != nullptr; ++generation) {
    status.name = absl::StrCat(patch->name, "~", generation);
  }
  status.replace = patch->replace;
  status.content_hash = patch->content_hash;
  status.parameters = patch->parameters.Names();
  for (const PatchObject& object : patch->objects) {
    status.objects.push_back({.name = object.name, .patched = true});
    for (const PatchFunction& function : object.functions) {
      status.functions.push_back(
          {.object = object.name, .name = function.old.name, .sympos = 1, .detail = ""});
    }
  }
  const std::string name = status.name;
  state_->patches.push_back(std::move(status));
  state_->parameters[name] = &patch->parameters;
  state_->kept.push_back(std::move(patch));
  state_->canary = !canary.empty();
  state_->Begin(name, true);
  return name;
}

absl::StatusOr<std::vector<ThreadStatus>> PatchRegistry::Examine(Patch*) {
  ThreadStatus worker;
  worker.tid = 101;
  worker.name = "worker";
  worker.patch_state = 0;
  worker.straggler.reason = SwitchResult::kOnStack;
  worker.straggler.tries = 7;
  worker.straggler_function = "old_f";
  return std::vector<ThreadStatus>{worker};
}

absl::Status PatchRegistry::EnableAgain(const std::string& asked) {
  const std::lock_guard<std::mutex> lock(state_->mu);
  const std::string patch = state_->NameOf(asked);
  if (!state_->transition.empty() && state_->transition != patch) {
    return absl::UnavailableError("EBUSY: another transition is running");
  }
  state_->Begin(patch, true);
  return absl::OkStatus();
}

absl::Status PatchRegistry::Disable(const std::string& asked) {
  const std::lock_guard<std::mutex> lock(state_->mu);
  const std::string patch = state_->NameOf(asked);
  if (!state_->transition.empty() && state_->transition != patch) {
    return absl::UnavailableError("EBUSY: another transition is running");
  }
  state_->canary = false;
  state_->Begin(patch, false);
  return absl::OkStatus();
}

absl::Status PatchRegistry::Reverse(const std::string& asked, Direction expected) {
  const std::lock_guard<std::mutex> lock(state_->mu);
  ++turning_calls;
  const std::string patch = state_->NameOf(asked);
  if (state_->transition != patch) return absl::FailedPreconditionError("EINVAL: no transition");
  if (!state_->Goes(expected)) return absl::FailedPreconditionError("EINVAL: the other way");
  state_->patching = !state_->patching;
  state_->reversed = true;
  state_->canary = false;
  state_->Find(patch)->enabled = state_->patching;
  state_->Step();
  return absl::OkStatus();
}

absl::Status PatchRegistry::SetEnabled(const std::string& asked, bool enabled) {
  bool reverses = false;
  {
    const std::lock_guard<std::mutex> lock(state_->mu);
    const PatchStatus* const found = state_->Find(asked);
    if (found == nullptr) return absl::NotFoundError("ENOENT: no such patch");
    if (found->enabled == enabled) return absl::InvalidArgumentError("EINVAL: it is so already");
    reverses = state_->transition == found->name;
    if (!reverses && enabled) return absl::InvalidArgumentError("EINVAL: it is off");
  }
  return reverses ? Reverse(asked, Direction::kAny) : Disable(asked);
}

absl::Status PatchRegistry::Promote(const std::string& asked) {
  const std::lock_guard<std::mutex> lock(state_->mu);
  const std::string patch = state_->NameOf(asked);
  if (state_->transition != patch || !state_->canary) {
    return absl::FailedPreconditionError("EINVAL: no canary");
  }
  state_->canary = false;
  state_->Step();
  return absl::OkStatus();
}

absl::StatusOr<std::string> PatchRegistry::Revert() {
  const std::lock_guard<std::mutex> lock(state_->mu);
  for (auto patch = state_->patches.rbegin(); patch != state_->patches.rend(); ++patch) {
    if (!patch->enabled) continue;
    const std::string name = patch->name;
    state_->Begin(name, false);
    return name;
  }
  return absl::NotFoundError("ENOENT: nothing to revert");
}

absl::Status PatchRegistry::Force(const std::string& asked, Direction expected) {
  const std::lock_guard<std::mutex> lock(state_->mu);
  ++turning_calls;
  if (state_->transition != state_->NameOf(asked)) {
    return absl::FailedPreconditionError("EINVAL: no transition");
  }
  if (!state_->Goes(expected)) return absl::FailedPreconditionError("EINVAL: the other way");
  state_->Complete();
  return absl::OkStatus();
}

absl::Status PatchRegistry::Remove(const std::string& patch) {
  const std::lock_guard<std::mutex> lock(state_->mu);
  const PatchStatus* const found = state_->Find(patch);
  if (found == nullptr) return absl::NotFoundError("ENOENT: no such patch");
  if (found->enabled || found->transition) {
    return absl::UnavailableError(absl::StrCat("EBUSY: patch '", patch, "' is enabled"));
  }
  state_->patches.erase(state_->patches.begin() + (found - state_->patches.data()));
  return absl::OkStatus();
}

absl::Status PatchRegistry::Wait(absl::Duration timeout, bool or_held) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    {
      const std::lock_guard<std::mutex> lock(state_->mu);
      state_->Step();
      if (state_->transition.empty() || (or_held && state_->canary)) return absl::OkStatus();
    }
    if (absl::Now() >= deadline) return absl::DeadlineExceededError("thread worker is in old_f");
    absl::SleepFor(absl::Milliseconds(1));
  }
}

absl::StatusOr<std::string> PatchRegistry::GetParameter(const std::string& patch,
                                                        const std::string& parameter) const {
  const std::lock_guard<std::mutex> lock(state_->mu);
  return state_->parameters.at(state_->NameOf(patch))->Get(parameter);
}

absl::Status PatchRegistry::SetParameter(const std::string& patch, const std::string& parameter,
                                         const std::string& value) {
  const std::lock_guard<std::mutex> lock(state_->mu);
  return state_->parameters.at(state_->NameOf(patch))->Set(parameter, value);
}

absl::StatusOr<int> PatchRegistry::References(const std::string& patch) {
  const std::lock_guard<std::mutex> lock(state_->mu);
  const PatchStatus* const found = state_->Find(patch);
  return found != nullptr && (found->enabled || found->transition) ? 1 : 0;
}

// Modules come and go without any patch's say.
absl::Status PatchRegistry::ModuleComing(mend_object*) { return absl::OkStatus(); }
absl::Status PatchRegistry::ModuleGoing(mend_object*) { return absl::OkStatus(); }
absl::Status PatchRegistry::CheckTextUnused(const std::string&, const std::vector<CodeRange>&) {
  return absl::OkStatus();
}
bool PatchRegistry::InCallback() const { return false; }
const std::string& PatchRegistry::program_name() const {
  static const auto& name = *new std::string("server");
  return name;
}

std::string PatchRegistry::UnregisteredStackSeen() const {
  return UnregisteredStacksIgnored() ? "ignored" : "none";
}

TransitionReport PatchRegistry::LastTransition() const {
  const std::lock_guard<std::mutex> lock(state_->mu);
  return state_->last;
}

CoreStatus PatchRegistry::Status() const {
  const std::lock_guard<std::mutex> lock(state_->mu);
  CoreStatus status;
  status.patches = state_->patches;
  status.transition = state_->transition;
  status.transition_patching = state_->patching;
  status.canary = status.canary_held = state_->canary;
  status.threads_total = 2;
  status.threads_left = state_->transition.empty() ? 0 : 1;
  return status;
}

std::vector<ThreadStatus> PatchRegistry::Threads() const {
  const std::lock_guard<std::mutex> lock(state_->mu);
  ThreadStatus main_thread;
  main_thread.tid = 100;
  main_thread.name = "main";
  main_thread.activity = Activity::kBlocked;
  main_thread.blocked_in = "read";
  ThreadStatus worker;
  worker.tid = 101;
  worker.name = "worker";
  if (!state_->transition.empty()) {
    main_thread.patch_state = state_->patching ? 1 : 0;
    worker.patch_state = state_->patching ? 0 : 1;
    worker.straggler.reason = SwitchResult::kOnStack;
    worker.straggler.frame = 3;
    worker.straggler.tries = 7;
    worker.straggler_function = "old_f";
  }
  return {main_thread, worker};
}

void PatchRegistry::PrepareFork() {}
void PatchRegistry::ParentAfterFork() {}
void PatchRegistry::ChildAfterFork() {}

std::unique_ptr<PatchRegistry> MakeFakeRegistry(EventLog* events) {
  return *PatchRegistry::Create(nullptr, nullptr, events, {});
}

absl::StatusOr<std::unique_ptr<Patch>> FakeLoader::Load(const PatchModule& module) {
  ++loads;
  auto patch = std::make_unique<Patch>();
  patch->name = module.name;
  patch->replace = module.replace;
  patch->content_hash = module.content_hash;
  patch->objects.resize(1);
  if (!parameter.empty()) {
    absl::Status added = patch->parameters.Add(parameter, ParameterKind::kInt, &parameter_value);
    if (!added.ok()) return added;
  }
  for (const PatchUnit& unit : module.units) {
    for (const PatchedFunction& function : unit.functions) {
      if (function.name == "missing") {
        return absl::InvalidArgumentError("MEND-E0042: function 'missing' is not in the program");
      }
      PatchFunction patched;
      patched.old.name = function.name;
      patch->objects[0].functions.push_back(std::move(patched));
    }
  }
  return patch;
}

absl::StatusOr<FunctionSite> FakeLoader::FindFunction(const std::string& name) const {
  return absl::NotFoundError(name);
}

std::string FakeLoader::Describe(CodeAddress) const { return {}; }

namespace {

class FakeModule : public GuestModule {
 public:
  explicit FakeModule(std::string file) : file_(std::move(file)) {
    (void)parameters_.Add("verbose", ParameterKind::kBool, &verbose_);
  }
  std::vector<CodeRange> text() const override { return {}; }
  std::string_view file() const override { return file_; }
  ModuleParameters& parameters() override { return parameters_; }
  void RunInitializers() override {}
  int RunInit() override { return 0; }
  void RunExit() override {}
  void RunFinalizers() override {}

 private:
  const std::string file_;
  bool verbose_ = false;
  ModuleParameters parameters_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GuestModule>> FakeModuleLoader::Link(const std::string& name,
                                                                    const ModuleSource& source) {
  if (name == "broken") return absl::InvalidArgumentError("ENOEXEC: this is no guest module");
  return std::make_unique<FakeModule>(source.bytes);
}

std::string MakeModule(const std::string& name, const std::vector<std::string>& functions,
                       const std::string& revision, bool replace) {
  PatchModule module;
  module.name = name;
  module.replace = replace;
  PatchUnit unit;
  unit.unit = "unit.c";
  unit.object = "object" + revision;
  for (const std::string& function : functions) {
    PatchedFunction patched;
    patched.name = function;
    unit.functions.push_back(std::move(patched));
  }
  module.units.push_back(std::move(unit));
  return SerializePatchModule(module);
}

}  // namespace mend
