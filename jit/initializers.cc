#include "jit/initializers.h"

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

// The functions of one load's destructors, last to first; owned by the exit handler.
void RunFini(void* argument) {
  const std::unique_ptr<std::vector<uintptr_t>> functions(
      static_cast<std::vector<uintptr_t>*>(argument));
  for (const uintptr_t function : *functions) reinterpret_cast<void (*)()>(function)();
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

void Initializers::Run(int argc, char** argv, char** envp, void* dso_handle) {
  std::vector<Array> arrays = std::move(arrays_);
  std::vector<Resolver> resolvers = std::move(resolvers_);
  arrays_.clear();
  resolvers_.clear();
  for (const Resolver& resolver : resolvers) {
    *resolver.slot = reinterpret_cast<uintptr_t (*)()>(resolver.function)();
  }
  std::sort(arrays.begin(), arrays.end(), [](const Array& a, const Array& b) {
    return std::tie(a.phase, a.priority, a.unit, a.begin) <
           std::tie(b.phase, b.priority, b.unit, b.begin);
  });

  std::vector<uintptr_t> starters;
  auto finishers = std::make_unique<std::vector<uintptr_t>>();
  for (const Array& array : arrays) {
    std::vector<uintptr_t>& target = array.phase == Phase::kFini ? *finishers : starters;
    const auto* functions = reinterpret_cast<const uintptr_t*>(array.begin);
    for (size_t i = 0; i < array.count; ++i) {
      const uintptr_t function = functions[array.backwards ? array.count - 1 - i : i];
      if (IsFunction(function)) target.push_back(function);
    }
  }
  // Registered before any constructor runs, so that these run after all that hosted code registers.
  if (!finishers->empty()) {
    std::reverse(finishers->begin(), finishers->end());
    __cxa_atexit(RunFini, finishers.release(), dso_handle);
  }
  for (const uintptr_t function : starters) {
    reinterpret_cast<void (*)(int, char**, char**)>(function)(argc, argv, envp);
  }
}

void Initializers::Discard() {
  arrays_.clear();
  resolvers_.clear();
}

}  // namespace mend::jit
