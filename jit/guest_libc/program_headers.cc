// dl_iterate_phdr: hosted memory is in no object that the loader knows. Conservative garbage
// collectors (libgc) take the segments they are told of for all there is of static data, and freed
// what only a hosted variable led to; profilers and allocators ask whose an address is.
//
// The objects come as natively, the hosted program's and its modules' memory behind them, as one
// more object. It has segments and nothing else: neither a dynamic section nor unwind data.
#include <elf.h>
#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/next_function.h"
#include "jit/guest_libc/text_names.h"

namespace mend::jit {
namespace {

// Set while the process has one thread.
constinit std::atomic<HostedMemoryHook> hosted_memory{nullptr};

// How many segments an object has here; modules may have more, and get another object.
constexpr size_t kSegmentsMax = 32;

ElfW(Phdr) Segment(const MemoryRange& range) {
  ElfW(Phdr) segment = {};
  segment.p_type = PT_LOAD;
  segment.p_flags = ((range.protection & PROT_READ) != 0 ? PF_R : 0u) |
                    ((range.protection & PROT_WRITE) != 0 ? PF_W : 0u) |
                    ((range.protection & PROT_EXEC) != 0 ? PF_X : 0u);
  segment.p_vaddr = range.begin;  // dlpi_addr is 0
  segment.p_paddr = range.begin;
  segment.p_filesz = range.end - range.begin;
  segment.p_memsz = range.end - range.begin;
  segment.p_align = 1;
  return segment;
}

struct Counts {
  unsigned long long adds = 0;
  unsigned long long subs = 0;
};

struct Iteration {
  int (*callback)(dl_phdr_info*, size_t, void*);
  void* data;
  Counts counts;
};

[[maybe_unused]] int PassOn(dl_phdr_info* info, size_t size, void* argument) {
  auto& iteration = *static_cast<Iteration*>(argument);
  iteration.counts = {info->dlpi_adds, info->dlpi_subs};
  return iteration.callback(info, size, iteration.data);
}

// Calls visit(ranges, count) with all hosted memory, some ranges at a time, until it returns
// something else than 0; returns that.
template <typename Visit>
int VisitHosted(Visit visit) {
  const HostedMemoryHook hook = hosted_memory.load(std::memory_order_acquire);
  if (hook == nullptr) return 0;
  std::array<MemoryRange, kSegmentsMax> ranges;
  for (size_t from = 0;; from += ranges.size()) {
    const size_t count = hook(from, ranges.data(), ranges.size());
    const int result = count == 0 ? 0 : visit(ranges.data(), count);
    if (result != 0 || count < ranges.size()) return result;
  }
}

[[maybe_unused]] int IterateHosted(const Iteration& iteration) {
  return VisitHosted([&iteration](const MemoryRange* ranges, size_t count) {
    std::array<ElfW(Phdr), kSegmentsMax> segments;
    std::transform(ranges, ranges + count, segments.begin(), Segment);
    dl_phdr_info info = {};
    info.dlpi_name = "hosted";
    info.dlpi_phdr = segments.data();
    info.dlpi_phnum = static_cast<ElfW(Half)>(count);
    info.dlpi_adds = iteration.counts.adds;
    info.dlpi_subs = iteration.counts.subs;
    return iteration.callback(&info, sizeof info, iteration.data);
  });
}

}  // namespace

void SetHostedMemoryHook(HostedMemoryHook hook) {
  hosted_memory.store(hook, std::memory_order_release);
}

bool IsHostedMemory(uintptr_t address) {
  return VisitHosted([address](const MemoryRange* ranges, size_t count) {
           return std::any_of(ranges, ranges + count,
                              [address](const MemoryRange& range) {
                                return address >= range.begin && address < range.end;
                              })
                      ? 1
                      : 0;
         }) != 0;
}

}  // namespace mend::jit

// AddressSanitizer asks before its shadow memory is there, which this would need if it is compiled
// with it.
#if !__has_feature(address_sanitizer)
MEND_NEXT(int, dl_iterate_phdr, int (*)(dl_phdr_info*, size_t, void*), void*);
MEND_INTERPOSE(int, dl_iterate_phdr, int (*callback)(dl_phdr_info*, size_t, void*), void* data) {
  mend::jit::Iteration iteration{callback, data, {}};
  const int result = next_dl_iterate_phdr(&mend::jit::PassOn, &iteration);
  return result != 0 ? result : mend::jit::IterateHosted(iteration);
}
#endif
