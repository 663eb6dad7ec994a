#include "jit/session.h"

#include <dlfcn.h>
#include <malloc.h>
#include <string.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "jit/debug/debug_support.h"
#include "jit/link/code_memory.h"
#include "jit/link/link_engine.h"
#include "jit/patch/explicit_patch.h"
#include "jit/patch/patch_loader.h"
#include "jit/program/hosted_program.h"
#include "jit/program/module_loader.h"
#include "jit/program/program_loader.h"
#include "runtime/base/mutex.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/unwind_table.h"

namespace mend::jit {

struct Session::State {
  Session* predecessor = nullptr;
  // Shared with the predecessors, as what they change is the process's. Null: nobody asked for it.
  std::shared_ptr<DebugSupport> debug;
  std::unique_ptr<CodeMemory> memory;
  std::unique_ptr<LinkEngine> engine;
  std::shared_ptr<TlsPool> tls;  // shared with the predecessors
  std::unique_ptr<HostedProgram> program;
  std::shared_ptr<PatchLinker> patches;  // also held by the modules it linked
  std::string name;                      // the program's
  ProgramArguments arguments;
  Mutex load_mu;  // serialises loads
};

namespace {

absl::StatusOr<std::shared_ptr<DebugSupport>> DebugSupportFor(
    const SessionOptions& options, std::shared_ptr<DebugSupport> predecessors) {
  const DebugSupport::Options wanted{.debugger = options.debugger, .perf = options.perf};
  if (predecessors != nullptr) {
    if (predecessors->options() == wanted) return predecessors;
    return absl::FailedPreconditionError(
        "debugger and perf must be as for the runtime that the process had before");
  }
  if (!wanted.debugger && !wanted.perf) return std::shared_ptr<DebugSupport>();
  absl::StatusOr<std::unique_ptr<DebugSupport>> made = DebugSupport::Create(wanted);
  if (!made.ok()) return made.status();
  return std::shared_ptr<DebugSupport>(*std::move(made));
}

// Of the loaded object that the address is in; 0: in none.
uintptr_t BeginOfObject(const void* address) {
  Dl_info object;
  if (address == nullptr || dladdr(address, &object) == 0) return 0;
  return reinterpret_cast<uintptr_t>(object.dli_fbase);
}

// Detours begin within reach of hosted text: `jmp *target(%rip)`, and the target behind it.
absl::Status MakeDetours(HostedProgram& program, const std::map<std::string, void*>& targets) {
  static constexpr char kJump[] = {'\xff', '\x25', 0, 0, 0, 0};
  constexpr size_t kDetourSize = 16;
  if (targets.empty()) return absl::OkStatus();
  const size_t size = kDetourSize * targets.size();
  absl::StatusOr<uintptr_t> text = program.memory->Allocate(MemoryKind::kText, size, kDetourSize);
  if (!text.ok()) return text.status();
  uintptr_t at = *text;
  for (const auto& [name, target] : targets) {
    auto* const bytes = reinterpret_cast<char*>(at);
    memcpy(bytes, kJump, sizeof(kJump));
    memcpy(bytes + sizeof(kJump), static_cast<const void*>(&target), sizeof(target));
    program.detours[name] = at;
    at += kDetourSize;
  }
  UnwindTable::Get().AddStubRegion({CodeAddress{*text}, CodeAddress{*text + size}});
  return absl::OkStatus();
}

}  // namespace

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const SessionOptions& options) {
  auto state = std::make_unique<State>();
  State* const before =
      options.predecessor == nullptr ? nullptr : options.predecessor->state_.get();
  state->predecessor = options.predecessor;
  state->tls = before == nullptr ? std::make_shared<TlsPool>() : before->tls;
  absl::StatusOr<std::shared_ptr<DebugSupport>> debug =
      DebugSupportFor(options, before == nullptr ? nullptr : before->debug);
  if (!debug.ok()) return debug.status();
  state->debug = *std::move(debug);
  // One executable has them all.
  const void* const near = options.places.empty() ? nullptr : options.places.begin()->second.first;
  absl::StatusOr<std::unique_ptr<CodeMemory>> memory = CodeMemory::Create(BeginOfObject(near));
  if (!memory.ok()) return memory.status();
  state->memory = *std::move(memory);
  absl::StatusOr<std::unique_ptr<LinkEngine>> engine = LinkEngine::Create(state->memory.get());
  if (!engine.ok()) return engine.status();
  state->engine = *std::move(engine);
  absl::StatusOr<uintptr_t> dso_handle =
      state->memory->Allocate(MemoryKind::kData, sizeof(void*), sizeof(void*));
  if (!dso_handle.ok()) return dso_handle.status();
  state->program =
      std::make_unique<HostedProgram>(state->memory.get(), state->engine.get(), state->tls.get(),
                                      options.symbols, reinterpret_cast<void*>(*dso_handle));
  state->program->debug = state->debug.get();
  state->program->may_allocate = options.is_process;
  for (const auto& [name, place] : options.places) {
    state->program->places[name] = {reinterpret_cast<uintptr_t>(place.first), place.second};
  }
  absl::Status made = MakeDetours(*state->program, options.detours);
  if (!made.ok()) return made;
  state->patches = std::make_shared<PatchLinker>(state->program.get());
  return std::unique_ptr<Session>(new Session(std::move(state)));
}

absl::Status Session::LoadProgram(const std::string& name,
                                  const std::vector<ProgramObject>& objects) {
  MutexLock lock(&state_->load_mu);
  if (state_->name.empty()) state_->name = name;
  absl::Status loaded = LoadObjects(*state_->program, objects);
  // What JITLink needed is several times the program; the program would keep it resident.
  malloc_trim(0);
  if (loaded.ok()) return loaded;
  return absl::Status(loaded.code(), absl::StrCat("cannot host ", name, ": ", loaded.message()));
}

void Session::RunInitializers(int argc, char** argv, char** envp) {
  {
    MutexLock lock(&state_->load_mu);
    state_->arguments = {argc, argv, envp};
  }
  state_->program->ending.RunAtExit();
  state_->program->initializers.Run(argc, argv, envp);
}

absl::StatusOr<CodeAddress> Session::Lookup(const std::string& symbol) const {
  const HostedSymbol* found = state_->program->index.FindGlobal(symbol);
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("the program does not define ", Demangled(symbol)));
  }
  return CodeAddress{found->address};
}

absl::StatusOr<CodeAddress> Session::LookupReference(const std::string& symbol) const {
  absl::StatusOr<CodeAddress> found = Lookup(symbol);
  if (!found.ok()) return found;
  const HostedProgram& program = *state_->program;
  return CodeAddress{ReferenceAddress(program, *program.index.FindGlobal(symbol))};
}

void Session::InitializeThread() { state_->tls->InitializeThread(); }
void Session::ForgetThread() { state_->tls->ForgetThread(); }

// The pool and the debug support are the last session's to lock, for all that share them.

void Session::PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (Session* session = this; session != nullptr; session = session->state_->predecessor) {
    session->LockForFork();
  }
  state_->tls->PrepareFork();
  if (state_->debug != nullptr) state_->debug->PrepareFork();
}

void Session::LockForFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  state_->load_mu.Lock();
  state_->memory->PrepareFork();
  state_->program->index.PrepareFork();
  state_->program->guests.PrepareFork();
  state_->program->ending.PrepareFork();
  state_->program->PrepareFork();
  state_->patches->PrepareFork();
}

void Session::ParentAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (state_->debug != nullptr) state_->debug->ParentAfterFork();
  UnlockAfterFork();
}

void Session::ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (state_->debug != nullptr) state_->debug->ChildAfterFork();
  UnlockAfterFork();
}

void Session::UnlockAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  state_->tls->AfterFork();
  for (Session* session = this; session != nullptr; session = session->state_->predecessor) {
    State& state = *session->state_;
    state.patches->AfterFork();
    state.program->AfterFork();
    state.program->ending.AfterFork();
    state.program->guests.AfterFork();
    state.program->index.AfterFork();
    state.memory->AfterFork();
    state.load_mu.Unlock();
  }
}

size_t Session::MemoryRanges(size_t from, MemoryRange* ranges, size_t max) const {
  size_t number = 0;
  size_t count = 0;
  for (const Session* session = this; session != nullptr; session = session->state_->predecessor) {
    session->state_->memory->ForEachRange([&](const MemoryRange& range) {
      if (number++ >= from && count < max) ranges[count++] = range;
    });
  }
  return count;
}

std::vector<FunctionSite> Session::Functions() const {
  std::vector<FunctionSite> sites;
  for (const HostedSymbol* function : state_->program->index.Functions()) {
    sites.push_back(state_->program->index.Site(*function));
  }
  for (FunctionSite& site : state_->program->guests.Functions()) sites.push_back(std::move(site));
  return sites;
}

SessionUsage Session::Usage() const {
  SessionUsage usage;
  usage.permanent_bytes = state_->memory->permanent_bytes();
  usage.module_bytes = state_->memory->module_bytes();
  usage.units = state_->program->index.unit_count();
  for (const HostedSymbol* function : state_->program->index.Functions()) {
    ++usage.functions;
    if (function->slot != nullptr) ++usage.patchable;
  }
  return usage;
}

absl::StatusOr<std::unique_ptr<Patch>> Session::Load(const PatchModule& module) {
  absl::StatusOr<std::unique_ptr<Patch>> patch;
  {
    const Uninterrupted uninterrupted;
    MutexLock lock(&state_->load_mu);
    patch = state_->patches->Load(module, state_->arguments);
  }
  // Hosted code, which may load something itself.
  if (patch.ok()) {
    ExplicitPatch* const own = LinkedPatch::Of(**patch).AsExplicit();
    if (own != nullptr) own->RunInitializers();
  }
  return patch;
}

absl::Status Session::ResolveObject(Patch* patch, PatchObject* object) {
  MutexLock lock(&state_->load_mu);
  return state_->patches->ResolveObject(state_->name, *patch, *object);
}

void Session::ForgetObject(Patch* patch, PatchObject* object) {
  MutexLock lock(&state_->load_mu);
  state_->patches->ForgetObject(*patch, *object);
}

absl::StatusOr<FunctionSite> Session::FindFunction(const std::string& name) const {
  return FindHostedFunction(*state_->program, name);
}

std::vector<FunctionSite> Session::UnitFunctions(const std::string& module) const {
  const HostedProgram* const guest = state_->program->guests.Find(module);
  return guest == nullptr ? std::vector<FunctionSite>() : jit::UnitFunctions(*guest);
}

std::string Session::Describe(CodeAddress pc) const {
  std::string description = state_->program->index.Describe(pc);
  return description.empty() ? state_->program->guests.Describe(pc) : description;
}

absl::StatusOr<std::unique_ptr<GuestModule>> Session::Link(const std::string& name,
                                                           const ModuleSource& source) {
  MutexLock lock(&state_->load_mu);
  State* const state = state_.get();
  absl::StatusOr<std::unique_ptr<GuestLibrary>> library = GuestLibrary::Link(
      state->program.get(), name, source, state->arguments, [state](const HostedProgram& guest) {
        MutexLock forget_lock(&state->load_mu);
        state->patches->Forget(guest);
      });
  malloc_trim(0);
  if (!library.ok()) return library.status();
  return std::unique_ptr<GuestModule>(*std::move(library));
}

void* Session::FindSymbol(const GuestModule& module, const std::string& name) {
  return static_cast<const GuestLibrary&>(module).FindSymbol(name);
}

const std::string& Session::FileOf(const GuestModule& module) {
  return static_cast<const GuestLibrary&>(module).file_name();
}

bool Session::HasThreadEnds(const GuestModule& module) {
  return static_cast<const GuestLibrary&>(module).HasThreadEnds();
}

const char* Session::FileAt(uintptr_t address) const {
  return state_->program->guests.FileAt(address);
}

void* Session::FindSymbolFor(CodeAddress caller, const std::string& name) const {
  const HostedProgram* const guest = state_->program->guests.FindByCode(caller);
  return guest == nullptr ? nullptr : GuestLink::FindSymbol(*guest, name);
}

std::optional<void*> Session::FindNextFor(CodeAddress caller, const std::string& name,
                                          void* of_library) const {
  const HostedProgram* const guest = state_->program->guests.FindByCode(caller);
  if (guest == nullptr) return std::nullopt;
  return GuestLink::FindNext(*guest, name, of_library);
}

void Session::MakeGlobal(const GuestModule& module) {
  static_cast<const GuestLibrary&>(module).MakeGlobal();
}

absl::StatusOr<CodeRange> Session::AllocateText(size_t bytes) {
  absl::StatusOr<CodeRange> range = state_->memory->AllocateText(bytes);
  if (range.ok()) UnwindTable::Get().AddStubRegion(*range);
  return range;
}

void Session::ReleaseText(CodeRange range) {
  UnwindTable::Get().RemoveRegion(range);
  state_->memory->ReleaseText(range);
}

absl::Status Session::WriteText(absl::Span<const TextWrite> writes) {
  return state_->memory->WriteText(writes);
}

absl::Status Session::WriteEntries(absl::Span<const EntryWrite> writes) {
  return state_->memory->WriteEntries(writes);
}

}  // namespace mend::jit
