// GuestLibrary: a guest module as jit/ links it: the core's view (GuestModule), and what dlsym
// asks.
//
// Thread safety: the session serialises links; a library may be destroyed by any thread.
#ifndef MEND_JIT_PROGRAM_MODULE_LOADER_H_
#define MEND_JIT_PROGRAM_MODULE_LOADER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "jit/program/guest_link.h"
#include "runtime/module/module_loader.h"

namespace mend::jit {

// The program's arguments, which constructors get.
struct ProgramArguments {
  int argc = 0;
  char** argv = nullptr;
  char** envp = nullptr;
};

class GuestLibrary : public GuestModule {
 public:
  // Links it and makes its functions known to the program's GuestTable. `forget` is called by the
  // destructor, before anything is freed. INVALID_ARGUMENT: the file is no guest module;
  // FAILED_PRECONDITION names what cannot be linked. Nothing is left behind then.
  static absl::StatusOr<std::unique_ptr<GuestLibrary>> Link(
      const HostedProgram* program, const std::string& name, const ModuleSource& source,
      const ProgramArguments& arguments, std::function<void(const HostedProgram&)> forget);
  ~GuestLibrary() override;

  std::vector<CodeRange> text() const override { return link_->arena().text(); }
  std::string_view file() const override { return bytes_; }
  ModuleParameters& parameters() override { return parameters_; }
  absl::Status BindAll() override;
  void Abandon() override { program_->guests.ForgetUser(link_->object()); }
  bool Retire() override { return program_->guests.Retire(name_); }
  void RunInitializers() override;
  int RunInit() override;
  void RunExit() override;
  void RunFinalizers() override;

  // Modules that are linked later, and patches of modules, find what it exports.
  void MakeGlobal() const { program_->guests.MakeGlobal(name_); }

  // GuestLink::HasThreadEnds.
  bool HasThreadEnds() const { return link_->HasThreadEnds(); }
  const std::string& file_name() const { return link_->object().file; }
  // GuestLink::FindSymbol.
  void* FindSymbol(const std::string& name) const {
    return GuestLink::FindSymbol(link_->object(), name);
  }

 private:
  GuestLibrary(const HostedProgram* program, std::string name, std::string bytes)
      : program_(program), name_(std::move(name)), bytes_(std::move(bytes)) {}
  // The failure with the module's name.
  absl::Status OfModule(const absl::Status& failure) const;
  absl::Status LinkImage(const ModuleSource& source);

  const HostedProgram* const program_;
  const std::string name_;
  const std::string bytes_;  // the file: descriptions of its objects are read from it later
  ProgramArguments arguments_;
  std::function<void(const HostedProgram&)> forget_;
  ModuleParameters parameters_;
  std::unique_ptr<GuestLink> link_;
  int (*init_)() = nullptr;
  void (*exit_)() = nullptr;
};

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_MODULE_LOADER_H_
