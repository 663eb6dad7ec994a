#include "jit/program/module_loader.h"

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/read_file.h"
#include "runtime/format/object_description.h"
#include "runtime/format/program_image.h"
#include "runtime/format/stack_switch_names.h"

namespace mend::jit {
namespace {

absl::StatusOr<std::string> Contents(const ModuleSource& source) {
  if (!source.bytes.empty()) return source.bytes;
  absl::StatusOr<std::string> bytes = ReadFile(source.path);
  if (!bytes.ok()) return ErrnoStatus(ENOENT, std::string(bytes.status().message()));
  return bytes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GuestLibrary>> GuestLibrary::Link(
    const HostedProgram* program, const std::string& name, const ModuleSource& source,
    const ProgramArguments& arguments, std::function<void(const HostedProgram&)> forget) {
  absl::StatusOr<std::string> bytes = Contents(source);
  if (!bytes.ok()) return bytes.status();
  std::unique_ptr<GuestLibrary> library(new GuestLibrary(program, name, *std::move(bytes)));
  library->arguments_ = arguments;
  if (absl::Status linked = library->LinkImage(source); !linked.ok()) {
    library->link_.reset();
    return library->OfModule(linked);
  }
  library->forget_ = std::move(forget);
  program->guests.Add(name, &library->link_->object());
  return library;
}

absl::Status GuestLibrary::OfModule(const absl::Status& failure) const {
  const auto [error, detail] = ErrnoOf(failure);
  return ErrnoStatus(
      error, absl::StrCat("module ", name_, ": ", absl::string_view(detail.data(), detail.size())));
}

absl::Status GuestLibrary::BindAll() {
  absl::Status bound = link_->BindAll();
  return bound.ok() ? bound : OfModule(bound);
}

absl::Status GuestLibrary::LinkImage(const ModuleSource& source) {
  absl::StatusOr<std::string_view> section = FindElfSection(bytes_, kModuleSection);
  if (!section.ok()) {
    return absl::InvalidArgumentError("ENOEXEC: not a library made by patchc cc -shared");
  }
  absl::StatusOr<std::vector<ProgramObject>> objects = ParseHostedObjects(*section);
  if (!objects.ok()) return objects.status();
  std::vector<std::string> libraries;
  absl::StatusOr<std::string_view> names = FindElfSection(bytes_, kLibrariesSection);
  if (names.ok()) libraries = NamesInSection(*names);
  std::vector<std::string> switches;
  names = FindElfSection(bytes_, kSwitchesOfLibrariesSection);
  if (names.ok()) switches = NamesInSection(*names);
  auto arena = std::make_unique<ModuleArena>(program_->memory);
  absl::StatusOr<std::unique_ptr<GuestLink>> link =
      GuestLink::Link(program_, arena,
                      {.name = name_,
                       .version = "",
                       .objects = *std::move(objects),
                       .libraries = std::move(libraries),
                       .switches = std::move(switches),
                       .lazy_name = source.lazy_name,
                       .needed = source.needed,
                       .brought_by = source.brought_by,
                       .file = source.file.empty() ? source.path : source.file});
  if (!link.ok()) return link.status();
  link_ = *std::move(link);
  if (absl::Status added = link_->AddParameters(parameters_); !added.ok()) return added;
  absl::StatusOr<uintptr_t> init = link_->NamedFunction(kModuleInitPointer);
  if (!init.ok()) return init.status();
  absl::StatusOr<uintptr_t> exit = link_->NamedFunction(kModuleExitPointer);
  if (!exit.ok()) return exit.status();
  init_ = reinterpret_cast<int (*)()>(*init);
  exit_ = reinterpret_cast<void (*)()>(*exit);
  return absl::OkStatus();
}

GuestLibrary::~GuestLibrary() {
  if (link_ == nullptr) return;
  program_->guests.Remove(name_);
  if (forget_ != nullptr) forget_(link_->object());
}

void GuestLibrary::RunInitializers() {
  link_->RunInitializers(arguments_.argc, arguments_.argv, arguments_.envp);
}

int GuestLibrary::RunInit() { return init_ != nullptr ? init_() : 0; }

void GuestLibrary::RunExit() {
  if (exit_ != nullptr) exit_();
}

void GuestLibrary::RunFinalizers() { link_->RunFinalizers(); }

}  // namespace mend::jit
