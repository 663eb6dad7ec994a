#include "jit/session.h"

#include <malloc.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "jit/code_memory.h"
#include "jit/hosted_program.h"
#include "jit/link_engine.h"
#include "jit/patch_loader.h"
#include "jit/program_loader.h"
#include "runtime/base/mutex.h"
#include "runtime/safepoint/unwind_table.h"

namespace mend::jit {

struct Session::State {
  std::unique_ptr<CodeMemory> memory;
  std::unique_ptr<LinkEngine> engine;
  std::unique_ptr<HostedProgram> program;
  std::shared_ptr<PatchLinker> patches;  // also held by the modules it linked
  Mutex load_mu;                         // serialises loads
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const SessionOptions& options) {
  auto state = std::make_unique<State>();
  absl::StatusOr<std::unique_ptr<CodeMemory>> memory = CodeMemory::Create();
  if (!memory.ok()) return memory.status();
  state->memory = *std::move(memory);
  absl::StatusOr<std::unique_ptr<LinkEngine>> engine =
      LinkEngine::Create(state->memory.get(), options.debugger);
  if (!engine.ok()) return engine.status();
  state->engine = *std::move(engine);
  absl::StatusOr<uintptr_t> dso_handle =
      state->memory->Allocate(MemoryKind::kData, sizeof(void*), sizeof(void*));
  if (!dso_handle.ok()) return dso_handle.status();
  state->program =
      std::make_unique<HostedProgram>(state->memory.get(), state->engine.get(), options.symbols,
                                      reinterpret_cast<void*>(*dso_handle));
  state->program->dylib = &state->engine->CreateNamespace("program", nullptr);
  state->patches = std::make_shared<PatchLinker>(state->program.get());
  return std::unique_ptr<Session>(new Session(std::move(state)));
}

absl::Status Session::LoadProgram(const std::string& name,
                                  const std::vector<ProgramObject>& objects) {
  MutexLock lock(&state_->load_mu);
  absl::Status loaded = LoadObjects(*state_->program, objects);
  // What JITLink needed is several times the program; the program would keep it resident.
  malloc_trim(0);
  if (loaded.ok()) return loaded;
  return absl::Status(loaded.code(), absl::StrCat("cannot host ", name, ": ", loaded.message()));
}

void Session::RunInitializers(int argc, char** argv, char** envp) {
  state_->program->initializers.Run(argc, argv, envp);
}

absl::StatusOr<CodeAddress> Session::Lookup(const std::string& symbol) const {
  const HostedSymbol* found = state_->program->index.FindGlobal(symbol);
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("the program does not define ", Demangled(symbol)));
  }
  return CodeAddress{found->address};
}

void Session::InitializeThread() { state_->program->tls.InitializeThread(); }

void Session::PrepareFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  state_->load_mu.Lock();
  state_->memory->PrepareFork();
  state_->program->index.PrepareFork();
  state_->program->PrepareFork();
}

void Session::AfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  state_->program->AfterFork();
  state_->program->index.AfterFork();
  state_->memory->AfterFork();
  state_->load_mu.Unlock();
}

std::vector<FunctionSite> Session::Functions() const {
  std::vector<FunctionSite> sites;
  for (const HostedSymbol* function : state_->program->index.Functions()) {
    sites.push_back(state_->program->index.Site(*function));
  }
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
  MutexLock lock(&state_->load_mu);
  return state_->patches->Load(module);
}

absl::StatusOr<FunctionSite> Session::FindFunction(const std::string& name) const {
  absl::StatusOr<const HostedSymbol*> found = state_->program->index.FindFunction(name);
  if (!found.ok()) return found.status();
  return state_->program->index.Site(**found);
}

std::string Session::Describe(CodeAddress pc) const { return state_->program->index.Describe(pc); }

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
