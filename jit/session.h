// Session: hosts one program: links its objects into this process, runs its constructors, links
// patches into it while it runs, and owns its memory. The only face of jit/; no LLVM type shows.
//
// Who calls it: the launcher's host and mend::Runtime (loading), the livepatch core (CodeHost,
// PatchLoader), the interposed pthread_create (InitializeThread).
// Thread safety: loads (LoadProgram, Load) are serialised by the session; Lookup, FindFunction and
// Describe may be called by any thread once the program is loaded; InitializeThread by each thread
// for itself; CodeHost as that says.
// A session is destroyed only when no hosted code can run any more: a process that hosts a program
// to its end keeps it until then, exit handlers included.
#ifndef MEND_JIT_SESSION_H_
#define MEND_JIT_SESSION_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "jit/link/memory_range.h"
#include "runtime/base/code_address.h"
#include "runtime/format/program_image.h"
#include "runtime/module/module_loader.h"
#include "runtime/patch/code_host.h"
#include "runtime/patch/patch.h"

namespace mend::jit {

class Session;

struct SessionOptions {
  // Names that win over the process's libraries (the program's own definitions win over both).
  // `__mend_poll_slow` belongs here unless it is exported.
  std::map<std::string, void*> symbols;
  // Whether the process is the program's: then what it defines in place of malloc serves the whole
  // process (guest_libc/stand_ins.h). Otherwise there is no such definition.
  bool is_process = false;
  // Functions of the program that hosted code has to call by these addresses instead: they pass on
  // to the program's.
  std::map<std::string, void*> detours;
  // Variables of the program that lie outside of its own memory: by name, where, and how many bytes
  // there are. Text is put within their reach. They have their initial values there, or what has
  // been made of these.
  std::map<std::string, std::pair<void*, size_t>> places;
  bool debugger = false;  // tell gdb about hosted code
  bool perf = false;      // tell perf
  // The session before this one in the process, which is not used any more but stays, since its
  // code may still run: its thread-locals keep their places. Null: the first one.
  Session* predecessor = nullptr;
};

// For reports.
struct SessionUsage {
  size_t permanent_bytes = 0;  // program and data of patches
  size_t module_bytes = 0;     // text of patches and trampolines
  size_t units = 0;
  size_t functions = 0;
  size_t patchable = 0;
};

class Session : public CodeHost, public PatchLoader, public ModuleLoader {
 public:
  static absl::StatusOr<std::unique_ptr<Session>> Create(const SessionOptions& options);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Links all objects, completely; nothing of them runs. Their bytes must stay where they are.
  // `name` is the program's, for messages. May be called again, to add objects.
  // Errors name the object and the symbol, and leave the program as it was.
  absl::Status LoadProgram(const std::string& name, const std::vector<ProgramObject>& objects);
  // Runs the constructors of what was loaded since the last call, in native order, on this thread;
  // destructors are registered with the process's exit before.
  void RunInitializers(int argc, char** argv, char** envp);
  // The entry of a function, or the address of a datum, that the program defines globally.
  absl::StatusOr<CodeAddress> Lookup(const std::string& symbol) const;
  // The same, as hosted code refers to it: see SessionOptions::detours.
  absl::StatusOr<CodeAddress> LookupReference(const std::string& symbol) const;
  // Gives the calling thread the initial values of the program's thread-locals. Each thread calls
  // it before it runs hosted code.
  void InitializeThread();
  // The calling thread ends without its destructors.
  void ForgetThread();

  std::vector<FunctionSite> Functions() const;
  SessionUsage Usage() const;

  // Memory in use (CodeMemory::ForEachRange), predecessors' included: puts up to `max` ranges
  // there, from the one of number `from` on, and says how many.
  size_t MemoryRanges(size_t from, MemoryRange* ranges, size_t max) const;

  // Around fork, in the forking thread: waits for a load that runs, so that the child inherits no
  // lock that is held. The child hosts its own copy of the program. Predecessors are included.
  void PrepareFork();
  void ParentAfterFork();
  void ChildAfterFork();

  // PatchLoader.
  absl::StatusOr<std::unique_ptr<Patch>> Load(const PatchModule& module) override;
  absl::Status ResolveObject(Patch* patch, PatchObject* object) override;
  void ForgetObject(Patch* patch, PatchObject* object) override;
  absl::StatusOr<FunctionSite> FindFunction(const std::string& name) const override;
  std::vector<FunctionSite> UnitFunctions(const std::string& module) const override;
  std::string Describe(CodeAddress pc) const override;

  // ModuleLoader.
  absl::StatusOr<std::unique_ptr<GuestModule>> Link(const std::string& name,
                                                    const ModuleSource& source) override;
  // What the module from Link exports under that name; null without such a symbol.
  static void* FindSymbol(const GuestModule& module, const std::string& name);
  // What the module's file is called; and that of the module whose text or data contains the
  // address, null without one.
  static const std::string& FileOf(const GuestModule& module);
  // Whether threads have yet to run destructors of the module's thread-locals.
  static bool HasThreadEnds(const GuestModule& module);
  const char* FileAt(uintptr_t address) const;
  // FindSymbol for the module that the caller is code of, a patch's included; null, too, when it is
  // none's.
  void* FindSymbolFor(CodeAddress caller, const std::string& name) const;
  // RTLD_NEXT of the module that the caller is code of: what comes behind it (GuestLink::FindNext),
  // or null; nothing when it is none's.
  std::optional<void*> FindNextFor(CodeAddress caller, const std::string& name,
                                   void* of_library) const;
  // RTLD_GLOBAL: other modules find what the module from Link exports. One that was found by a
  // module stays: see GuestModule::Retire.
  static void MakeGlobal(const GuestModule& module);

  // CodeHost.
  absl::StatusOr<CodeRange> AllocateText(size_t bytes) override;
  void ReleaseText(CodeRange range) override;
  absl::Status WriteText(absl::Span<const TextWrite> writes) override;
  absl::Status WriteEntries(absl::Span<const EntryWrite> writes) override;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  void LockForFork();
  void UnlockAfterFork();

  std::unique_ptr<State> state_;
};

}  // namespace mend::jit

#endif  // MEND_JIT_SESSION_H_
