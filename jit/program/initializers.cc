#include "jit/program/initializers.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <tuple>
#include <utility>

extern "C" int __cxa_atexit(void (*function)(void*), void* argument, void* dso) noexcept;

namespace mend::jit {
namespace {

// Sections without a number come after all numbered ones.
constexpr uint32_t kLastPriority = 65536;

struct SectionKind {
  std::string_view prefix;
  int phase;  // 0 preinit, 1 init, 2 fini
  bool legacy;
};
constexpr SectionKind kKinds[] = {
    {".preinit_array", 0, false}, {".init_array", 1, false}, {".ctors", 1, true},
    {".fini_array", 2, false},    {".dtors", 2, true},
};

const SectionKind* FindKind(std::string_view name) {
  for (const SectionKind& kind : kKinds) {
    if (name.substr(0, kind.prefix.size()) != kind.prefix) continue;
    if (name.size() == kind.prefix.size() || name[kind.prefix.size()] == '.') return &kind;
  }
  return nullptr;
}

uint32_t PriorityOf(std::string_view name, const SectionKind& kind) {
  if (name.size() <= kind.prefix.size() + 1) return kLastPriority;
  const std::string_view digits = name.substr(kind.prefix.size() + 1);
  uint32_t number = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec != std::errc()) {
    return kLastPriority;
  }
  number = std::min(number, kLastPriority - 1);
  // .ctors.N are numbered the other way round: the largest number runs first.
  return kind.legacy ? kLastPriority - 1 - number : number;
}

void CallAll(const std::vector<uintptr_t>& functions) {
  for (const uintptr_t function : functions) reinterpret_cast<void (*)()>(function)();
}

void StartAll(const std::vector<uintptr_t>& functions, int argc, char** argv, char** envp) {
  for (const uintptr_t function : functions) {
    reinterpret_cast<void (*)(int, char**, char**)>(function)(argc, argv, envp);
  }
}

// The functions of one load's destructors; owned by the exit handler.
void RunFini(void* argument) {
  CallAll(*std::unique_ptr<std::vector<uintptr_t>>(static_cast<std::vector<uintptr_t>*>(argument)));
}

bool IsFunction(uintptr_t entry) { return entry != 0 && entry != ~uintptr_t{0}; }

}  // namespace

bool IsInitializerSection(std::string_view name) { return FindKind(name) != nullptr; }

void Initializers::Add(std::string_view section, uint32_t unit, uintptr_t begin, size_t count) {
  const SectionKind* kind = FindKind(section);
  if (kind == nullptr) return;
  arrays_.push_back({.phase = static_cast<Phase>(kind->phase),
                     .priority = PriorityOf(section, *kind),
                     .unit = unit,
                     .backwards = kind->legacy,
                     .begin = begin,
                     .count = count});
}

void Initializers::RunResolvers() {
  const std::vector<Resolver> resolvers = std::exchange(resolvers_, {});
  for (const Resolver& resolver : resolvers) {
    *resolver.slot = reinterpret_cast<uintptr_t (*)()>(resolver.function)();
  }
}

Initializers::Taken Initializers::TakeFunctions() {
  std::vector<Array> arrays = std::exchange(arrays_, {});
  std::sort(arrays.begin(), arrays.end(), [](const Array& a, const Array& b) {
    return std::tie(a.phase, a.priority, a.unit, a.begin) <
           std::tie(b.phase, b.priority, b.unit, b.begin);
  });
  Taken taken;
  for (const Array& array : arrays) {
    const bool is_end = array.phase == Phase::kFini;
    Functions& target = is_end ? taken.destructors : taken.constructors;
    const size_t before = target.size();
    const auto* functions = reinterpret_cast<const uintptr_t*>(array.begin);
    for (size_t i = 0; i < array.count; ++i) {
      const uintptr_t function = functions[array.backwards ? array.count - 1 - i : i];
      if (IsFunction(function)) target.push_back(function);
    }
    if (is_end && array.priority == kLastPriority) taken.without_priority += target.size() - before;
  }
  std::reverse(taken.destructors.begin(), taken.destructors.end());
  return taken;
}

void Initializers::Run(int argc, char** argv, char** envp) {
  RunResolvers();
  Taken taken = TakeFunctions();
  // Registered before any constructor runs, so that these run after all that hosted code registers.
  if (!taken.destructors.empty()) {
    __cxa_atexit(RunFini, new Functions(std::move(taken.destructors)), nullptr);
  }
  StartAll(taken.constructors, argc, argv, envp);
}

void Initializers::RunModule(int argc, char** argv, char** envp, const End& end) {
  RunResolvers();
  Taken taken = TakeFunctions();
  destructors_ = std::move(taken.destructors);
  without_priority_ = taken.without_priority;
  if (!destructors_.empty()) __cxa_atexit(end.function, end.argument, end.dso_handle);
  StartAll(taken.constructors, argc, argv, envp);
}

void Initializers::RunDestructors() {
  without_priority_ = 0;
  CallAll(std::exchange(destructors_, {}));
}

void Initializers::RunDestructorsWithoutPriority() {
  const auto end =
      destructors_.begin() + static_cast<ptrdiff_t>(std::exchange(without_priority_, 0));
  const Functions first(destructors_.begin(), end);
  destructors_.erase(destructors_.begin(), end);
  CallAll(first);
}

void Initializers::Discard() {
  arrays_.clear();
  resolvers_.clear();
}

}  // namespace mend::jit
