#include "jit/guest_libc/own_heap.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <bit>

#include "runtime/base/raw_syscall.h"

namespace mend::jit {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kFirstChunk = size_t{16} << 20;
constexpr size_t kChunksMax = 40;
// Free blocks from this size on keep no memory but their first page.
constexpr size_t kReturnedFrom = size_t{128} << 10;

// In front of every block.
struct Header {
  uint64_t offset;      // of the block from where its piece of memory begins
  uint32_t size_class;  // of the piece
  uint32_t unused;
};
static_assert(sizeof(Header) == OwnHeap::kAlignment);

// --- sizes: multiples of 16 up to 1024, then four from one power of two to the next ---

constexpr size_t kSmallMax = 1024;
constexpr unsigned kSmallClasses = kSmallMax / 16;
constexpr unsigned kLog2SmallMax = 10;
constexpr unsigned kClasses = kSmallClasses + 1 + 4 * 30;
constexpr size_t kSizeMax = size_t{1} << 39;

constexpr unsigned ClassOf(size_t size) {
  if (size <= kSmallMax) return static_cast<unsigned>((size + 15) / 16);
  const auto log = static_cast<unsigned>(std::bit_width(size - 1)) - 1;
  const auto quarter = static_cast<unsigned>((size - 1) >> (log - 2)) & 3;
  return kSmallClasses + 1 + (log - kLog2SmallMax) * 4 + quarter;
}

constexpr size_t SizeOfClass(unsigned size_class) {
  if (size_class <= kSmallClasses) return size_t{size_class} * 16;
  const unsigned above = size_class - kSmallClasses - 1;
  return size_t{5 + above % 4} << (kLog2SmallMax + above / 4 - 2);
}
static_assert(SizeOfClass(ClassOf(1024)) == 1024 && SizeOfClass(ClassOf(1025)) == 1280 &&
              SizeOfClass(ClassOf(1281)) == 1536 && SizeOfClass(ClassOf(2048)) == 2048);
static_assert(ClassOf(kSizeMax) < kClasses);

// --- chunks ---

struct Chunk {
  std::atomic<uintptr_t> begin;  // 0: nobody has made it yet
  std::atomic<size_t> size;
  std::atomic<size_t> used;
};
constinit Chunk chunks[kChunksMax];
constinit std::atomic<unsigned> chunk_count{0};

uintptr_t MapMemory(size_t size) {
  const long mapped = RawSyscall(SYS_mmap, 0, static_cast<long>(size), PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return mapped < 0 && mapped > -static_cast<long>(kPage) ? 0 : static_cast<uintptr_t>(mapped);
}

// Adds a chunk that has room for `size` bytes. False when the system has none.
bool AddChunk(unsigned count, size_t size) {
  if (count == kChunksMax) return false;
  size_t chunk_size = kFirstChunk << std::min(count, 8U);
  uintptr_t begin = chunk_size >= size ? MapMemory(chunk_size) : 0;
  if (begin == 0) {
    chunk_size = (size + kPage - 1) & ~(kPage - 1);
    begin = MapMemory(chunk_size);
  }
  if (begin == 0) return false;
  Chunk& chunk = chunks[count];
  uintptr_t none = 0;
  if (!chunk.begin.compare_exchange_strong(none, begin, std::memory_order_relaxed)) {
    // Another thread was faster; the caller looks again.
    RawSyscall(SYS_munmap, static_cast<long>(begin), static_cast<long>(chunk_size));
    while (chunk_count.load(std::memory_order_relaxed) <= count) YieldProcessor();
    return true;
  }
  chunk.size.store(chunk_size, std::memory_order_relaxed);
  // ORDER[O1]: a chunk's address and size before the count; pairs with OwnHeap::Owns, TakeNew.
  chunk_count.store(count + 1, std::memory_order_release);
  return true;
}

// Memory that nobody has had; null when the system has none.
void* TakeNew(size_t size) {
  for (;;) {
    // ORDER[O1]: the count before the chunk's address and size; pairs with AddChunk.
    const unsigned count = chunk_count.load(std::memory_order_acquire);
    if (count != 0) {
      Chunk& chunk = chunks[count - 1];
      const size_t room = chunk.size.load(std::memory_order_relaxed);
      const size_t at = chunk.used.fetch_add(size, std::memory_order_relaxed);
      if (at <= room && size <= room - at) {
        return reinterpret_cast<void*>(chunk.begin.load(std::memory_order_relaxed) + at);
      }
      // Others see the chunk as full, too. What is left of it is lost.
      chunk.used.store(room, std::memory_order_relaxed);
    }
    if (!AddChunk(count, size)) return nullptr;
  }
}

// --- free pieces: a stack for each size ---

// Of a stack: the top's address, and a count against a top that has gone and come back meanwhile.
constexpr unsigned kCountShift = 44;
constexpr uint64_t kAddressMask = (uint64_t{1} << kCountShift) - 1;
constinit std::atomic<uint64_t> free_pieces[kClasses];

using Link = std::atomic<void*>;

void* Top(uint64_t stack) { return reinterpret_cast<void*>((stack & kAddressMask) << 4); }

uint64_t WithTop(uint64_t stack, void* top) {
  const uint64_t count = (stack >> kCountShift) + 1;
  return (count << kCountShift) | (reinterpret_cast<uintptr_t>(top) >> 4);
}

// Null when there is none.
void* Pop(unsigned size_class) {
  std::atomic<uint64_t>& stack = free_pieces[size_class];
  // ORDER[O2]: the top before the link and what was written to the piece; pairs with Push.
  uint64_t seen = stack.load(std::memory_order_acquire);
  while (Top(seen) != nullptr) {
    // Memory stays mapped: a piece that somebody else has taken is merely read for nothing.
    void* const next = static_cast<Link*>(Top(seen))->load(std::memory_order_relaxed);
    // ORDER[O2]: as above; pairs with Push.
    if (stack.compare_exchange_weak(seen, WithTop(seen, next), std::memory_order_acquire)) {
      return Top(seen);
    }
  }
  return nullptr;
}

void Push(unsigned size_class, void* piece) {
  std::atomic<uint64_t>& stack = free_pieces[size_class];
  auto* const link = static_cast<Link*>(piece);
  uint64_t seen = stack.load(std::memory_order_relaxed);
  do {
    link->store(Top(seen), std::memory_order_relaxed);
    // ORDER[O2]: the link, and what the last owner did with the piece, before the top; pairs with
    // Pop.
  } while (!stack.compare_exchange_weak(seen, WithTop(seen, piece), std::memory_order_release));
}

Header& HeaderOf(const void* block) {
  return *const_cast<Header*>(static_cast<const Header*>(block) - 1);
}

void ReturnMemory(uintptr_t begin, uintptr_t end) {
  begin = (begin + kPage - 1) & ~(kPage - 1);
  end &= ~(kPage - 1);
  if (begin >= end) return;
  RawSyscall(SYS_madvise, static_cast<long>(begin), static_cast<long>(end - begin), MADV_DONTNEED);
}

}  // namespace

void* OwnHeap::Allocate(size_t size, size_t alignment) noexcept {
  if (size > kSizeMax / 2 || alignment > kSizeMax / 4) return nullptr;
  size_t whole = sizeof(Header) + std::max<size_t>(size, 1);
  if (alignment > kAlignment) whole += alignment;
  const unsigned size_class = ClassOf(whole);
  void* piece = Pop(size_class);
  if (piece == nullptr) piece = TakeNew(SizeOfClass(size_class));
  if (piece == nullptr) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(piece);
  uintptr_t block = begin + sizeof(Header);
  if (alignment > kAlignment) block = (block + alignment - 1) & ~(alignment - 1);
  HeaderOf(reinterpret_cast<void*>(block)) = {block - begin, size_class, 0};
  return reinterpret_cast<void*>(block);
}

void OwnHeap::Free(void* block) noexcept {
  const Header header = HeaderOf(block);
  const uintptr_t piece = reinterpret_cast<uintptr_t>(block) - header.offset;
  const size_t size = SizeOfClass(header.size_class);
  if (size >= kReturnedFrom) ReturnMemory(piece + sizeof(Link), piece + size);
  Push(header.size_class, reinterpret_cast<void*>(piece));
}

size_t OwnHeap::UsableSize(const void* block) noexcept {
  const Header& header = HeaderOf(block);
  return SizeOfClass(header.size_class) - header.offset;
}

bool OwnHeap::Owns(const void* address) noexcept {
  // ORDER[O1]: the count before chunks' addresses and sizes; pairs with AddChunk.
  const unsigned count = chunk_count.load(std::memory_order_acquire);
  for (unsigned i = 0; i < count; ++i) {
    const uintptr_t offset =
        reinterpret_cast<uintptr_t>(address) - chunks[i].begin.load(std::memory_order_relaxed);
    if (offset < chunks[i].size.load(std::memory_order_relaxed)) return true;
  }
  return false;
}

void OwnHeap::Trim() noexcept {
  // A piece of memory that is free: a list of them, sorted by address in the end.
  struct Piece {
    Piece* next;
    size_t size;
  };
  Piece* pieces = nullptr;
  size_t count = 0;
  for (unsigned i = 0; i < kClasses; ++i) {
    while (void* const taken = Pop(i)) {
      pieces = new (taken) Piece{pieces, SizeOfClass(i)};
      ++count;
    }
  }
  // A table of them all, in memory of its own.
  const size_t table_size = (count + 1) * sizeof(Piece*);
  auto* const table = reinterpret_cast<Piece**>(MapMemory(table_size));
  if (table == nullptr) return;
  size_t filled = 0;
  for (Piece* piece = pieces; piece != nullptr; piece = piece->next) table[filled++] = piece;
  std::sort(table, table + count);
  for (size_t i = 0; i < count;) {
    // Neighbours together.
    const auto begin = reinterpret_cast<uintptr_t>(table[i]);
    uintptr_t end = begin;
    size_t after = i;
    for (; after < count && reinterpret_cast<uintptr_t>(table[after]) == end; ++after) {
      end += table[after]->size;
    }
    const uintptr_t first_page = (begin + kPage - 1) & ~(kPage - 1);
    const uintptr_t last_page = end & ~(kPage - 1);
    // Pieces that do not reach into the pages that go are kept. Before the memory goes, which has
    // the sizes of the others.
    for (; i < after; ++i) {
      const auto at = reinterpret_cast<uintptr_t>(table[i]);
      const size_t size = table[i]->size;
      if (first_page < last_page && at < last_page && at + size > first_page) continue;
      Push(ClassOf(size), table[i]);
    }
    ReturnMemory(begin, end);
  }
  RawSyscall(SYS_munmap, reinterpret_cast<long>(table), static_cast<long>(table_size));
}

}  // namespace mend::jit
