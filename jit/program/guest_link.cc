#include "jit/program/guest_link.h"

#include <dlfcn.h>
#include <string.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "jit/link/library_switches.h"
#include "jit/program/program_loader.h"
#include "runtime/base/own_allocations.h"
#include "runtime/safepoint/unwind_table.h"

extern "C" {
int __cxa_atexit(void (*function)(void*), void* argument, void* dso) noexcept;
int __cxa_at_quick_exit(void (*function)(void*), void* dso) noexcept;
int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso) noexcept;
void __cxa_finalize(void* dso) noexcept;
int __cxa_thread_atexit(void (*function)(void*), void* argument, void* dso) noexcept;
}

namespace mend::jit {
namespace {

// A destructor of a module's thread-local, for the thread that has the object.
struct ThreadEnd {
  void (*destructor)(void*);
  void* object;
  std::shared_ptr<std::atomic<unsigned>> pending;
};

void RunThreadEnd(void* argument) {
  auto* const end = static_cast<ThreadEnd*>(argument);
  end->destructor(end->object);
  // ORDER[L1]: the destructor's work before it counts as done; pairs with HasThreadEnds.
  end->pending->fetch_sub(1, std::memory_order_release);
  const OwnAllocations own;
  delete end;
}

// atexit and its kin are part of every object natively: they add the object's own handle to the
// call. A thunk does so: it sets up to two argument registers and jumps to the real function.
//
//   xor %esi,%esi            (atexit only)
//   movabs $handle,%REG
//   movabs $target,%rax
//   jmp *%rax
constexpr size_t kThunkSize = 32;
enum class HandleArgument : uint8_t { kSecond, kThirdAfterNull, kFourth };

void WriteThunk(uintptr_t at, HandleArgument argument, const void* handle, void* target) {
  auto* bytes = reinterpret_cast<uint8_t*>(at);
  const auto put = [&bytes](std::initializer_list<uint8_t> code, const void* value) {
    bytes = std::copy(code.begin(), code.end(), bytes);
    if (value == nullptr) return;
    memcpy(bytes, static_cast<const void*>(&value), sizeof(value));
    bytes += sizeof(value);
  };
  switch (argument) {
    case HandleArgument::kSecond:
      put({0x48, 0xbe}, handle);
      break;
    case HandleArgument::kThirdAfterNull:
      put({0x31, 0xf6, 0x48, 0xba}, handle);
      break;
    case HandleArgument::kFourth:
      put({0x48, 0xb9}, handle);
      break;
  }
  put({0x48, 0xb8}, target);
  put({0xff, 0xe0}, nullptr);
}

// What the first of them that exports the name has; null without one.
void* FindExported(const std::vector<const HostedProgram*>& modules, const std::string& name) {
  for (const HostedProgram* const module : modules) {
    const HostedSymbol* const symbol = module->index.FindGlobal(name);
    if (symbol != nullptr && !symbol->is_hidden) return reinterpret_cast<void*>(symbol->address);
  }
  return nullptr;
}

void* FindInLibrary(const HostedProgram& module, void* library, const std::string& name) {
  void* const found = dlsym(library, name.c_str());
  if (found == nullptr) return nullptr;
  const auto& overrides = module.host.overrides();
  if (const auto own = overrides.find(name); own != overrides.end()) return own->second;
  if (module.host.FindInLibraries(name)) return found;
  return dlsym(RTLD_DEFAULT, name.c_str());
}

// Whether `user` needs the module itself: those that it needs name what they need, and it names
// that, too.
bool NeedsItself(const HostedProgram& user, const HostedProgram& module) {
  const GuestTable& guests = module.parent->guests;
  bool names_it = false;
  for (const std::string& name : user.needed) {
    const HostedProgram* const needed = guests.Find(name);
    names_it = names_it || needed == &module;
    if (needed == nullptr || needed == &module || needed == &user) continue;
    const auto is_it = [&](const std::string& other) { return guests.Find(other) == &module; };
    if (std::any_of(needed->needed.begin(), needed->needed.end(), is_it)) return false;
  }
  return names_it;
}

// The same of the libraries that come behind the module, which is one of these: breadth first, each
// where it is needed first.
void* FindInLibrariesBehind(const std::vector<const HostedProgram*>& modules,
                            const HostedProgram& module, const std::string& name) {
  bool is_behind = modules.front() == &module;
  std::vector<void*> before;
  for (const HostedProgram* const other : modules) {
    is_behind = is_behind || NeedsItself(*other, module);
    for (void* const library : other->libraries) {
      if (!is_behind) before.push_back(library);
      if (std::find(before.begin(), before.end(), library) != before.end()) continue;
      if (void* const found = FindInLibrary(*other, library, name)) return found;
    }
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GuestLink>> GuestLink::Link(const HostedProgram* program,
                                                           std::unique_ptr<ModuleArena>& arena,
                                                           const GuestLinkRequest& request) {
  std::unique_ptr<GuestLink> link(new GuestLink(program, std::move(arena)));
  absl::Status linked = link->LinkObjects(request);
  if (linked.ok()) return link;
  arena = link->TakeArena();
  return linked;
}

absl::Status GuestLink::LinkObjects(const GuestLinkRequest& request) {
  if (absl::Status made = MakeHandle(); !made.ok()) return made;
  object_ = std::make_unique<HostedProgram>(program_, arena_.get(), overrides_, handle_);
  object_->index.SetObject(request.name);
  object_->version = request.version;
  object_->needed = request.needed;
  object_->brought_by = request.brought_by;
  object_->file = request.file;
  if (!request.lazy_name.empty()) {
    lazy_ = std::make_unique<LazyBindings>(arena_.get(), request.lazy_name);
    object_->lazy = lazy_.get();
  }
  if (absl::Status opened = OpenLibraries(request.libraries); !opened.ok()) return opened;
  for (const std::string& name : request.switches) {
    const std::optional<uintptr_t> function = object_->host.Find(name);
    if (!function) continue;
    object_->host.Override(name, EntryOfSwitch(name, reinterpret_cast<void*>(*function)));
  }
  if (absl::Status loaded = LoadObjects(*object_, request.objects); !loaded.ok()) return loaded;
  for (const MemoryKind kind : {MemoryKind::kConstant, MemoryKind::kData}) {
    for (const CodeRange& range : arena_->RangesOf(kind)) object_->data.push_back(range);
  }
  return absl::OkStatus();
}

int GuestLink::AddThreadEnd(void (*destructor)(void*), void* object, void* handle) {
  const GuestLink& link = **static_cast<GuestLink**>(handle);
  ThreadEnd* end;
  {
    const OwnAllocations own;
    end = new ThreadEnd{destructor, object, link.thread_ends_};
  }
  // Relaxed: who closes the module has no order with a thread that just comes to use it.
  link.thread_ends_->fetch_add(1, std::memory_order_relaxed);
  return __cxa_thread_atexit(&RunThreadEnd, end, handle);
}

absl::Status GuestLink::MakeHandle() {
  absl::StatusOr<uintptr_t> handle =
      arena_->Allocate(MemoryKind::kData, sizeof(void*), sizeof(void*));
  if (!handle.ok()) return handle.status();
  handle_ = reinterpret_cast<void*>(*handle);
  *static_cast<GuestLink**>(handle_) = this;
  struct Thunk {
    const char* name;
    HandleArgument argument;
    void* target;
  };
  const Thunk thunks[] = {
      {"atexit", HandleArgument::kThirdAfterNull, reinterpret_cast<void*>(&__cxa_atexit)},
      {"at_quick_exit", HandleArgument::kSecond, reinterpret_cast<void*>(&__cxa_at_quick_exit)},
      {"pthread_atfork", HandleArgument::kFourth, reinterpret_cast<void*>(&__register_atfork)}};
  const size_t size = kThunkSize * std::size(thunks);
  absl::StatusOr<uintptr_t> text = arena_->Allocate(MemoryKind::kText, size, kThunkSize);
  if (!text.ok()) return text.status();
  overrides_ = program_->host.overrides();
  overrides_.erase("__dso_handle");
  overrides_["__cxa_thread_atexit"] = reinterpret_cast<void*>(&AddThreadEnd);
  uintptr_t at = *text;
  for (const Thunk& thunk : thunks) {
    WriteThunk(at, thunk.argument, handle_, thunk.target);
    overrides_[thunk.name] = reinterpret_cast<void*>(at);
    at += kThunkSize;
  }
  thunks_ = {CodeAddress{*text}, CodeAddress{*text + size}};
  UnwindTable::Get().AddStubRegion(thunks_);
  return absl::OkStatus();
}

absl::Status GuestLink::OpenLibraries(const std::vector<std::string>& libraries) {
  for (const std::string& name : libraries) {
    void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return absl::FailedPreconditionError(dlerror());
    object_->libraries.push_back(library);
    object_->host.AddLibrary(library);
  }
  for (const HostedProgram* const needed : program_->guests.Scope(*object_)) {
    if (needed == object_.get()) continue;
    for (void* const library : needed->libraries) object_->host.AddLibrary(library);
  }
  return absl::OkStatus();
}

GuestLink::~GuestLink() {
  std::vector<void*> libraries;
  if (object_ != nullptr) {
    program_->guests.ForgetUser(*object_);
    libraries = object_->libraries;
    for (const auto& [offset, size] : object_->tls_ranges) object_->tls->Release(offset, size);
  }
  object_.reset();  // takes its unwind rows back
  if (!thunks_.empty()) UnwindTable::Get().RemoveRegion(thunks_);
  for (void* const library : libraries) dlclose(library);
}

std::unique_ptr<ModuleArena> GuestLink::TakeArena() { return std::move(arena_); }

absl::Status GuestLink::RestoreData(const ModuleArena::Contents& contents) {
  for (const auto& [offset, size] : object_->tls_ranges) object_->tls->Publish(offset, size);
  return arena_->Restore(contents);
}

void GuestLink::RunInitializers(int argc, char** argv, char** envp) {
  is_finalized_.store(false, std::memory_order_relaxed);
  object_->initializers.RunModule(
      argc, argv, envp,
      {.function = [](void* self) { static_cast<GuestLink*>(self)->EndModule(); },
       .argument = this,
       .dso_handle = handle_});
}

void GuestLink::EndModule() {
  if (!is_finalized_.load(std::memory_order_relaxed)) program_->ending.Add(object_.get());
}

void GuestLink::RunFinalizers() {
  is_finalized_.store(true, std::memory_order_relaxed);
  // A library's own function that calls __cxa_finalize stands between the two kinds.
  object_->initializers.RunDestructorsWithoutPriority();
  __cxa_finalize(handle_);
  // Exit may have come to the module before, and what it runs then closes it.
  program_->ending.Remove(object_.get());
  object_->initializers.RunDestructors();
}

absl::Status GuestLink::BindAll() const {
  return lazy_ == nullptr ? absl::OkStatus() : lazy_->BindAll();
}

void* GuestLink::FindInLibraries(const HostedProgram& module, const std::string& name) {
  for (void* const library : module.libraries) {
    if (void* const found = FindInLibrary(module, library, name)) return found;
  }
  return nullptr;
}

void* GuestLink::FindSymbol(const HostedProgram& module, const std::string& name) {
  const std::vector<const HostedProgram*> scope = module.parent->guests.Scope(module);
  void* const exported = FindExported(scope, name);
  if (exported != nullptr) return exported;
  for (const HostedProgram* const one : scope) {
    if (void* const found = FindInLibraries(*one, name)) return found;
  }
  return nullptr;
}

void* GuestLink::FindNext(const HostedProgram& module, const std::string& name, void* of_library) {
  const std::vector<const HostedProgram*> scope = module.parent->guests.ScopeOfBringer(module);
  const auto own = std::find(scope.begin(), scope.end(), &module);
  void* const exported = FindExported({own + 1, scope.end()}, name);
  if (exported != nullptr) return exported;
  if (of_library != nullptr) return of_library;
  return FindInLibrariesBehind(scope, module, name);
}

absl::Status GuestLink::AddParameters(ModuleParameters& parameters) const {
  for (const auto& [begin, size] : object_->parameter_tables) {
    absl::Status added = LinkedData::AddParameters(begin, size, parameters);
    if (!added.ok()) return added;
  }
  return absl::OkStatus();
}

CodeRange GuestLink::FindText(CodeAddress entry) const { return FindTextFrom(*object_, entry); }

bool GuestLink::HasStub(CodeAddress entry) const {
  const HostedSymbol* const own = object_->index.FindEntry(entry);
  return own != nullptr && own->slot != nullptr;
}

std::vector<FunctionSite> GuestLink::UnitFunctions() const {
  return mend::jit::UnitFunctions(*object_);
}

absl::StatusOr<uintptr_t> GuestLink::NamedPointer(const std::string& name) const {
  const HostedSymbol* const symbol = object_->index.FindGlobal(name);
  if (symbol == nullptr) return uintptr_t{0};
  if (symbol->is_function || symbol->size != sizeof(uintptr_t) ||
      !Holds(symbol->address, sizeof(uintptr_t))) {
    return absl::InvalidArgumentError(absl::StrCat("EINVAL: ", name, " is no pointer"));
  }
  uintptr_t value = 0;
  memcpy(&value, reinterpret_cast<const void*>(symbol->address), sizeof(value));
  return value;
}

absl::StatusOr<uintptr_t> GuestLink::NamedFunction(const std::string& name) const {
  absl::StatusOr<uintptr_t> pointer = NamedPointer(name);
  if (!pointer.ok() || *pointer == 0) return pointer;
  for (const CodeRange& range : arena_->text()) {
    if (range.Contains(CodeAddress{*pointer})) return pointer;
  }
  return absl::InvalidArgumentError(absl::StrCat("EINVAL: ", name, " leads out of the module"));
}

}  // namespace mend::jit
