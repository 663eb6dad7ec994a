// GuestLink: objects linked as new code beside the running program, in memory that is freed with
// them: a guest module, or what an explicit patch brings.
//
//   a reference to            means
//   a name the objects define that definition
//   anything else             the program's global, else what the process's libraries (and those
//                             that the module itself needs) export, else what guest modules do
//                             that are global, or that it needs
//
// Thread safety: the session's lock serialises links; afterwards reads are const.
#ifndef MEND_JIT_PROGRAM_GUEST_LINK_H_
#define MEND_JIT_PROGRAM_GUEST_LINK_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "jit/program/hosted_program.h"
#include "jit/program/lazy_binding.h"
#include "jit/program/linked_data.h"
#include "jit/program/module_arena.h"
#include "runtime/format/program_image.h"
#include "runtime/patch/module_parameters.h"

namespace mend::jit {

struct GuestLinkRequest {
  std::string name;     // the object's, for its functions
  std::string version;  // the patch that it is, if it is one, for debuggers
  // Their bytes must stay as long as the result.
  std::vector<ProgramObject> objects;
  std::vector<std::string> libraries;  // as in DT_NEEDED, opened until the result goes
  std::vector<std::string> switches;   // of the libraries: library_switches.h
  std::string lazy_name;               // ModuleSource's; see lazy_binding.h
  std::vector<std::string> needed;     // ModuleSource's
  std::string brought_by;              // ModuleSource's
  std::string file;                    // what libc's functions that name files call it
};

class GuestLink : public LinkedData {
 public:
  // Links everything; nothing of it runs. `arena` is taken, unless there is an error, which names
  // the object and symbol.
  static absl::StatusOr<std::unique_ptr<GuestLink>> Link(const HostedProgram* program,
                                                         std::unique_ptr<ModuleArena>& arena,
                                                         const GuestLinkRequest& request);
  // REQUIRES: no thread can reach the text any more.
  ~GuestLink() override;
  GuestLink(const GuestLink&) = delete;
  GuestLink& operator=(const GuestLink&) = delete;

  const HostedProgram& object() const { return *object_; }
  const ModuleArena& arena() const { return *arena_; }
  uintptr_t DataEnd(uintptr_t address) const override { return arena_->DataEnd(address); }
  uintptr_t WritableEnd(uintptr_t address) const override { return arena_->WritableEnd(address); }
  CodeRange FindText(CodeAddress entry) const override;
  bool HasStub(CodeAddress entry) const override;

  // What is left of the memory is the caller's; the rest of the link is of no more use.
  std::unique_ptr<ModuleArena> TakeArena();

  // The data, to be put back later: as it is when nothing of it has run, that is as if it had been
  // linked anew, thread-locals included.
  ModuleArena::Contents SaveData() const { return arena_->Save(); }
  absl::Status RestoreData(const ModuleArena::Contents& contents);

  // Constructors, and later destructors and what these and the code registered for exit, in native
  // order.
  void RunInitializers(int argc, char** argv, char** envp);
  void RunFinalizers();
  // Whether a thread has yet to run a destructor of a thread-local of the module's: natively that
  // keeps a library loaded.
  bool HasThreadEnds() const {
    // ORDER[L1]: that a destructor has ended, before its code goes; pairs with RunThreadEnd.
    return thread_ends_->load(std::memory_order_acquire) != 0;
  }

  // Declares what MEND_PARAM_... declared. INVALID_ARGUMENT when a table is damaged.
  absl::Status AddParameters(ModuleParameters& parameters) const;
  // What the libraries that the module needs export under the name; null if none does. Calls that
  // this library stands in front of, such as libc's blocking ones, lead to it as ever.
  static void* FindInLibraries(const HostedProgram& module, const std::string& name);
  // What dlsym finds on a handle of the module: what it defines for others, or one of those that it
  // needs, breadth first, or a library that they need. Null without one.
  static void* FindSymbol(const HostedProgram& module, const std::string& name);
  // What dlsym finds for the module's code by RTLD_NEXT: the same behind the module in the order of
  // the one that brought it, without what the program or global modules have. `of_library`: what
  // the libraries have; null: look.
  static void* FindNext(const HostedProgram& module, const std::string& name, void* of_library);
  // ModuleSource's lazy_name: as GuestModule has it.
  absl::Status BindAll() const;
  // Functions marked MEND_UNIT.
  std::vector<FunctionSite> UnitFunctions() const;
  // The pointer that a variable of that name holds (MEND_NAMED_POINTER); 0 without one.
  // INVALID_ARGUMENT when it is no such variable.
  absl::StatusOr<uintptr_t> NamedPointer(const std::string& name) const;
  // The same, to a function: null, or one within the text. INVALID_ARGUMENT otherwise.
  absl::StatusOr<uintptr_t> NamedFunction(const std::string& name) const;

 private:
  GuestLink(const HostedProgram* program, std::unique_ptr<ModuleArena> arena)
      : program_(program), arena_(std::move(arena)) {}
  absl::Status LinkObjects(const GuestLinkRequest& request);
  absl::Status OpenLibraries(const std::vector<std::string>& libraries);
  absl::Status MakeHandle();
  // When exit comes to the module, or a finalizer does.
  void EndModule();
  // The module's __cxa_thread_atexit.
  static int AddThreadEnd(void (*destructor)(void*), void* object, void* handle);

  const HostedProgram* const program_;
  std::unique_ptr<ModuleArena> arena_;
  void* handle_ = nullptr;  // the module's __dso_handle, which holds this object's address
  // Relaxed: who closes modules while another thread exits has no order to rely on.
  std::atomic<bool> is_finalized_{false};
  CodeRange thunks_;
  std::map<std::string, void*> overrides_;
  std::unique_ptr<LazyBindings> lazy_;  // null: none
  std::unique_ptr<HostedProgram> object_;
  // Destructors that threads have yet to run; a thread's may outlive what is said of the module.
  const std::shared_ptr<std::atomic<unsigned>> thread_ends_ =
      std::make_shared<std::atomic<unsigned>>(0);
};

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_GUEST_LINK_H_
