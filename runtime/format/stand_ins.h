// StandIn: a function of the executable (the launcher) that stands for one of the hosted program.
//
// A native executable comes first in the scope of its process: what it defines in place of a
// library's function, all libraries use, and what a library leaves undefined they find there. The
// launcher is that executable, and the program's functions are elsewhere. So patchc gives it, for
// each function that matters to a library which the program is linked with, a function of that
// name, which goes where the table says:
//
//   lea NAME's StandIn, %r11;  jmp *mend_stand_in
//
// mend_stand_in (jit/guest_libc) goes to the program's function, or to the one that the name would
// mean without the program: before the program is linked, and in the runtime's own threads.
//
// The layout is fixed: patchc writes it, assembler reads it.
#ifndef MEND_RUNTIME_FORMAT_STAND_INS_H_
#define MEND_RUNTIME_FORMAT_STAND_INS_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mend {

enum class StandInKind : uint64_t {
  kReplacement = 1,  // a function that a library defines, too
  kAllocation = 2,   // such a one that gives memory or takes it back
  kCallback = 3,     // a function that a library refers to, and none defines
  kVariable = 4,     // that a library defines, too: no code, the entry tells of it
  kPlace = 5,  // a variable that a library refers to, and none defines: it lies in the executable
};

struct StandIn {
  const char* name;
  StandInKind kind;
  std::atomic<void*> program;  // null until the program's is ready
  std::atomic<void*> next;     // null until it is asked for; of a kPlace: where it is
  uint64_t size;               // of a kPlace
};
static_assert(offsetof(StandIn, program) == 16 && offsetof(StandIn, next) == 24 &&
                  sizeof(StandIn) == 40,
              "patchc writes it, and assembler reads it");

// What the executable tells of them, under kStandInTable.
struct StandInTable {
  void* (*find_next)(const char* name);  // the first definition behind the executable's
  StandIn* begin;
  StandIn* end;
};
inline constexpr char kStandInTable[] = "mend_stand_ins";

// Functions that give memory or take it back. Whoever replaces one of C's replaces all ("Replacing
// malloc" in glibc's manual): a block of any may come to any.
inline constexpr std::string_view kAllocationFunctions[] = {
    "malloc",   "free",           "calloc", "realloc", "aligned_alloc",
    "memalign", "posix_memalign", "valloc", "pvalloc", "malloc_usable_size"};

constexpr bool IsAllocationFunction(std::string_view name) {
  for (const std::string_view function : kAllocationFunctions) {
    if (name == function) return true;
  }
  return name == "reallocarray";
}

// C++'s `operator new` and `operator delete`, of all kinds. Those that a program does not replace
// call those that it does.
inline constexpr std::array<std::string_view, 8> kNewOperators = {
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t"};
inline constexpr std::array<std::string_view, 12> kDeleteOperators = {
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t"};

template <size_t kFirst, size_t kSecond>
constexpr auto JoinNames(const std::array<std::string_view, kFirst>& first,
                         const std::array<std::string_view, kSecond>& second) {
  std::array<std::string_view, kFirst + kSecond> all;
  std::copy(second.begin(), second.end(), std::copy(first.begin(), first.end(), all.begin()));
  return all;
}

inline constexpr auto kAllocationOperators = JoinNames(kNewOperators, kDeleteOperators);

constexpr bool IsAllocationOperator(std::string_view name) {
  return std::find(kAllocationOperators.begin(), kAllocationOperators.end(), name) !=
         kAllocationOperators.end();
}

// Of both, those that take a block. C's come first, in an order that jit/guest_libc/stand_ins.cc
// knows.
inline constexpr auto kBlockTakers = JoinNames(
    std::array<std::string_view, 4>{"free", "realloc", "reallocarray", "malloc_usable_size"},
    kDeleteOperators);

constexpr bool TakesBlock(std::string_view name) {
  return std::find(kBlockTakers.begin(), kBlockTakers.end(), name) != kBlockTakers.end();
}

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_STAND_INS_H_
