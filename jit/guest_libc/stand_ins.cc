#include "jit/guest_libc/stand_ins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <new>
#include <string_view>
#include <utility>

#include "jit/guest_libc/own_heap.h"
#include "runtime/base/own_allocations.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/format/stand_ins.h"
#include "runtime/safepoint/blocked_region.h"
#include "runtime/safepoint/thread_record.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/safepoint/thread_state.h"

extern "C" {
// The executable's, where patchc has found anything that needs one.
extern mend::StandInTable mend_stand_ins __attribute__((weak));
}

namespace mend::jit {
namespace {

constexpr size_t kPage = 4096;
constexpr int kExitRefusedToRun = 126;

struct Stretch {
  StandIn* first;
  StandIn* last;
  StandIn* begin() const { return first; }
  StandIn* end() const { return last; }
};
Stretch StandIns() {
  if (&mend_stand_ins == nullptr) return {nullptr, nullptr};
  return {mend_stand_ins.begin, mend_stand_ins.end};
}

// As stand_in_entry.S has it.
static_assert(offsetof(ThreadRecord, activity) == 0 && sizeof(Activity) == 4 &&
              static_cast<int>(Activity::kRunning) == 2);

// Whether the caller is a thread of the program's that allocates for the program.
bool AllocatesForProgram() {
  return ThreadRegistry::CurrentRecord() != nullptr && mend_own_allocations == 0;
}

// Whether the caller is below a call that may sleep (getline, fopen, getaddrinfo), for which it is
// in the coordinator's sight. What it calls of the program is hosted code, which must not run
// there.
bool IsInBlockedRegion() {
  const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  return record != nullptr && record->activity.Get() != Activity::kRunning;
}

// Calls what may be the program's, out of a region that the caller is in.
template <typename Function, typename... Arguments>
auto CallProgram(Function* function, Arguments... arguments) {
  if (!IsInBlockedRegion()) return function(arguments...);
  const SignalScope outside;
  return function(arguments...);
}

// For good, where what is called does not return to mend: the rest of the call that may sleep runs
// as if nobody had told of it.
void LeaveBlockedRegion() {
  ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (record->AwaitUnclaimed() == Activity::kBlocked) internal::LeaveBlockedSlowPath(record);
}

// --- functions that take blocks ---

// Of kBlockTakers.
enum TakerNumber : size_t { kFree, kRealloc, kReallocArray, kUsableSize, kFirstDelete };

constexpr size_t kTakerCount = std::size(kBlockTakers);

// What the name means for blocks that are not mend's: the program's function, or a library's. Null
// until the program is ready.
constinit std::atomic<void*> takers[kTakerCount];
constinit std::atomic<void*> program_malloc{nullptr};

// The program's; null until it is ready, or where it does not replace malloc.
void* (*ProgramMalloc())(size_t) {
  return reinterpret_cast<void* (*)(size_t)>(program_malloc.load(std::memory_order_relaxed));
}

template <typename Function>
Function* Taker(size_t number) {
  void* taker = takers[number].load(std::memory_order_relaxed);
  // A block from before the program that is not mend's is a library's.
  if (taker == nullptr) [[unlikely]] {
    taker = FindBehindProgram(kBlockTakers[number].data());
  }
  return reinterpret_cast<Function*>(taker);
}

// Sizes, alignments and the like come in registers, and are handed on unread.
using Release = void(void* block, uintptr_t second, uintptr_t third);

// A block of the program's that was let go where the program's functions cannot be called.
struct Deferred {
  Deferred* next;
  size_t taker;
  void* block;
  uintptr_t second;
  uintptr_t third;
};
constinit std::atomic<Deferred*> deferred{nullptr};

void Defer(size_t taker, void* block, uintptr_t second, uintptr_t third) {
  void* const memory = OwnHeap::Allocate(sizeof(Deferred));
  if (memory == nullptr) return;  // it is lost, for want of memory
  Deferred* const last = deferred.load(std::memory_order_relaxed);
  auto* const added = new (memory) Deferred{last, taker, block, second, third};
  // ORDER[O3]: what was done to the block, and the entry, before the list; pairs with
  // ReleaseDeferred.
  while (!deferred.compare_exchange_weak(added->next, added, std::memory_order_release)) {
  }
}

void ReleaseDeferred() {
  // ORDER[O3]: the list before its entries and blocks; pairs with Defer.
  Deferred* next = deferred.exchange(nullptr, std::memory_order_acquire);
  while (next != nullptr) {
    const Deferred done = *next;
    OwnHeap::Free(next);
    next = done.next;
    CallProgram(Taker<Release>(done.taker), done.block, done.second, done.third);
  }
}

// free and operator delete.
template <size_t number>
void ReleaseAny(void* block, uintptr_t second, uintptr_t third) {
  if (OwnHeap::Owns(block)) return OwnHeap::Free(block);
  if (!AllocatesForProgram()) {
    if (block == nullptr) return;
    if (takers[number].load(std::memory_order_relaxed) != nullptr) {
      return Defer(number, block, second, third);
    }
  }
  if (deferred.load(std::memory_order_relaxed) != nullptr) [[unlikely]] {
    ReleaseDeferred();
  }
  if (IsInBlockedRegion()) [[unlikely]] {
    return CallProgram(Taker<Release>(number), block, second, third);
  }
  [[clang::musttail]] return Taker<Release>(number)(block, second, third);
}

void* OwnMalloc(size_t size) {
  void* const block = OwnHeap::Allocate(size);
  if (block == nullptr) errno = ENOMEM;
  return block;
}

void* ResizeOwn(void* block, size_t size) {
  const size_t usable = OwnHeap::UsableSize(block);
  if (size <= usable && size >= usable / 2) return block;
  void* const moved = OwnMalloc(size);
  if (moved == nullptr) return nullptr;
  memcpy(moved, block, std::min(size, usable));
  OwnHeap::Free(block);
  return moved;
}

// mend's block becomes one of the program's.
void* MoveToProgram(void* block, size_t size) {
  void* const moved = CallProgram(ProgramMalloc(), size);
  if (moved == nullptr) return nullptr;
  memcpy(moved, block, std::min(size, OwnHeap::UsableSize(block)));
  OwnHeap::Free(block);
  return moved;
}

void* ReallocAny(void* block, size_t size) {
  const bool for_program = AllocatesForProgram() && ProgramMalloc() != nullptr;
  if (block == nullptr && !for_program) return OwnMalloc(size);
  if (!OwnHeap::Owns(block)) {
    // A block of the program's on a thread of mend's would be moved here and now; there is none:
    // what mend's threads let grow they have allocated themselves.
    return CallProgram(Taker<void*(void*, size_t)>(kRealloc), block, size);
  }
  if (size == 0) {
    OwnHeap::Free(block);
    return nullptr;
  }
  return for_program ? MoveToProgram(block, size) : ResizeOwn(block, size);
}

void* ReallocArrayAny(void* block, size_t count, size_t size) {
  if (block != nullptr && !OwnHeap::Owns(block)) {
    return CallProgram(Taker<void*(void*, size_t, size_t)>(kReallocArray), block, count, size);
  }
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return nullptr;
  }
  return ReallocAny(block, bytes);
}

size_t UsableSizeOfAny(void* block) {
  if (block == nullptr) return 0;
  if (OwnHeap::Owns(block)) return OwnHeap::UsableSize(block);
  return CallProgram(Taker<size_t(void*)>(kUsableSize), block);
}

// --- functions that give memory, for mend ---

void* OwnCalloc(size_t count, size_t size) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return nullptr;
  }
  void* const block = OwnMalloc(bytes);
  if (block != nullptr) memset(block, 0, bytes);
  return block;
}

void* OwnAligned(size_t alignment, size_t size) {
  // As libc has it, the next power of two; there is none that is larger.
  if (alignment > SIZE_MAX / 2 + 1) {
    errno = EINVAL;
    return nullptr;
  }
  void* const block =
      OwnHeap::Allocate(size, std::bit_ceil(std::max(alignment, OwnHeap::kAlignment)));
  if (block == nullptr) errno = ENOMEM;
  return block;
}

int OwnPosixMemalign(void** block, size_t alignment, size_t size) {
  if (alignment < sizeof(void*) || !std::has_single_bit(alignment)) return EINVAL;
  void* const allocated = OwnHeap::Allocate(size, std::max(alignment, OwnHeap::kAlignment));
  if (allocated == nullptr) return ENOMEM;
  *block = allocated;
  return 0;
}

void* OwnValloc(size_t size) { return OwnAligned(kPage, size); }
void* OwnPvalloc(size_t size) {
  if (size > SIZE_MAX - kPage) {
    errno = ENOMEM;
    return nullptr;
  }
  return OwnAligned(kPage, (size + kPage - 1) & ~(kPage - 1));
}

void* OwnNewNothrow(size_t size) { return OwnHeap::Allocate(size); }
void* OwnNewAlignedNothrow(size_t size, size_t alignment) { return OwnAligned(alignment, size); }

void* OwnNew(size_t size) {
  void* const block = OwnHeap::Allocate(size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

void* OwnNewAligned(size_t size, size_t alignment) {
  void* const block = OwnAligned(alignment, size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

// --- the table of both ---

template <size_t... offsets>
auto MakeTakers(std::index_sequence<offsets...> /*unused*/) {
  struct Functions {
    void* functions[kTakerCount];
  };
  return Functions{{reinterpret_cast<void*>(&ReleaseAny<kFree>),
                    reinterpret_cast<void*>(&ReallocAny), reinterpret_cast<void*>(&ReallocArrayAny),
                    reinterpret_cast<void*>(&UsableSizeOfAny),
                    reinterpret_cast<void*>(&ReleaseAny<kFirstDelete + offsets>)...}};
}

// kTakerCount: the name is not of a function that takes blocks.
size_t TakerNumberOf(std::string_view name) {
  const auto* const found = std::find(std::begin(kBlockTakers), std::end(kBlockTakers), name);
  return static_cast<size_t>(found - std::begin(kBlockTakers));
}

void* TakerFunction(size_t number) {
  return MakeTakers(std::make_index_sequence<kTakerCount - kFirstDelete>()).functions[number];
}

struct Giver {
  const char* name;
  void* own;  // mend's
};

const Giver givers[] = {
    {"malloc", reinterpret_cast<void*>(&OwnMalloc)},
    {"calloc", reinterpret_cast<void*>(&OwnCalloc)},
    {"aligned_alloc", reinterpret_cast<void*>(&OwnAligned)},
    {"memalign", reinterpret_cast<void*>(&OwnAligned)},
    {"posix_memalign", reinterpret_cast<void*>(&OwnPosixMemalign)},
    {"valloc", reinterpret_cast<void*>(&OwnValloc)},
    {"pvalloc", reinterpret_cast<void*>(&OwnPvalloc)},
    {"_Znwm", reinterpret_cast<void*>(&OwnNew)},
    {"_Znam", reinterpret_cast<void*>(&OwnNew)},
    {"_ZnwmRKSt9nothrow_t", reinterpret_cast<void*>(&OwnNewNothrow)},
    {"_ZnamRKSt9nothrow_t", reinterpret_cast<void*>(&OwnNewNothrow)},
    {"_ZnwmSt11align_val_t", reinterpret_cast<void*>(&OwnNewAligned)},
    {"_ZnamSt11align_val_t", reinterpret_cast<void*>(&OwnNewAligned)},
    {"_ZnwmSt11align_val_tRKSt9nothrow_t", reinterpret_cast<void*>(&OwnNewAlignedNothrow)},
    {"_ZnamSt11align_val_tRKSt9nothrow_t", reinterpret_cast<void*>(&OwnNewAlignedNothrow)},
};

constexpr size_t kGiverCount = std::size(givers);

// What the program, or a library behind it, has for the name.
constinit std::atomic<void*> program_givers[kGiverCount];

// kGiverCount: the name is not of a function that gives memory.
size_t GiverNumberOf(const char* name) {
  const auto* const found =
      std::find_if(std::begin(givers), std::end(givers),
                   [name](const Giver& giver) { return strcmp(giver.name, name) == 0; });
  return static_cast<size_t>(found - std::begin(givers));
}

// What a thread calls that is in a blocked region. All of these functions have three words at most.
template <size_t number>
uintptr_t GiveOutsideOfRegion(uintptr_t first, uintptr_t second, uintptr_t third) {
  const SignalScope outside;
  void* const function = program_givers[number].load(std::memory_order_relaxed);
  return reinterpret_cast<uintptr_t (*)(uintptr_t, uintptr_t, uintptr_t)>(function)(first, second,
                                                                                    third);
}

template <size_t... numbers>
void* GiverOutsideOfRegion(size_t number, std::index_sequence<numbers...> /*unused*/) {
  void* const functions[] = {reinterpret_cast<void*>(&GiveOutsideOfRegion<numbers>)...};
  return functions[number];
}

// --- what a stand-in leads to ---

[[noreturn]] void RefuseEarlyCallback(const char* name) {
  const char* const parts[] = {
      "mend: cannot host the program: a library calls '", name,
      "' of the program from a constructor, before the program is there (let the library call it "
      "later, when main asks for it)\n"};
  for (const char* const part : parts) {
    RawSyscall(SYS_write, STDERR_FILENO, reinterpret_cast<long>(part),
               static_cast<long>(strlen(part)));
  }
  RawSyscall(SYS_exit_group, kExitRefusedToRun);
  __builtin_unreachable();
}

// For the program, whose thread is in a blocked region.
void* OutsideOfRegion(const StandIn& stand_in, void* program) {
  if (stand_in.kind == StandInKind::kAllocation) {
    const size_t giver = GiverNumberOf(stand_in.name);
    if (giver < kGiverCount) {
      return GiverOutsideOfRegion(giver, std::make_index_sequence<kGiverCount>());
    }
    // The others look for themselves.
    if (TakerNumberOf(stand_in.name) < kTakerCount) return program;
  }
  LeaveBlockedRegion();
  return program;
}

// For all but the program.
void* Behind(StandIn& stand_in) {
  void* next = stand_in.next.load(std::memory_order_relaxed);
  if (next != nullptr) return next;
  if (stand_in.kind == StandInKind::kAllocation) {
    const size_t taker = TakerNumberOf(stand_in.name);
    const size_t giver = GiverNumberOf(stand_in.name);
    if (taker < kTakerCount) {
      next = TakerFunction(taker);
    } else if (giver < kGiverCount) {
      next = givers[giver].own;
    }
  }
  if (next == nullptr) next = FindBehindProgram(stand_in.name);
  stand_in.next.store(next, std::memory_order_relaxed);
  return next;
}

}  // namespace

bool HasStandIn(const char* name) {
  const Stretch all = StandIns();
  return std::any_of(all.begin(), all.end(),
                     [name](const StandIn& one) { return strcmp(one.name, name) == 0; });
}

void* FindBehindProgram(const char* name) {
  return &mend_stand_ins == nullptr ? nullptr : mend_stand_ins.find_next(name);
}

std::map<std::string, void*> DefinitionsForMend() {
  std::map<std::string, void*> definitions;
  for (StandIn& stand_in : StandIns()) {
    if (stand_in.kind != StandInKind::kReplacement && stand_in.kind != StandInKind::kAllocation) {
      continue;
    }
    void* const behind = Behind(stand_in);
    if (behind != nullptr) definitions[stand_in.name] = behind;
  }
  return definitions;
}

std::map<std::string, void*> TakersOfBlocks() {
  std::map<std::string, void*> found;
  for (StandIn& stand_in : StandIns()) {
    if (stand_in.kind == StandInKind::kAllocation && TakerNumberOf(stand_in.name) < kTakerCount) {
      found[stand_in.name] = Behind(stand_in);
    }
  }
  return found;
}

std::vector<PlaceInExecutable> PlacesInExecutable() {
  std::vector<PlaceInExecutable> places;
  for (const StandIn& stand_in : StandIns()) {
    void* const place = stand_in.next.load(std::memory_order_relaxed);
    if (stand_in.kind != StandInKind::kPlace || place == nullptr) continue;
    places.push_back({stand_in.name, place, stand_in.size});
  }
  return places;
}

std::vector<std::string> NamesBoundAtStart() {
  std::vector<std::string> names;
  for (const StandIn& stand_in : StandIns()) {
    if (stand_in.kind == StandInKind::kCallback || stand_in.kind == StandInKind::kVariable) {
      names.emplace_back(stand_in.name);
    }
  }
  return names;
}

void ActivateStandIns(const ProgramLookup& lookup) {
  // Until all lead to the program, none does: one of its functions may call another.
  const OwnAllocations own;
  for (StandIn& stand_in : StandIns()) {
    if (stand_in.kind == StandInKind::kPlace || stand_in.kind == StandInKind::kVariable) continue;
    void* program = lookup(stand_in.name);
    if (stand_in.kind == StandInKind::kAllocation) {
      // What the program does not define is the libraries', as natively.
      if (program == nullptr) program = FindBehindProgram(stand_in.name);
      const size_t taker = TakerNumberOf(stand_in.name);
      if (taker < kTakerCount) {
        takers[taker].store(program, std::memory_order_relaxed);
        program = TakerFunction(taker);
      }
      const size_t giver = GiverNumberOf(stand_in.name);
      if (giver < kGiverCount) program_givers[giver].store(program, std::memory_order_relaxed);
      if (strcmp(stand_in.name, "malloc") == 0) {
        program_malloc.store(program, std::memory_order_relaxed);
      }
    }
    stand_in.program.store(program, std::memory_order_relaxed);
  }
}

void* AllocateForProgram(size_t size) {
  auto* const allocate = ProgramMalloc();
  return allocate != nullptr && AllocatesForProgram() ? allocate(size) : malloc(size);
}

}  // namespace mend::jit

// Called by mend_stand_in: the function to go to.
extern "C" __attribute__((visibility("hidden"))) void* MendChooseDefinition(
    mend::StandIn* stand_in) {
  using mend::StandInKind;
  void* const program = stand_in->program.load(std::memory_order_relaxed);
  if (stand_in->kind == StandInKind::kCallback) {
    if (program == nullptr) mend::jit::RefuseEarlyCallback(stand_in->name);
    if (mend::jit::IsInBlockedRegion()) mend::jit::LeaveBlockedRegion();
    return program;
  }
  if (program != nullptr) {
    const bool for_program =
        stand_in->kind == StandInKind::kAllocation
            ? mend::jit::AllocatesForProgram()
            : mend_own_allocations == 0 && !mend::ThreadRegistry::Get().IsRuntimeThread();
    if (for_program) {
      return mend::jit::IsInBlockedRegion() ? mend::jit::OutsideOfRegion(*stand_in, program)
                                            : program;
    }
  }
  return mend::jit::Behind(*stand_in);
}
