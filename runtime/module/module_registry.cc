#include "runtime/module/module_registry.h"

#include <pthread.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/format/program_image.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/hosted_call.h"

namespace mend {
namespace {

absl::Status CheckName(const std::string& name) {
  if (IsModuleName(name)) return absl::OkStatus();
  return ErrnoStatus(EINVAL, absl::StrCat("invalid module name '", name, "'"));
}

absl::Status NoSuchModule(const std::string& name) {
  return ErrnoStatus(ENOENT, absl::StrCat("there is no module '", name, "'"));
}

// Tells modules apart that an operator loads under one name.
size_t HashOf(const ModuleSource& source) {
  return std::hash<std::string>()(source.bytes.empty() ? source.path : source.bytes);
}

struct Module {
  std::string path;
  bool by_operator = false;
  size_t content_hash = 0;
  mend_object object;
  std::unique_ptr<GuestModule> guest;
  unsigned references = 0;
  // Whether somebody brings it in, takes it out or frees it, and who. A pthread_t is the same in a
  // forked child.
  bool busy = false;
  pthread_t busy_thread = {};
  bool abandoned = false;  // in a forked child: whoever was busy with it is not here
  bool gone = false;       // its text is all that is left: threads may be in it

  const std::string& name() const { return object.name; }
  bool BusyHere() const { return busy && pthread_equal(busy_thread, pthread_self()) != 0; }
};

}  // namespace

struct ModuleRegistry::State {
  ModuleLoader* loader;
  PatchRegistry* patches;
  EventLog* events;
  std::function<void()> initialize_thread;

  // Guards the list and what Module has that is not its busy thread's. Nothing but
  // GuestModule::Retire is called under it.
  mutable Mutex mu;
  std::vector<std::unique_ptr<Module>> modules ABSL_GUARDED_BY(mu);

  Module* FindLocked(const std::string& name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    for (const std::unique_ptr<Module>& module : modules) {
      if (module->name() == name) return module.get();
    }
    return nullptr;
  }
  void SetBusyLocked(Module* module) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    module->busy = true;
    module->busy_thread = pthread_self();
  }
  // Waits until nobody is busy with the module of that name. EBUSY when that cannot be waited for.
  absl::Status AwaitLocked(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  absl::Status CheckNoCallback(const char* what) const;
  // Tries to free what is left of a module of that name, if there is. EBUSY.
  absl::Status Reap(const std::string& name);
  // A new module, busy, under a name that is free.
  absl::StatusOr<Module*> Reserve(const std::string& name, const ModuleSource& source,
                                  bool by_operator);
  // From reserved to live, or to nothing.
  absl::Status Bring(Module* module, const ModuleSource& source, const ParameterValues& parameters,
                     const std::function<void(GuestModule*)>& linked);
  absl::Status RunInit(Module* module);
  // Null: there is none. Otherwise one more reference.
  absl::StatusOr<GuestModule*> OpenLoaded(const std::string& name, const ModuleSource& source);
  bool Knows(const std::string& name) const {
    MutexLock lock(&mu);
    return FindLocked(name) != nullptr;
  }
  // Whether the operator has loaded just that module under the name.
  bool HasLoaded(const std::string& name, const ModuleSource& source) const {
    MutexLock lock(&mu);
    const Module* const module = FindLocked(name);
    return module != nullptr && module->by_operator && !module->busy && !module->gone &&
           module->content_hash == HashOf(source);
  }
  void SayGoodbye(Module* module);
  // From busy to nothing. The patches are taken off, hosted code has said goodbye.
  void TakeOut(Module* module);
  // Frees a module that is gone if no thread is in its text; else it stays, not busy.
  void Free(Module* module);
  void Erase(Module* module);
};

absl::Status ModuleRegistry::State::CheckNoCallback(const char* what) const {
  if (!patches->InCallback()) return absl::OkStatus();
  return ErrnoStatus(EDEADLK, absl::StrCat("a livepatch callback cannot ", what, " a module"));
}

absl::Status ModuleRegistry::State::AwaitLocked(const std::string& name) {
  const Module* module = FindLocked(name);
  const auto settled = [this, &name]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    const Module* const now = FindLocked(name);
    return now == nullptr || !now->busy || now->abandoned;
  };
  if (module != nullptr && !module->BusyHere()) mu.Await(settled);
  module = FindLocked(name);
  if (module == nullptr || !module->busy) return absl::OkStatus();
  return ErrnoStatus(EBUSY, absl::StrCat("module '", name, "' is being loaded or unloaded"));
}

absl::Status ModuleRegistry::State::Reap(const std::string& name) {
  Module* module;
  {
    MutexLock lock(&mu);
    module = FindLocked(name);
    if (module == nullptr || !module->gone || module->busy) return absl::OkStatus();
    SetBusyLocked(module);
  }
  Free(module);
  MutexLock lock(&mu);
  module = FindLocked(name);
  if (module == nullptr || !module->gone) return absl::OkStatus();
  return ErrnoStatus(EBUSY, absl::StrCat("a thread is still in the text of the module '", name,
                                         "' that was unloaded"));
}

absl::StatusOr<Module*> ModuleRegistry::State::Reserve(const std::string& name,
                                                       const ModuleSource& source,
                                                       bool by_operator) {
  if (absl::Status valid = CheckName(name); !valid.ok()) return valid;
  if (name == patches->program_name()) {
    return ErrnoStatus(EINVAL, absl::StrCat("'", name, "' is the program's own name"));
  }
  MutexLock lock(&mu);
  if (FindLocked(name) != nullptr) {
    return ErrnoStatus(EEXIST, absl::StrCat("there is a module '", name, "' already"));
  }
  auto module = std::make_unique<Module>();
  module->path = source.path;
  module->by_operator = by_operator;
  module->content_hash = HashOf(source);
  module->references = by_operator ? 0 : 1;
  module->object.name = name;
  module->object.state.store(MEND_MODULE_COMING, std::memory_order_relaxed);
  SetBusyLocked(module.get());
  modules.push_back(std::move(module));
  return modules.back().get();
}

absl::Status ModuleRegistry::State::Bring(Module* module, const ModuleSource& source,
                                          const ParameterValues& parameters,
                                          const std::function<void(GuestModule*)>& linked) {
  absl::StatusOr<std::unique_ptr<GuestModule>> guest = loader->Link(module->name(), source);
  absl::Status brought = guest.status();
  if (brought.ok()) brought = (*guest)->parameters().SetAll(parameters);
  if (brought.ok()) {
    {
      MutexLock lock(&mu);
      module->guest = *std::move(guest);
    }
    brought = patches->ModuleComing(&module->object);
  }
  if (!brought.ok()) {
    // Nothing of it has run, and none of its symbols was handed out.
    Erase(module);
    return brought;
  }
  if (linked != nullptr) linked(module->guest.get());
  brought = RunInit(module);
  if (!brought.ok()) {
    TakeOut(module);
    return brought;
  }
  module->object.state.store(MEND_MODULE_LIVE, std::memory_order_relaxed);
  MutexLock lock(&mu);
  module->busy = false;
  return absl::OkStatus();
}

absl::Status ModuleRegistry::State::RunInit(Module* module) {
  const HostedCall call(initialize_thread);
  module->guest->RunInitializers();
  const int result = module->guest->RunInit();
  // As in the kernel, what is no error is a success, if an odd one.
  if (result >= 0) return absl::OkStatus();
  module->object.state.store(MEND_MODULE_GOING, std::memory_order_relaxed);
  module->guest->RunFinalizers();
  const int error = ::strerrorname_np(-result) != nullptr ? -result : EINVAL;
  return ErrnoStatus(error, absl::StrCat("module '", module->name(), "': its init failed"));
}

void ModuleRegistry::State::TakeOut(Module* module) {
  // Only a callback is refused, and this is none.
  (void)patches->ModuleGoing(&module->object);
  {
    MutexLock lock(&mu);
    module->gone = true;
  }
  Free(module);
}

void ModuleRegistry::State::Free(Module* module) {
  const absl::Status unused = patches->CheckTextUnused(module->name(), module->guest->text());
  if (unused.ok()) {
    Erase(module);
    return;
  }
  Event event = MendEvent("module_kept", "",
                          absl::StrCat("the text of module '", module->name(), "' is kept: ",
                                       absl::string_view(ErrnoOf(unused).detail.data(),
                                                         ErrnoOf(unused).detail.size())));
  event.object = module->name();
  events->Append(std::move(event));
  MutexLock lock(&mu);
  module->busy = false;
}

void ModuleRegistry::State::Erase(Module* module) {
  std::unique_ptr<GuestModule> guest;
  {
    MutexLock lock(&mu);
    guest = std::move(module->guest);
  }
  // The name is free only when the loader has forgotten it.
  guest.reset();
  MutexLock lock(&mu);
  std::erase_if(modules, [module](const auto& other) { return other.get() == module; });
}

ModuleRegistry::ModuleRegistry(ModuleLoader* loader, PatchRegistry* patches, EventLog* events,
                               std::function<void()> initialize_thread)
    : state_(new State{.loader = loader,
                       .patches = patches,
                       .events = events,
                       .initialize_thread = std::move(initialize_thread),
                       .mu = {},
                       .modules = {}}) {}

ModuleRegistry::~ModuleRegistry() {
  MutexLock lock(&state_->mu);
  for (std::unique_ptr<Module>& module : state_->modules) (void)module.release();
}

absl::StatusOr<bool> ModuleRegistry::Load(const std::string& name, const ModuleSource& source,
                                          const ParameterValues& parameters) {
  if (absl::Status free = state_->CheckNoCallback("load"); !free.ok()) return free;
  const BlockedRegion region("mend: loading a module");
  const Uninterrupted uninterrupted;
  if (absl::Status reaped = state_->Reap(name); !reaped.ok()) return reaped;
  if (state_->HasLoaded(name, source)) return false;
  absl::StatusOr<Module*> module = state_->Reserve(name, source, /*by_operator=*/true);
  if (!module.ok()) return module.status();
  if (absl::Status brought = state_->Bring(*module, source, parameters, nullptr); !brought.ok()) {
    return brought;
  }
  return true;
}

absl::StatusOr<bool> ModuleRegistry::Unload(const std::string& name) {
  if (absl::Status free = state_->CheckNoCallback("unload"); !free.ok()) return free;
  const BlockedRegion region("mend: unloading a module");
  const Uninterrupted uninterrupted;
  Module* module;
  {
    MutexLock lock(&state_->mu);
    module = state_->FindLocked(name);
    if (module == nullptr || module->gone) return false;
    if (module->busy || module->references > 0) {
      return ErrnoStatus(
          EBUSY, absl::StrCat("module '", name, "' is ",
                              module->busy ? "being loaded or unloaded"
                                           : "open in the program, or another module uses it"));
    }
    state_->SetBusyLocked(module);
  }
  state_->SayGoodbye(module);
  state_->TakeOut(module);
  return true;
}

absl::StatusOr<GuestModule*> ModuleRegistry::Open(const std::string& name,
                                                  const ModuleSource& source,
                                                  const std::function<void(GuestModule*)>& linked) {
  if (absl::Status free = state_->CheckNoCallback("load"); !free.ok()) return free;
  const BlockedRegion region("mend: loading a module");
  const Uninterrupted uninterrupted;
  if (absl::Status reaped = state_->Reap(name); !reaped.ok()) return reaped;
  while (true) {
    absl::StatusOr<GuestModule*> open = state_->OpenLoaded(name, source);
    if (!open.ok() || *open != nullptr) return open;
    absl::StatusOr<Module*> module = state_->Reserve(name, source, /*by_operator=*/false);
    // Another thread was faster.
    if (absl::IsAlreadyExists(module.status()) && state_->Knows(name)) continue;
    if (!module.ok()) return module.status();
    if (absl::Status brought = state_->Bring(*module, source, {}, linked); !brought.ok()) {
      return brought;
    }
    return (*module)->guest.get();
  }
}

absl::StatusOr<GuestModule*> ModuleRegistry::State::OpenLoaded(const std::string& name,
                                                               const ModuleSource& source) {
  MutexLock lock(&mu);
  Module* module = FindLocked(name);
  const bool own_constructor =
      module != nullptr && module->BusyHere() &&
      module->object.state.load(std::memory_order_relaxed) == MEND_MODULE_COMING;
  if (!own_constructor) {
    if (absl::Status settled = AwaitLocked(name); !settled.ok()) return settled;
    module = FindLocked(name);
  }
  if (module == nullptr) return nullptr;
  if (module->gone) {
    return ErrnoStatus(EBUSY, absl::StrCat("module '", name, "' is going"));
  }
  if (!module->by_operator && module->path != source.path) {
    return ErrnoStatus(
        EEXIST, absl::StrCat("another module of the name '", name, "' is open: ", module->path));
  }
  ++module->references;
  return module->guest.get();
}

absl::Status ModuleRegistry::Close(const GuestModule* guest) {
  if (absl::Status free = state_->CheckNoCallback("unload"); !free.ok()) return free;
  const BlockedRegion region("mend: unloading a module");
  const Uninterrupted uninterrupted;
  Module* module = nullptr;
  {
    MutexLock lock(&state_->mu);
    for (const std::unique_ptr<Module>& other : state_->modules) {
      if (other->guest.get() == guest) module = other.get();
    }
    if (module == nullptr || module->gone || module->references == 0) {
      return ErrnoStatus(ENOENT, "the program has no such module open");
    }
    // A module that is coming or going is so on account of somebody who holds it.
    if (--module->references > 0 || module->busy) return absl::OkStatus();
    // Natively, too, what another library refers to stays: that has the last reference.
    if (!module->guest->Retire()) {
      module->references = 1;
      return absl::OkStatus();
    }
    if (module->by_operator) return absl::OkStatus();
    state_->SetBusyLocked(module);
  }
  state_->SayGoodbye(module);
  state_->TakeOut(module);
  return absl::OkStatus();
}

void ModuleRegistry::State::SayGoodbye(Module* module) {
  module->object.state.store(MEND_MODULE_GOING, std::memory_order_relaxed);
  const HostedCall call(initialize_thread);
  module->guest->RunExit();
  module->guest->RunFinalizers();
}

std::vector<ModuleStatus> ModuleRegistry::Status() const {
  std::vector<ModuleStatus> modules;
  const Uninterrupted uninterrupted;
  MutexLock lock(&state_->mu);
  for (const std::unique_ptr<Module>& module : state_->modules) {
    if (module->guest == nullptr || module->gone) continue;
    modules.push_back({.name = module->name(),
                       .state = module->object.state.load(std::memory_order_relaxed),
                       .references = module->references,
                       .parameters = module->guest->parameters().Names()});
  }
  return modules;
}

absl::StatusOr<std::string> ModuleRegistry::File(const std::string& name) const {
  const Uninterrupted uninterrupted;
  MutexLock lock(&state_->mu);
  const Module* const module = state_->FindLocked(name);
  if (module == nullptr || module->guest == nullptr || module->gone) return NoSuchModule(name);
  return std::string(module->guest->file());
}

absl::StatusOr<std::string> ModuleRegistry::GetParameter(const std::string& name,
                                                         const std::string& parameter) const {
  const Uninterrupted uninterrupted;
  MutexLock lock(&state_->mu);
  const Module* const module = state_->FindLocked(name);
  if (module == nullptr || module->guest == nullptr || module->gone) return NoSuchModule(name);
  return module->guest->parameters().Get(parameter);
}

absl::Status ModuleRegistry::SetParameter(const std::string& name, const std::string& parameter,
                                          const std::string& value) {
  const Uninterrupted uninterrupted;
  MutexLock lock(&state_->mu);
  const Module* const module = state_->FindLocked(name);
  if (module == nullptr || module->guest == nullptr || module->gone) return NoSuchModule(name);
  return module->guest->parameters().Set(parameter, value);
}

void ModuleRegistry::PrepareFork() { state_->mu.Lock(); }

void ModuleRegistry::ParentAfterFork() { state_->mu.Unlock(); }

void ModuleRegistry::ChildAfterFork() {
  for (const std::unique_ptr<Module>& module : state_->modules) {
    module->abandoned = module->busy && !module->BusyHere();
  }
  // The parent's waiters do not exist here, and must not be handed the lock later.
  state_->mu.Unlock();
  new (&state_->mu) Mutex;
}

}  // namespace mend
