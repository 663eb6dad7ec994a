#include "jit/link/code_memory.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"
#include "runtime/base/failpoint.h"

namespace mend::jit {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kKiB = size_t{1} << 10;
constexpr size_t kMiB = size_t{1} << 20;
// Together less than 2 GiB, so that any two addresses are within a signed 32-bit displacement. Text
// comes last: the kernel maps downwards, so libraries tend to lie right above, and calls to them
// need no stub.
constexpr size_t kDataSize = 1024 * kMiB;
constexpr size_t kConstantSize = 192 * kMiB;
constexpr size_t kModuleSize = 256 * kMiB;
constexpr size_t kTextSize = 256 * kMiB;
constexpr size_t kReserved = kDataSize + kConstantSize + kModuleSize + kTextSize;
// Where the process may not map much (RLIMIT_AS) all are smaller, down to this part.
constexpr size_t kSmallestPart = 32;
// As much as is reserved, or this, is left to the program and to what operates it.
constexpr size_t kLeftAtLeast = 768 * kMiB;
// Permanent areas become accessible in steps of this size; untouched pages cost nothing.
constexpr size_t kGrowStep = 1 * kMiB;
constexpr size_t kTrampolineStep = 64 * kKiB;
constexpr size_t kTextGranule = 16;
constexpr uint8_t kInt3 = 0xcc;
// Entries whose pages are at most this far apart are written under one mprotect call: a call costs
// more than making a few more pages writable for the moment.
constexpr size_t kMergeDistance = 256 * kKiB;

constexpr size_t RoundUp(size_t value, size_t step) { return (value + step - 1) / step * step; }
constexpr uintptr_t PageOf(uintptr_t address) { return address & ~(kPage - 1); }

void* Reserve(uintptr_t wish, size_t size) {
  return mmap(reinterpret_cast<void*>(wish), size, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

bool MayReserve(size_t size) {
  void* const probe = Reserve(0, size);
  if (probe != MAP_FAILED) munmap(probe, size);
  return probe != MAP_FAILED;
}

absl::Status Protect(uintptr_t begin, size_t size, int protection) {
  if (size == 0) return absl::OkStatus();
  if (MEND_FAILPOINT("code_memory/protect")) {
    return absl::ResourceExhaustedError("the protection of hosted memory (failpoint)");
  }
  if (mprotect(reinterpret_cast<void*>(begin), size, protection) == 0) return absl::OkStatus();
  const int error = errno;
  return absl::ResourceExhaustedError(absl::StrCat("cannot change the protection of ", size,
                                                   " bytes of hosted memory: ", strerror(error)));
}

// Makes every thread of the process execute a serialising instruction before it runs on.
void SynchronizeCores() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0) return;
  // A process registers once; a kernel without the command leaves it at the architecture's own
  // guarantee for aligned 8-byte stores (measurements/entry-stub.md, 2).
  syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
}

struct PageSpan {
  uintptr_t begin = 0;
  uintptr_t end = 0;
};

// The pages of `addresses` (each `size` bytes long), merged where they are close together.
std::vector<PageSpan> SpansOf(std::vector<PageSpan> pieces) {
  std::sort(pieces.begin(), pieces.end(),
            [](const PageSpan& a, const PageSpan& b) { return a.begin < b.begin; });
  std::vector<PageSpan> spans;
  for (const PageSpan& piece : pieces) {
    const PageSpan pages{PageOf(piece.begin), RoundUp(piece.end, kPage)};
    if (!spans.empty() && pages.begin <= spans.back().end) {
      spans.back().end = std::max(spans.back().end, pages.end);
    } else {
      spans.push_back(pages);
    }
  }
  return spans;
}

// Makes the spans writable and executable; on failure none are.
absl::Status OpenForWriting(absl::Span<const PageSpan> spans) {
  for (size_t i = 0; i < spans.size(); ++i) {
    absl::Status opened =
        Protect(spans[i].begin, spans[i].end - spans[i].begin, PROT_READ | PROT_WRITE | PROT_EXEC);
    if (opened.ok()) continue;
    for (size_t j = 0; j < i; ++j) {
      Protect(spans[j].begin, spans[j].end - spans[j].begin, PROT_READ | PROT_EXEC).IgnoreError();
    }
    return opened;
  }
  return absl::OkStatus();
}

void CloseForWriting(absl::Span<const PageSpan> spans) {
  for (const PageSpan& span : spans) {
    // Taking a permission away needs no memory beyond what giving it took. Should it fail all the
    // same, the text stays writable, which is no reason to end the program.
    Protect(span.begin, span.end - span.begin, PROT_READ | PROT_EXEC).IgnoreError();
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<CodeMemory>> CodeMemory::Create(uintptr_t neighbour) {
  size_t part = 1;
  while (part < kSmallestPart &&
         !MayReserve(kReserved / part + std::max(kReserved / part, kLeftAtLeast))) {
    part *= 2;
  }
  const size_t size = kReserved / part;
  const uintptr_t wish = neighbour > size ? PageOf(neighbour - size) : 0;
  void* base = Reserve(wish, size);
  if (base == MAP_FAILED) {
    const int error = errno;
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot reserve ", size / kMiB, " MiB of addresses for hosted code: ", strerror(error)));
  }
  syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
  return std::unique_ptr<CodeMemory>(new CodeMemory(reinterpret_cast<uintptr_t>(base), part));
}

CodeMemory::CodeMemory(uintptr_t base, size_t part) : base_(base), size_(kReserved / part) {
  const auto place = [&base, part](Area& area, size_t bytes) {
    area.begin = base;
    area.end = base + bytes / part;
    base = area.end;
  };
  place(areas_[static_cast<size_t>(MemoryKind::kData)], kDataSize);
  place(areas_[static_cast<size_t>(MemoryKind::kConstant)], kConstantSize);
  free_pages_[base] = kModuleSize / part;
  base += kModuleSize / part;
  place(areas_[static_cast<size_t>(MemoryKind::kText)], kTextSize);
}

CodeMemory::~CodeMemory() { munmap(reinterpret_cast<void*>(base_), size_); }

absl::StatusOr<uintptr_t> CodeMemory::Allocate(MemoryKind kind, size_t size, size_t alignment) {
  MutexLock lock(&mu_);
  Area& area = areas_[static_cast<size_t>(kind)];
  // Areas begin at pages, and a datum's alignment may be more than that.
  const size_t offset = RoundUp(area.begin + area.used, alignment) - area.begin;
  const size_t capacity = area.end - area.begin;
  if (MEND_FAILPOINT("code_memory/allocate")) {
    return absl::ResourceExhaustedError("hosted memory (failpoint)");
  }
  if (size > capacity || offset > capacity - size) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "hosted memory is full: ", size, " more bytes do not fit into an area of ", capacity,
        size_ < kReserved ? ", which is smaller than usual because of RLIMIT_AS" : ""));
  }
  if (offset + size > area.opened) {
    const size_t opened = std::min(RoundUp(offset + size, kGrowStep), capacity);
    absl::Status status =
        Protect(area.begin + area.opened, opened - area.opened, PROT_READ | PROT_WRITE);
    if (!status.ok()) return status;
    area.opened = opened;
  }
  if (kind == MemoryKind::kText) {
    memset(reinterpret_cast<void*>(area.begin + area.used), kInt3, offset + size - area.used);
  }
  area.used = offset + size;
  return area.begin + offset;
}

absl::Status CodeMemory::Seal() {
  MutexLock lock(&mu_);
  for (const MemoryKind kind : {MemoryKind::kText, MemoryKind::kConstant}) {
    Area& area = areas_[static_cast<size_t>(kind)];
    // The next allocation begins on a page of its own.
    area.used = RoundUp(area.used, kPage);
    const int protection = kind == MemoryKind::kText ? PROT_READ | PROT_EXEC : PROT_READ;
    absl::Status status = Protect(area.begin + area.sealed, area.used - area.sealed, protection);
    if (!status.ok()) return status;
    area.sealed = area.used;
  }
  return absl::OkStatus();
}

CodeMemory::Mark CodeMemory::Position() const {
  MutexLock lock(&mu_);
  Mark mark;
  for (size_t i = 0; i < 3; ++i) mark.used[i] = areas_[i].used;
  return mark;
}

void CodeMemory::Rollback(const Mark& mark) {
  MutexLock lock(&mu_);
  for (size_t i = 0; i < 3; ++i) {
    Area& area = areas_[i];
    MEND_CHECK(mark.used[i] <= area.used, "what is rolled back was allocated after the mark");
    // A Seal that failed half-way has sealed the areas before.
    const size_t writable = mark.used[i] / kPage * kPage;
    if (area.sealed > writable) {
      absl::Status opened =
          Protect(area.begin + writable, area.sealed - writable, PROT_READ | PROT_WRITE);
      if (!opened.ok()) continue;  // lost, but nobody refers to it
      area.sealed = writable;
    }
    memset(reinterpret_cast<void*>(area.begin + mark.used[i]), 0, area.used - mark.used[i]);
    area.used = mark.used[i];
  }
}

// The first range that fits, so that what is in use lies close together. With the failpoint, the
// first one behind the `*last`: what was freed stays so for as long as possible, and whoever still
// runs it is found.
uintptr_t CodeMemory::TakeFit(FreeRanges& ranges, size_t size, uintptr_t* last) {
  const auto fits = [size](const FreeRanges::value_type& range) { return range.second >= size; };
  auto it = ranges.end();
  if (MEND_FAILPOINT("jit/reuse_text_late")) {
    it = std::find_if(ranges.lower_bound(*last), ranges.end(), fits);
  }
  if (it == ranges.end()) it = std::find_if(ranges.begin(), ranges.end(), fits);
  if (it == ranges.end()) return 0;
  const uintptr_t begin = it->first;
  const size_t rest = it->second - size;
  ranges.erase(it);
  if (rest != 0) ranges[begin + size] = rest;
  *last = begin + size;
  return begin;
}

void CodeMemory::GiveBack(FreeRanges& ranges, uintptr_t begin, size_t size) {
  auto next = ranges.lower_bound(begin);
  if (next != ranges.end() && begin + size == next->first) {
    size += next->second;
    next = ranges.erase(next);
  }
  if (next != ranges.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == begin) {
      previous->second += size;
      return;
    }
  }
  ranges[begin] = size;
}

absl::StatusOr<ModulePages> CodeMemory::AllocateModule(size_t text_size, size_t rest_size) {
  MutexLock lock(&mu_);
  return AllocateModuleLocked(text_size, rest_size);
}

absl::StatusOr<ModulePages> CodeMemory::AllocateModuleLocked(size_t text_size, size_t rest_size) {
  ModulePages pages;
  pages.text_size = RoundUp(text_size, kPage);
  pages.rest_size = RoundUp(rest_size, kPage);
  if (pages.size() == 0) return pages;
  if (MEND_FAILPOINT("code_memory/allocate")) {
    return absl::ResourceExhaustedError("pages for the text of another patch (failpoint)");
  }
  const uintptr_t begin = TakeFit(free_pages_, pages.size(), &last_page_);
  if (begin == 0) return absl::ResourceExhaustedError("no room for the text of another patch");
  pages.text = begin;
  pages.rest = begin + pages.text_size;
  absl::Status status = Protect(begin, pages.size(), PROT_READ | PROT_WRITE);
  if (!status.ok()) {
    GiveBack(free_pages_, begin, pages.size());
    return status;
  }
  memset(reinterpret_cast<void*>(pages.text), kInt3, pages.text_size);
  module_bytes_ += pages.size();
  if (pages.text_size == 0) module_data_[begin] = pages.rest_size;
  return pages;
}

absl::Status CodeMemory::ProtectModule(const ModulePages& pages) {
  MutexLock lock(&mu_);
  return ProtectModuleLocked(pages);
}

absl::Status CodeMemory::ProtectModuleLocked(const ModulePages& pages) {
  module_data_.erase(pages.rest);
  absl::Status text = Protect(pages.text, pages.text_size, PROT_READ | PROT_EXEC);
  if (!text.ok()) return text;
  return Protect(pages.rest, pages.rest_size, PROT_READ);
}

absl::Status CodeMemory::MakeModuleWritable(const ModulePages& pages) {
  return Protect(pages.rest, pages.rest_size, PROT_READ | PROT_WRITE);
}

void CodeMemory::FreeModule(const ModulePages& pages) {
  if (pages.size() == 0) return;
  MutexLock lock(&mu_);
  module_data_.erase(pages.rest);
  // Inaccessible: a call that should not have been possible is a crash at once, as with int3. The
  // protection first, so that no other thread's stray access brings pages back.
  Protect(pages.begin(), pages.size(), PROT_NONE).IgnoreError();
  madvise(reinterpret_cast<void*>(pages.begin()), pages.size(), MADV_DONTNEED);
  GiveBack(free_pages_, pages.begin(), pages.size());
  module_bytes_ -= pages.size();
}

void CodeMemory::ForEachRange(absl::FunctionRef<void(const MemoryRange&)> visit) const {
  constexpr std::pair<MemoryKind, int> kAreas[] = {{MemoryKind::kText, PROT_READ | PROT_EXEC},
                                                   {MemoryKind::kConstant, PROT_READ},
                                                   {MemoryKind::kData, PROT_READ | PROT_WRITE}};
  MutexLock lock(&mu_);
  for (const auto& [kind, protection] : kAreas) {
    const Area& area = areas_[static_cast<size_t>(kind)];
    if (area.used != 0) visit({area.begin, area.begin + area.used, protection});
  }
  for (const auto& [begin, size] : module_data_) {
    visit({begin, begin + size, PROT_READ | PROT_WRITE});
  }
}

absl::Status CodeMemory::GrowTrampolines(size_t bytes) {
  const size_t size = RoundUp(bytes, kTrampolineStep);
  absl::StatusOr<ModulePages> pages = AllocateModuleLocked(size, 0);
  if (!pages.ok()) return pages.status();
  absl::Status status = ProtectModuleLocked(*pages);
  if (!status.ok()) {
    GiveBack(free_pages_, pages->text, pages->text_size);
    module_bytes_ -= pages->size();
    return status;
  }
  GiveBack(free_trampolines_, pages->text, pages->text_size);
  return absl::OkStatus();
}

absl::StatusOr<CodeRange> CodeMemory::AllocateText(size_t bytes) {
  MutexLock lock(&mu_);
  const size_t size = RoundUp(std::max<size_t>(bytes, 1), kTextGranule);
  uintptr_t begin = TakeFit(free_trampolines_, size, &last_trampoline_);
  if (begin == 0) {
    absl::Status grown = GrowTrampolines(size);
    if (!grown.ok()) return grown;
    begin = TakeFit(free_trampolines_, size, &last_trampoline_);
  }
  return CodeRange{CodeAddress{begin}, CodeAddress{begin + size}};
}

void CodeMemory::ReleaseText(CodeRange range) {
  MutexLock lock(&mu_);
  const std::vector<PageSpan> spans = SpansOf({{range.begin.value, range.end.value}});
  if (OpenForWriting(spans).ok()) {
    memset(reinterpret_cast<void*>(range.begin.value), kInt3, range.size());
    CloseForWriting(spans);
  }
  GiveBack(free_trampolines_, range.begin.value, range.size());
}

absl::Status CodeMemory::WriteText(absl::Span<const TextWrite> writes) {
  MutexLock lock(&mu_);
  std::vector<PageSpan> pieces;
  for (const TextWrite& write : writes) {
    pieces.push_back({write.address.value, write.address.value + write.bytes.size()});
  }
  const std::vector<PageSpan> spans = SpansOf(std::move(pieces));
  absl::Status opened = OpenForWriting(spans);
  if (!opened.ok()) return opened;
  for (const TextWrite& write : writes) {
    memcpy(reinterpret_cast<void*>(write.address.value), write.bytes.data(), write.bytes.size());
  }
  CloseForWriting(spans);
  SynchronizeCores();
  return absl::OkStatus();
}

absl::Status CodeMemory::WriteEntries(absl::Span<const EntryWrite> writes) {
  MutexLock lock(&mu_);
  std::vector<PageSpan> pieces;
  for (const EntryWrite& write : writes) {
    MEND_CHECK(Contains(write.entry.value) && write.entry.value % kEntryStubSize == 0,
               "an entry to rewrite must be aligned hosted text");
    // Entries lie dense in text: one protected span over close neighbours.
    pieces.push_back({write.entry.value, write.entry.value + kEntryStubSize});
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const PageSpan& a, const PageSpan& b) { return a.begin < b.begin; });
  const Area& text = areas_[static_cast<size_t>(MemoryKind::kText)];
  for (size_t i = 1; i < pieces.size(); ++i) {
    const bool same_area = pieces[i - 1].begin >= text.begin;
    if (same_area && pieces[i].begin - pieces[i - 1].end <= kMergeDistance) {
      pieces[i - 1].end = pieces[i].begin;
    }
  }
  const std::vector<PageSpan> spans = SpansOf(std::move(pieces));
  absl::Status opened = OpenForWriting(spans);
  if (!opened.ok()) return opened;
  for (const EntryWrite& write : writes) {
    // ORDER[E1]: what the slot and the trampoline hold before the entry leads to them; pairs with
    // the instruction fetch of any thread, which sees the old or the new 8 bytes, never a mix.
    std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(write.entry.value))
        .store(write.bytes, std::memory_order_release);
  }
  CloseForWriting(spans);
  SynchronizeCores();
  return absl::OkStatus();
}

uintptr_t CodeMemory::EndOf(MemoryKind kind, uintptr_t address) const {
  MutexLock lock(&mu_);
  const Area& area = areas_[static_cast<size_t>(kind)];
  return address >= area.begin && address - area.begin < area.used ? area.begin + area.used : 0;
}

size_t CodeMemory::permanent_bytes() const {
  MutexLock lock(&mu_);
  size_t bytes = 0;
  for (const Area& area : areas_) bytes += area.used;
  return bytes;
}

size_t CodeMemory::module_bytes() const {
  MutexLock lock(&mu_);
  return module_bytes_;
}

}  // namespace mend::jit
