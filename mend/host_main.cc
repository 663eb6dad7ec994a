#include "mend/host_main.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "jit/guest_libc/address_limit.h"
#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/own_heap.h"
#include "jit/guest_libc/stand_ins.h"
#include "jit/link/imports.h"
#include "mend/dynamic_loading.h"
#include "mend/host.h"
#include "mend/host_options.h"
#include "mend/program_exports.h"
#include "runtime/base/event_log.h"
#include "runtime/safepoint/single_thread.h"

namespace mend {
namespace {

// The shell's number for "found, but cannot be run".
constexpr int kExitRefusedToRun = 126;

[[noreturn]] void Refuse(const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "mend: cannot host the program: %s\n", message.c_str());
  std::_Exit(kExitRefusedToRun);
}

// Lives for ever; null for no words.
const char* MakeAssignment(const std::vector<std::string>& words) {
  if (words.empty()) return nullptr;
  const auto* const text =
      new std::string(absl::StrCat(kOptionsVariable, "=", JoinOptionWords(words)));
  return text->c_str();
}

HostOptions TakeOptions() {
  const char* const value = std::getenv(kOptionsVariable);
  const std::vector<std::string> words = SplitOptionWords(value == nullptr ? "" : value);
  absl::StatusOr<HostOptions> options = ParseHostOptions(words);
  if (!options.ok()) Refuse(options.status());
  // Programs that this one starts have their own options, unless it starts itself.
  jit::PassToItself(MakeAssignment(words), MakeAssignment(WordsForChild(words)));
  unsetenv(kOptionsVariable);
  return *std::move(options);
}

std::string FileName(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

// Links the program; none of it has run when this returns.
Host& LinkProgram(const HostOptions& options, std::string_view image) {
  absl::StatusOr<Host*> host = Host::Create(options);
  if (!host.ok()) Refuse(host.status());
  const absl::StatusOr<std::vector<ProgramObject>> objects = ParseHostedObjects(image);
  if (!objects.ok()) Refuse(objects.status());
  if (absl::Status status = (*host)->session().LoadProgram(options.name, *objects); !status.ok()) {
    Refuse(status);
  }
  jit::OwnHeap::Trim();
  if (absl::Status status = ShowProgramToLibraries((*host)->session()); !status.ok()) {
    // A library that needs it will be refused by name; the program itself does not.
    (*host)->events().Append(
        MendEvent("exports_unavailable", "",
                  absl::StrCat("libraries do not see the program's symbols: ", status.message())));
  }
  ShowGuestModulesToLibraries();
  return **host;
}

// The executable's file has the objects too, and they are read again only when a patch is checked
// against them: until then their pages, most of what is resident, need not be.
// REQUIRES: `image` lies in a part of the executable that nobody writes.
void DropPages(std::string_view image) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(image.data());
  const uintptr_t begin = (address + page - 1) / page * page;
  const uintptr_t end = (address + image.size()) / page * page;
  // Where it fails they stay.
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

// What the program replaces of libraries' functions is for libraries, not for mend.
void KeepMendApart() {
  for (const auto& [name, definition] : jit::DefinitionsForMend()) {
    jit::RedirectImportsOf(reinterpret_cast<void*>(&mend_host_main), name.c_str(), definition);
  }
}

// From now on libraries call the program.
void ShowStandIns(const jit::Session& session) {
  const auto lookup = [&session](const char* name) {
    const absl::StatusOr<CodeAddress> found = session.Lookup(name);
    return found.ok() ? reinterpret_cast<void*>(found->value) : nullptr;
  };
  for (const std::string& name : jit::NamesBoundAtStart()) {
    void* const target = lookup(name.c_str());
    if (target == nullptr) continue;
    jit::RedirectImports(name.c_str(), target);
    jit::RedefineExport(name.c_str(), target);
  }
  jit::ActivateStandIns(lookup);
}

}  // namespace
}  // namespace mend

int mend_host_main(int argc, char** argv, char** /*envp*/, const void* image, size_t image_size) {
  mend::KeepMendApart();
  mend::jit::RaiseInheritedLimits();
  mend::HostOptions options = mend::TakeOptions();
  options.is_process = true;
  if (options.name.empty()) options.name = mend::FileName(argc > 0 ? argv[0] : "program");
  const std::string_view objects(static_cast<const char*>(image), image_size);
  mend::Host& host = mend::LinkProgram(options, objects);
  const absl::StatusOr<mend::CodeAddress> entry = host.session().Lookup("main");
  if (!entry.ok()) mend::Refuse(entry.status());

  mend::jit::RegisterProgramMainThread();
  mend::jit::ReportCrashes();
  host.session().InitializeThread();
  if (absl::Status status = host.ApplyPatchDirectory(); !status.ok()) mend::Refuse(status);
  mend::DropPages(objects);
  if (options.serve) {
    if (absl::Status status = host.Serve(); !status.ok()) mend::Refuse(status);
    // Registered before the program's own handlers, so it runs after all of them.
    std::atexit([] { mend::Host::Get()->UnlinkSocket(); });
    mend::jit::SetExitHook([] { mend::Host::Get()->EndRequests(); });
  }
  mend::ShowStandIns(host.session());
  mend::SingleThread::Enter();
  mend::jit::RecordRuntimeMemory();
  // As libc has it: the environment as it is by then, which libraries' and the program's
  // constructors may have moved.
  host.session().RunInitializers(argc, argv, environ);
  const auto main_function = reinterpret_cast<int (*)(int, char**, char**)>(entry->value);
  const int status = main_function(argc, argv, environ);
  host.EndRequests();
  return status;
}
