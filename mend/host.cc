#include "mend/host.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/stand_ins.h"
#include "jit/link/library_switches.h"
#include "mend/dynamic_loading.h"
#include "mend/guest_opening.h"
#include "mend/mapped_file.h"
#include "mend/open_libraries.h"
#include "runtime/base/failpoint.h"
#include "runtime/base/high_descriptor.h"
#include "runtime/base/read_file.h"
#include "runtime/base/standard_error.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/format/object_description.h"
#include "runtime/format/stack_switch_names.h"
#include "runtime/module/hosted_services.h"
#include "runtime/safepoint/apart_thread.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/safepoint/single_thread.h"
#include "runtime/safepoint/thread_calls.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/safepoint/unwind_table.h"
#include "runtime/shadow/shadow_variable.h"

namespace mend {
namespace {

// The process's runtime pointer: the one mutable global of the facade. Set before any thread of the
// program exists, and again by whoever creates a successor.
std::atomic<Host*> process_host{nullptr};

// A request that links a patch takes less; one that runs a callback may take for ever.
constexpr absl::Duration kPatienceAtTheEnd = absl::Seconds(2);

// Serialises creators.
constinit Mutex creation_mu;

#ifdef MEND_FAILPOINTS
// NAME[:SKIP[:TIMES]], as for failpoint::Arm.
absl::Status ArmFailpoint(const std::string& text) {
  const std::vector<std::string> words = absl::StrSplit(text, ':');
  int64_t skip = 0, times = -1;
  if (words.size() > 3 || (words.size() > 1 && !absl::SimpleAtoi(words[1], &skip)) ||
      (words.size() > 2 && !absl::SimpleAtoi(words[2], &times))) {
    return absl::InvalidArgumentError(
        absl::StrCat("--failpoint '", text, "': not NAME, NAME:SKIP or NAME:SKIP:TIMES"));
  }
  if (!failpoint::IsKnown(words[0])) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is no failpoint '", words[0], "'; there are ",
        absl::StrJoin(
            std::vector<std::string>(std::begin(failpoint::kNames), std::end(failpoint::kNames)),
            ", ")));
  }
  if (!failpoint::Arm(words[0], skip, times)) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", failpoint::kArmedMax, " failpoints"));
  }
  return absl::OkStatus();
}
#endif

}  // namespace

// ORDER[H1]: what the host is, before the pointer; pairs with Host::Create.
Host* Host::Get() { return process_host.load(std::memory_order_acquire); }

absl::Status Host::MakeRoomForSuccessor(Host* host) {
  if (host == nullptr) return absl::OkStatus();
  // Relaxed: a flag of its own; creation_mu orders creators.
  if (!host->retired_.load(std::memory_order_relaxed)) {
    return absl::FailedPreconditionError("the process has a runtime already");
  }
  if (const std::string patch = host->registry_->Status().transition; !patch.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("the transition of patch '", patch,
                                                      "' of the runtime before has not finished"));
  }
  // Two coordinators would take each other's wakes.
  host->registry_->Stop();
  return absl::OkStatus();
}

absl::StatusOr<Host*> Host::Create(const HostOptions& options) {
  const MutexLock lock(&creation_mu);
  Host* const predecessor = Get();
  if (absl::Status room = MakeRoomForSuccessor(predecessor); !room.ok()) return room;
  std::unique_ptr<Host> host(new Host(options, predecessor));
  if (absl::Status status = host->Initialize(); !status.ok()) return status;
  Host* const published = host.release();
  // ORDER[H1]: what the host is, before the pointer; pairs with Host::Get.
  process_host.store(published, std::memory_order_release);
  published->InstallHooks();
  return published;
}

absl::Status Host::Initialize() {
#ifdef MEND_FAILPOINTS
  for (const std::string& text : options_.failpoints) {
    if (absl::Status armed = ArmFailpoint(text); !armed.ok()) return armed;
  }
#endif
  NoteStandardError();
  MakeRoomForDescriptorsUp();
  InitializePollStub();
  if (absl::Status status = events_.OpenLines(options_.log); !status.ok()) return status;
  std::map<std::string, void*> symbols = DynamicLoadingSymbols();
  symbols[kPollSlowPath] = reinterpret_cast<void*>(&__mend_poll_slow);
  if (options_.is_process) {
    for (const std::string& name : NamesInExecutable(kSwitchesOfLibrariesSection)) {
      void* const function = dlsym(RTLD_DEFAULT, name.c_str());
      if (function != nullptr) symbols[name] = jit::EntryOfSwitch(name, function);
    }
  }
  std::map<std::string, std::pair<void*, size_t>> places;
  for (jit::PlaceInExecutable& place : jit::PlacesInExecutable()) {
    places[std::move(place.name)] = {place.address, place.size};
  }
  absl::StatusOr<std::unique_ptr<jit::Session>> session = jit::Session::Create(
      {.symbols = std::move(symbols),
       .is_process = options_.is_process,
       .detours = jit::TakersOfBlocks(),
       .places = std::move(places),
       .debugger = options_.debugger,
       .perf = options_.perf,
       .predecessor = predecessor_ == nullptr ? nullptr : predecessor_->session_.get()});
  if (!session.ok()) return session.status();
  session_ = *std::move(session);
  absl::StatusOr<std::unique_ptr<PatchRegistry>> registry = PatchRegistry::Create(
      session_.get(), session_.get(), &events_,
      {.poke_interval = options_.poke_interval,
       .program_name = ThisProgram(options_.name).name,
       .initialize_thread = [session = session_.get()] { session->InitializeThread(); }});
  if (!registry.ok()) return registry.status();
  registry_ = *std::move(registry);
  SetHostedServices(&events_, registry_.get());
  modules_ =
      std::make_unique<ModuleRegistry>(session_.get(), registry_.get(), &events_,
                                       [session = session_.get()] { session->InitializeThread(); });
  patches_ = std::make_unique<PatchService>(registry_.get(), session_.get(), options_.patch_dir);
  return absl::OkStatus();
}

void Host::InstallHooks() {
  jit::SetForkHooks({.prepare = [] { Get()->PrepareFork(); },
                     .parent = [] { Get()->ParentAfterFork(); },
                     .child = [] { Get()->ChildAfterFork(); }});
  jit::SetHostedMemoryHook([](size_t from, jit::MemoryRange* ranges, size_t max) {
    return Get()->session_->MemoryRanges(from, ranges, max);
  });
  jit::SetHostedFileHook([](uintptr_t address) {
    const Uninterrupted uninterrupted;
    return Get()->session_->FileAt(address);
  });
  jit::SetThreadStartHook([] { Get()->session().InitializeThread(); });
  jit::SetThreadEndHook([] { Get()->session().ForgetThread(); });
}

absl::Status Host::Serve() {
  ProgramInfo program = ThisProgram(options_.name);
  program.image = [this] { return LoadedImage(); };
  routes_ = std::make_unique<ControlRoutes>(
      std::move(program), patches_.get(), &events_, modules_.get(),
      ModuleVerbs{.load = LoadForOperator, .unload = UnloadForOperator});
  // Beside SetExitHook, which comes before the program's own exit handlers: libc calls exit()
  // itself (error, err), and a host's calls do not pass here.
  const auto end_at_exit = [] { std::atexit([] { Get()->EndRequests(); }); };
  absl::StatusOr<std::unique_ptr<ControlServer>> server =
      ControlServer::Start({.socket = options_.socket, .http_module = "", .opened = end_at_exit},
                           routes_.get(), &events_);
  if (!server.ok()) return server.status();
  server_ = *std::move(server);
  // Waiting takes a call that a confined thread may not make.
  jit::SetThreadLimitHook([] {
    ControlServer* const server = Get()->server_.get();
    if (server == nullptr || !ThreadCalls::MayWake()) return;
    const BlockedRegion region("setrlimit");
    Get()->registry_->StartCoordinator();
    server->StartInChildNow();
  });
  return absl::OkStatus();
}

absl::Status Host::Load(const std::string& name, std::vector<CompiledObject> compiled) {
  // The session links the bytes where they are, and refers to them for good.
  auto* const kept = new std::vector<CompiledObject>(std::move(compiled));
  std::vector<ProgramObject> objects;
  for (const CompiledObject& object : *kept) objects.push_back({object.name, object.bytes});
  absl::Status status = session_->LoadProgram(name, objects);
  if (!status.ok()) {
    delete kept;
    return status;
  }
  const MutexLock lock(&mu_);
  loaded_.insert(loaded_.end(), objects.begin(), objects.end());
  return status;
}

std::string Host::LoadedImage() const {
  const MutexLock lock(&mu_);
  return loaded_.empty() ? std::string() : SerializeProgramImage(loaded_);
}

void Host::StopServing() {
  if (routes_ != nullptr) routes_->Shutdown();
  patches_->Shutdown();
  server_.reset();
}

void Host::Retire() {
  StopServing();
  const CoreStatus status = registry_->Status();
  // Nobody could promote it any more.
  if (status.canary) registry_->Disable(status.transition).IgnoreError();
  retired_.store(true, std::memory_order_relaxed);
}

void Host::EndRequests() {
  // By the first exit handler of those that call this; a child that is forked meanwhile serves
  // anew. Nobody could answer a thread that polls here when clients have been turned away already.
  const pid_t pid = ::getpid();
  if (server_ == nullptr || requests_ended_in_.exchange(pid, std::memory_order_relaxed) == pid) {
    return;
  }
  const BlockedRegion region("mend: waiting for requests at the end");
  if (!server_->HangUp()) return;
  routes_->Shutdown();
  patches_->Shutdown();
  server_->AwaitNoConnection(kPatienceAtTheEnd);
}

void Host::UnlinkSocket() {
  if (server_ != nullptr) server_->Unlink();
}

absl::Status Host::ApplyPatchDirectory() {
  if (options_.patch_dir.empty()) return absl::OkStatus();
  std::error_code error;
  std::vector<std::filesystem::path> modules;
  for (const auto& entry : std::filesystem::directory_iterator(options_.patch_dir, error)) {
    if (entry.path().extension() == ".mendpatch") modules.push_back(entry.path());
  }
  if (error) {
    return absl::NotFoundError(
        absl::StrCat("cannot read patch directory '", options_.patch_dir, "': ", error.message()));
  }
  std::sort(modules.begin(), modules.end());
  for (const std::filesystem::path& module : modules) {
    const absl::StatusOr<std::string> bytes = ReadFile(module);
    if (!bytes.ok()) return bytes.status();
    const absl::StatusOr<ApplyResult> report = patches_->Apply(*bytes, {});
    if (!report.ok()) {
      return absl::Status(report.status().code(),
                          absl::StrCat(module.string(), ": ", report.status().message()));
    }
  }
  return absl::OkStatus();
}

// The locks nest from the outside in: control server, modules, patch registry, open libraries,
// session, shadow table, thread registry, event log. No handler of the program's runs while the
// thread holds them.

void Host::PrepareFork() {
  Uninterrupted::Begin();
  if (server_ != nullptr) server_->PrepareFork();
  for (Host* host = this; host != nullptr; host = host->predecessor_) {
    host->modules_->PrepareFork();
    host->registry_->PrepareFork();
  }
  Libraries().PrepareFork();
  session_->PrepareFork();
  ShadowTable::Get().PrepareFork();
  ThreadRegistry::Get().PrepareFork();
  for (Host* host = this; host != nullptr; host = host->predecessor_) host->events_.PrepareFork();
}

void Host::ParentAfterFork() {
  for (Host* host = this; host != nullptr; host = host->predecessor_) host->events_.AfterFork();
  ThreadRegistry::Get().ParentAfterFork();
  ShadowTable::Get().ParentAfterFork();
  session_->ParentAfterFork();
  Libraries().AfterFork();
  for (Host* host = this; host != nullptr; host = host->predecessor_) {
    host->registry_->ParentAfterFork();
    host->modules_->ParentAfterFork();
  }
  if (server_ != nullptr) server_->ParentAfterFork();
  Uninterrupted::End();
}

void Host::ChildAfterFork() {
  SingleThread::ChildAfterFork();
  ForgetApartThread();
  UnwindTable::Get().ChildAfterFork();
  for (Host* host = this; host != nullptr; host = host->predecessor_) host->events_.AfterFork();
  ThreadRegistry::Get().ChildAfterFork();
  ShadowTable::Get().ChildAfterFork();
  session_->ChildAfterFork();
  Libraries().AfterFork();
  for (Host* host = this; host != nullptr; host = host->predecessor_) {
    host->registry_->ChildAfterFork();
    host->modules_->ChildAfterFork();
  }
  if (server_ != nullptr) server_->ChildAfterFork();
  Uninterrupted::End();
}

}  // namespace mend
