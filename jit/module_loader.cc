#include "jit/module_loader.h"

#include <elf.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/read_file.h"
#include "runtime/format/object_description.h"
#include "runtime/format/program_image.h"

namespace mend::jit {
namespace {

absl::StatusOr<std::string> Contents(const ModuleSource& source) {
  if (!source.bytes.empty()) return source.bytes;
  absl::StatusOr<std::string> bytes = ReadFile(source.path);
  if (!bytes.ok()) return ErrnoStatus(ENOENT, std::string(bytes.status().message()));
  return bytes;
}

// Whether the file was linked with -z now.
bool BindsNow(std::string_view file) {
  const std::vector<DynamicEntry> entries = DynamicEntries(file);
  return std::any_of(entries.begin(), entries.end(), [](const DynamicEntry& entry) {
    return entry.tag == DT_BIND_NOW ||
           (entry.tag == DT_FLAGS && (entry.value & DF_BIND_NOW) != 0) ||
           (entry.tag == DT_FLAGS_1 && (entry.value & DF_1_NOW) != 0);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<GuestLibrary>> GuestLibrary::Link(
    const HostedProgram* program, const std::string& name, const ModuleSource& source,
    const ProgramArguments& arguments, std::function<void(const HostedProgram&)> forget) {
  absl::StatusOr<std::string> bytes = Contents(source);
  if (!bytes.ok()) return bytes.status();
  std::unique_ptr<GuestLibrary> library(new GuestLibrary(program, name, *std::move(bytes)));
  library->arguments_ = arguments;
  const std::string lazy_name = BindsNow(library->bytes_) ? "" : source.lazy_name;
  if (absl::Status linked = library->LinkImage(lazy_name); !linked.ok()) {
    library->link_.reset();
    const auto [error, detail] = ErrnoOf(linked);
    return ErrnoStatus(error, absl::StrCat("module ", name, ": ",
                                           absl::string_view(detail.data(), detail.size())));
  }
  library->forget_ = std::move(forget);
  program->guests.Add(name, &library->link_->object());
  return library;
}

absl::Status GuestLibrary::LinkImage(const std::string& lazy_name) {
  absl::StatusOr<std::string_view> section = FindElfSection(bytes_, kModuleSection);
  if (!section.ok()) {
    return absl::InvalidArgumentError("ENOEXEC: not a library made by patchc cc -shared");
  }
  absl::StatusOr<std::vector<ProgramObject>> objects = ParseHostedObjects(*section);
  if (!objects.ok()) return objects.status();
  std::vector<std::string> libraries;
  absl::StatusOr<std::string_view> names = FindElfSection(bytes_, kLibrariesSection);
  if (names.ok()) libraries = NamesInSection(*names);
  auto arena = std::make_unique<ModuleArena>(program_->memory);
  absl::StatusOr<std::unique_ptr<GuestLink>> link =
      GuestLink::Link(program_, arena,
                      {.name = name_,
                       .version = "",
                       .objects = *std::move(objects),
                       .libraries = std::move(libraries),
                       .lazy_name = lazy_name});
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

void* GuestLibrary::FindSymbol(const std::string& name) const {
  const HostedSymbol* const symbol = link_->object().index.FindGlobal(name);
  if (symbol == nullptr || symbol->is_hidden) return link_->FindInLibraries(name);
  return reinterpret_cast<void*>(symbol->address);
}

}  // namespace mend::jit
