#include "runtime/module/module_registry.h"

#include <pthread.h>

#include <cerrno>
#include <cstring>
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

absl::Status NameIsTaken(const std::string& name) {
  return ErrnoStatus(EEXIST, absl::StrCat("there is a module '", name, "' already"));
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
  bool runs = false;       // its constructors have begun
  bool gone = false;  // its text is all that is left: threads may be in it, or others refer to it
  std::function<bool(const GuestModule*)> is_unused;  // ModuleRequest's
  std::vector<const GuestModule*> needed;             // what it has references of
  // The program has closed it, and others refer to it: one of its references is theirs.
  bool is_orphan = false;

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
  std::vector<const GuestModule*> released ABSL_GUARDED_BY(mu);  // TakeReleased's

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
  absl::StatusOr<Module*> ReserveLocked(const std::string& name, const ModuleSource& source)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // From reserved to linked, or to nothing.
  absl::Status LinkIn(Module* module, const ModuleSource& source,
                      const ParameterValues& parameters);
  // From linked to live, or to nothing.
  absl::Status Initialize(Module* module);

  // What OpenTogether has of a request.
  struct Opening {
    const ModuleRequest* request;
    Module* module = nullptr;
    GuestModule* guest = nullptr;  // when it is linked
    bool is_new = false;
    bool is_live = false;  // or another one's, or nothing any more
  };
  // Waits until nobody else is busy with any of them. EEXIST for one of the operator's.
  absl::Status AwaitAllLocked(const std::vector<Opening>& openings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Takes the references, or reserves; all or nothing.
  absl::Status Take(std::vector<Opening>& openings);
  absl::Status TakeOneLocked(Opening& opening) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  absl::Status LinkAll(std::vector<Opening>& openings);
  absl::Status InitializeAll(std::vector<Opening>& openings);
  // Takes back what was taken, in reverse order.
  void GiveBack(std::vector<Opening>& openings);
  absl::Status RunInit(Module* module);
  absl::Status Close(const GuestModule* guest, unsigned references);
  // The last reference is the caller's to give up. False: others refer to the module, and it stays.
  bool LetGoLocked(Module* module) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // The next orphan that nobody refers to any more, busy; null without one.
  Module* TakeOrphan();
  // What it needs is the caller's to close, from now on.
  void ReleaseNeededLocked(Module* module) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void SayGoodbye(Module* module);
  // From busy to nothing. The patches are taken off, hosted code has said goodbye.
  void TakeOut(Module* module);
  // Frees a module that is gone if no thread is in its text and nobody refers to it; else it stays,
  // not busy.
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
                                         "' that was unloaded, or a library refers to it"));
}

absl::StatusOr<Module*> ModuleRegistry::State::ReserveLocked(const std::string& name,
                                                             const ModuleSource& source) {
  if (absl::Status valid = CheckName(name); !valid.ok()) return valid;
  if (name == patches->program_name()) {
    return ErrnoStatus(EINVAL, absl::StrCat("'", name, "' is the program's own name"));
  }
  if (FindLocked(name) != nullptr) return NameIsTaken(name);
  auto module = std::make_unique<Module>();
  module->path = source.path;
  module->content_hash = HashOf(source);
  module->object.name = name;
  module->object.state.store(MEND_MODULE_COMING, std::memory_order_relaxed);
  SetBusyLocked(module.get());
  modules.push_back(std::move(module));
  return modules.back().get();
}

absl::Status ModuleRegistry::State::LinkIn(Module* module, const ModuleSource& source,
                                           const ParameterValues& parameters) {
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
  // Nothing of it has run, and none of its symbols was handed out.
  if (!brought.ok()) Erase(module);
  return brought;
}

absl::Status ModuleRegistry::State::Initialize(Module* module) {
  {
    MutexLock lock(&mu);
    module->runs = true;
  }
  if (absl::Status initialized = RunInit(module); !initialized.ok()) {
    TakeOut(module);
    return initialized;
  }
  module->object.state.store(MEND_MODULE_LIVE, std::memory_order_relaxed);
  MutexLock lock(&mu);
  module->busy = false;
  return absl::OkStatus();
}

absl::Status ModuleRegistry::State::AwaitAllLocked(const std::vector<Opening>& openings) {
  for (size_t i = 0; i < openings.size();) {
    const std::string& name = openings[i].request->name;
    const Module* const module = FindLocked(name);
    if (module != nullptr && openings[i].request->by_operator) return NameIsTaken(name);
    const bool own_constructor =
        module != nullptr && module->BusyHere() &&
        module->object.state.load(std::memory_order_relaxed) == MEND_MODULE_COMING;
    if (module == nullptr || !module->busy || own_constructor) {
      ++i;
      continue;
    }
    if (absl::Status settled = AwaitLocked(name); !settled.ok()) return settled;
    i = 0;  // somebody may be busy with one of those before it by now
  }
  return absl::OkStatus();
}

absl::Status ModuleRegistry::State::TakeOneLocked(Opening& opening) {
  const ModuleRequest& request = *opening.request;
  Module* const module = FindLocked(request.name);
  if (module == nullptr || request.by_operator) {
    if (request.must_be_open) return absl::AbortedError(request.name);
    absl::StatusOr<Module*> reserved = ReserveLocked(request.name, request.source);
    if (!reserved.ok()) return reserved.status();
    (*reserved)->is_unused = request.is_unused;
    (*reserved)->by_operator = request.by_operator;
    opening.module = *reserved;
    opening.is_new = true;
  } else if (module->gone) {
    return ErrnoStatus(EBUSY, absl::StrCat("module '", request.name, "' is going"));
  } else if (!module->by_operator && module->path != request.source.path) {
    return ErrnoStatus(EEXIST, absl::StrCat("another module of the name '", request.name,
                                            "' is open: ", module->path));
  } else {
    opening.module = module;
    opening.guest = module->guest.get();
    opening.is_live = true;
  }
  opening.module->references += request.references;
  return absl::OkStatus();
}

absl::Status ModuleRegistry::State::Take(std::vector<Opening>& openings) {
  MutexLock lock(&mu);
  absl::Status taken = AwaitAllLocked(openings);
  // Nothing from here on waits: two callers that want the same modules do not wait for each other.
  for (Opening& opening : openings) {
    if (taken.ok()) taken = TakeOneLocked(opening);
  }
  if (taken.ok()) return taken;
  for (const Opening& opening : openings) {
    if (opening.module == nullptr) continue;
    opening.module->references -= opening.request->references;
    if (!opening.is_new) continue;
    std::erase_if(modules, [&](const auto& other) { return other.get() == opening.module; });
  }
  return taken;
}

absl::Status ModuleRegistry::State::LinkAll(std::vector<Opening>& openings) {
  for (Opening& opening : openings) {
    if (!opening.is_new) continue;
    if (absl::Status linked =
            LinkIn(opening.module, opening.request->source, opening.request->parameters);
        !linked.ok()) {
      opening.is_live = true;
      return linked;
    }
    opening.guest = opening.module->guest.get();
    for (const size_t place : opening.request->needs) {
      // Those that need one another are not all linked yet, and stay.
      if (const GuestModule* const other = openings[place].guest; other != nullptr) {
        opening.module->needed.push_back(other);
      }
    }
    if (opening.request->linked != nullptr) opening.request->linked(opening.guest);
  }
  for (const Opening& opening : openings) {
    if (!opening.is_new || !opening.request->bind_now) continue;
    if (absl::Status bound = opening.guest->BindAll(); !bound.ok()) return bound;
  }
  return absl::OkStatus();
}

absl::Status ModuleRegistry::State::InitializeAll(std::vector<Opening>& openings) {
  for (Opening& opening : openings) {
    if (!opening.is_new) continue;
    absl::Status initialized = Initialize(opening.module);
    opening.is_live = true;
    if (!initialized.ok()) {
      opening.guest = nullptr;
      return initialized;
    }
  }
  return absl::OkStatus();
}

void ModuleRegistry::State::GiveBack(std::vector<Opening>& openings) {
  for (const Opening& opening : openings) {
    if (!opening.is_live && opening.guest != nullptr) opening.guest->Abandon();
  }
  for (auto opening = openings.rbegin(); opening != openings.rend(); ++opening) {
    if (opening->is_live) {
      if (opening->guest != nullptr) {
        Close(opening->guest, opening->request->references).IgnoreError();
      }
    } else if (opening->guest != nullptr) {
      // Nothing of it has run.
      opening->module->object.state.store(MEND_MODULE_GOING, std::memory_order_relaxed);
      TakeOut(opening->module);
    } else {
      Erase(opening->module);
    }
  }
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
  absl::Status unused = patches->CheckTextUnused(module->name(), module->guest->text());
  // A module whose init failed: its constructors may have opened who refers to it.
  if (unused.ok() && (!module->guest->Retire() ||
                      (module->is_unused != nullptr && !module->is_unused(module->guest.get())))) {
    unused = ErrnoStatus(EBUSY, "another library refers to it");
  }
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

bool ModuleRegistry::HasLoaded(const std::string& name, const ModuleSource& source) const {
  const Uninterrupted uninterrupted;
  MutexLock lock(&state_->mu);
  const Module* const module = state_->FindLocked(name);
  return module != nullptr && module->by_operator && !module->busy && !module->gone &&
         module->content_hash == HashOf(source);
}

absl::StatusOr<bool> ModuleRegistry::Load(const std::string& name, const ModuleSource& source,
                                          const ParameterValues& parameters) {
  if (absl::Status free = state_->CheckNoCallback("load"); !free.ok()) return free;
  if (HasLoaded(name, source)) return false;
  const absl::StatusOr<std::vector<OpenedModule>> opened =
      OpenTogether({{.name = name,
                     .source = source,
                     .references = 0,
                     .by_operator = true,
                     .parameters = parameters}});
  if (!opened.ok()) return opened.status();
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
    state_->ReleaseNeededLocked(module);
  }
  state_->SayGoodbye(module);
  state_->TakeOut(module);
  return true;
}

absl::StatusOr<std::vector<OpenedModule>> ModuleRegistry::OpenTogether(
    const std::vector<ModuleRequest>& requests) {
  if (absl::Status free = state_->CheckNoCallback("load"); !free.ok()) return free;
  const BlockedRegion region("mend: loading a module");
  const Uninterrupted uninterrupted;
  std::vector<State::Opening> openings;
  for (const ModuleRequest& request : requests) {
    if (absl::Status reaped = state_->Reap(request.name); !reaped.ok()) return reaped;
    openings.push_back({.request = &request});
  }
  if (absl::Status taken = state_->Take(openings); !taken.ok()) return taken;
  absl::Status brought = state_->LinkAll(openings);
  if (brought.ok()) brought = state_->InitializeAll(openings);
  if (!brought.ok()) {
    state_->GiveBack(openings);
    return brought;
  }
  std::vector<OpenedModule> opened;
  for (const State::Opening& opening : openings) opened.push_back({opening.guest, opening.is_new});
  return opened;
}

absl::Status ModuleRegistry::Close(const GuestModule* guest, unsigned references) {
  if (absl::Status free = state_->CheckNoCallback("unload"); !free.ok()) return free;
  const BlockedRegion region("mend: unloading a module");
  const Uninterrupted uninterrupted;
  return state_->Close(guest, references);
}

absl::Status ModuleRegistry::State::Close(const GuestModule* guest, unsigned references) {
  Module* module = nullptr;
  {
    MutexLock lock(&mu);
    for (const std::unique_ptr<Module>& other : modules) {
      if (other->guest.get() == guest) module = other.get();
    }
    const unsigned theirs = module != nullptr && module->is_orphan ? 1 : 0;
    if (module == nullptr || module->gone || module->references < references + theirs) {
      return ErrnoStatus(ENOENT, "the program has no such module open");
    }
    module->references -= references;
    // A module that is coming or going is so on account of somebody who holds it.
    if (module->references > theirs || module->busy) return absl::OkStatus();
    if (!LetGoLocked(module)) return absl::OkStatus();
  }
  SayGoodbye(module);
  TakeOut(module);
  return absl::OkStatus();
}

bool ModuleRegistry::State::LetGoLocked(Module* module) {
  // Natively, too, what another library refers to stays: that has the last reference.
  module->is_orphan = !module->guest->Retire();
  module->references = module->is_orphan ? 1 : 0;
  if (module->is_orphan || module->by_operator) return false;
  SetBusyLocked(module);
  ReleaseNeededLocked(module);
  return true;
}

void ModuleRegistry::State::ReleaseNeededLocked(Module* module) {
  for (const GuestModule* const needed : module->needed) released.push_back(needed);
  module->needed.clear();
}

Module* ModuleRegistry::State::TakeOrphan() {
  MutexLock lock(&mu);
  for (const std::unique_ptr<Module>& module : modules) {
    const bool waits =
        module->is_orphan && module->references == 1 && !module->busy && !module->gone;
    if (waits && LetGoLocked(module.get())) return module.get();
  }
  return nullptr;
}

std::vector<const GuestModule*> ModuleRegistry::TakeReleased() {
  if (state_->patches->InCallback()) return {};
  const BlockedRegion region("mend: unloading a module");
  const Uninterrupted uninterrupted;
  while (Module* const orphan = state_->TakeOrphan()) {
    state_->SayGoodbye(orphan);
    state_->TakeOut(orphan);
  }
  MutexLock lock(&state_->mu);
  return std::exchange(state_->released, {});
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
    // As natively: whose constructors another thread has begun is open.
    const bool coming = module->object.state.load(std::memory_order_relaxed) == MEND_MODULE_COMING;
    if (!module->abandoned || !module->runs || !coming) continue;
    module->abandoned = module->busy = false;
    module->object.state.store(MEND_MODULE_LIVE, std::memory_order_relaxed);
  }
  // A waiter whose handler forked is here, and still counts.
  state_->mu.ResetAfterFork();
}

}  // namespace mend
