#include "jit/program/lazy_binding.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "jit/program/hosted_program.h"
#include "jit/program/module_arena.h"
#include "runtime/base/uninterrupted.h"
#include "runtime/safepoint/unwind_table.h"

extern "C" {
// lazy_binding_stub.S. In: r11, a LazyBindings::Binding.
void mend_bind_lazily();
// What it calls.
__attribute__((visibility("hidden"))) uintptr_t MendBindLazily(void* binding);
}

namespace mend::jit {
namespace {

constexpr size_t kStubSize = 32;

// The dynamic linker's message and exit code.
[[noreturn]] void Missing(const std::string& file, const std::string& name) {
  const std::string message = absl::StrCat(program_invocation_name, ": symbol lookup error: ", file,
                                           ": undefined symbol: ", name, "\n");
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, message.data(), message.size());
  _exit(127);
}

// The displacement of an instruction that ends at `end`.
void PutDisplacement(uint8_t* at, uintptr_t end, const void* target) {
  const auto displacement = static_cast<int32_t>(reinterpret_cast<uintptr_t>(target) - end);
  memcpy(at, &displacement, sizeof(displacement));
}

}  // namespace

LazyBindings::~LazyBindings() {
  for (const auto& binding : bindings_) UnwindTable::Get().RemoveRegion(binding->stub);
}

absl::StatusOr<uintptr_t> LazyBindings::Stub(const HostedProgram& object, const std::string& name) {
  if (const auto known = Find(name)) return *known;
  const absl::StatusOr<uintptr_t> data =
      arena_->Allocate(MemoryKind::kData, sizeof(Words), alignof(Words));
  if (!data.ok()) return data.status();
  const absl::StatusOr<uintptr_t> text = arena_->Allocate(MemoryKind::kText, kStubSize, kStubSize);
  if (!text.ok()) return text.status();
  constexpr uintptr_t kBindAt = 6;
  constexpr uintptr_t kJumpAt = 16;
  auto* const words = new (reinterpret_cast<void*>(*data))
      Words{*text + kBindAt, reinterpret_cast<uintptr_t>(&mend_bind_lazily)};
  auto binding = std::make_unique<Binding>();
  *binding = {this, &object, name, words, {CodeAddress{*text}, CodeAddress{*text + kStubSize}}};

  auto* const code = reinterpret_cast<uint8_t*>(*text);
  static constexpr uint8_t kCode[kStubSize] = {
      0xff, 0x25, 0, 0, 0, 0, 0x49, 0xbb, 0,    0,    0,    0,    0,    0,    0,    0,
      0xff, 0x25, 0, 0, 0, 0, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc};
  std::copy(std::begin(kCode), std::end(kCode), code);
  PutDisplacement(code + 2, *text + kBindAt, &words->target);
  const void* const record = binding.get();
  memcpy(code + kBindAt + 2, static_cast<const void*>(&record), sizeof(record));
  PutDisplacement(code + kJumpAt + 2, *text + kJumpAt + 6, &words->resolver);
  UnwindTable::Get().AddStubRegion(binding->stub);
  bindings_.push_back(std::move(binding));
  return *text;
}

std::optional<uintptr_t> LazyBindings::Find(const std::string& name) const {
  const auto found = std::find_if(bindings_.begin(), bindings_.end(),
                                  [&name](const auto& binding) { return binding->name == name; });
  if (found == bindings_.end()) return std::nullopt;
  return (*found)->stub.begin.value;
}

std::optional<uintptr_t> LazyBindings::FindFunction(const Binding& binding) {
  const HostedProgram& object = *binding.object;
  return BindToGlobalModule(object, binding.name, object.host.Find(binding.name));
}

absl::Status LazyBindings::BindAll() const {
  std::vector<std::string> missing;
  for (const auto& binding : bindings_) {
    const std::optional<uintptr_t> found = FindFunction(*binding);
    if (found) {
      binding->words->target.store(*found, std::memory_order_release);
    } else {
      missing.push_back(Demangled(binding->name));
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("undefined symbol: ", absl::StrJoin(missing, ", ")));
}

uintptr_t LazyBindings::Bind(void* binding) {
  const int saved_errno = errno;
  // A handler of the program's may come to a function of its own that is not bound yet, or fork,
  // and would wait for the locks that this takes.
  const Uninterrupted uninterrupted;
  const auto& bound = *static_cast<const Binding*>(binding);
  const std::optional<uintptr_t> found = FindFunction(bound);
  if (!found) Missing(bound.bindings->file_, bound.name);
  bound.words->target.store(*found, std::memory_order_release);
  errno = saved_errno;
  return *found;
}

}  // namespace mend::jit

uintptr_t MendBindLazily(void* binding) { return mend::jit::LazyBindings::Bind(binding); }
