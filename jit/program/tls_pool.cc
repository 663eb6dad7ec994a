#include "jit/program/tls_pool.h"

#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "jit/program/static_pool.h"
#include "runtime/base/check.h"

namespace mend::jit {
namespace {

constexpr size_t kPoolAlignment = MEND_STATIC_POOL_ALIGNMENT;

// With the library's other thread-locals well below what glibc keeps.
constexpr size_t kOwnBlockSize = 512;
alignas(kPoolAlignment) constinit thread_local char own_block[kOwnBlockSize]
    __attribute__((tls_model("initial-exec"))) = {};

bool ExecutableHasBlock() { return StaticPool() != nullptr; }

// The calling thread's.
char* Block() { return ExecutableHasBlock() ? StaticPool() : own_block; }

size_t BlockSize() { return ExecutableHasBlock() ? MEND_STATIC_POOL_SIZE : kOwnBlockSize; }

intptr_t PoolOffset() { return Block() - static_cast<char*>(__builtin_thread_pointer()); }

// A function-local one would be constructed by whichever thread comes first, with a guard.
thread_local TlsPool::Thread this_thread __attribute__((tls_model("initial-exec")));

// What libc copies into the executable's block of each new thread.
struct BlockTemplate {
  char* bytes = nullptr;  // null: there is none
  bool is_read_only = false;
};

// For dl_iterate_phdr, whose first object is the executable.
int FindTemplate(dl_phdr_info* executable, size_t /*size*/, void* result) {
  const auto at = [executable](const ElfW(Phdr) & header) {
    return reinterpret_cast<char*>(executable->dlpi_addr + header.p_vaddr);
  };
  auto& found = *static_cast<BlockTemplate*>(result);
  const ElfW(Phdr)* relro = nullptr;
  for (int i = 0; i < executable->dlpi_phnum; ++i) {
    const ElfW(Phdr) & header = executable->dlpi_phdr[i];
    if (header.p_type == PT_GNU_RELRO) relro = &header;
    if (header.p_type != PT_TLS || executable->dlpi_tls_data == nullptr) continue;
    const ptrdiff_t offset = StaticPool() - static_cast<char*>(executable->dlpi_tls_data);
    // An executable that was linked with an older block has none of it in its file.
    if (offset < 0 || static_cast<size_t>(offset) + MEND_STATIC_POOL_SIZE > header.p_filesz) break;
    found.bytes = at(header) + offset;
  }
  found.is_read_only =
      relro != nullptr && found.bytes >= at(*relro) && found.bytes < at(*relro) + relro->p_memsz;
  return 1;
}

size_t AlignUp(size_t offset, size_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

}  // namespace

TlsPool::Thread::~Thread() {
  if (pool == nullptr) return;
  const MutexLock lock(&pool->mu_);
  pool->Unlist(this);
}

TlsPool::~TlsPool() {
  const MutexLock lock(&mu_);
  while (threads_ != nullptr) Unlist(threads_);
}

void TlsPool::Unlist(Thread* thread) {
  (thread->previous != nullptr ? thread->previous->next : threads_) = thread->next;
  if (thread->next != nullptr) thread->next->previous = thread->previous;
  *thread = Thread();
}

absl::StatusOr<intptr_t> TlsPool::Assign(size_t size, size_t alignment) {
  alignment = std::max<size_t>(alignment, 1);
  size = std::max<size_t>(size, 1);
  if (alignment > kPoolAlignment) {
    return absl::ResourceExhaustedError(
        absl::StrCat("its alignment of ", alignment, " exceeds ", kPoolAlignment));
  }
  const MutexLock lock(&mu_);
  for (const auto& [begin, free_size] : free_) {
    const size_t offset = AlignUp(begin, alignment);
    const size_t end = begin + free_size;
    if (offset > end || size > end - offset) continue;
    const size_t before = begin;
    free_.erase(begin);
    if (offset != before) free_[before] = offset - before;
    if (offset + size != end) free_[offset + size] = end - offset - size;
    return PoolOffset() + static_cast<intptr_t>(offset);
  }
  const size_t offset = AlignUp(used_, alignment);
  const size_t capacity = BlockSize();
  if (size > capacity || offset > capacity - size) {
    return absl::ResourceExhaustedError(
        absl::StrCat("hosted thread-locals exceed ", capacity, " bytes",
                     ExecutableHasBlock()
                         ? ""
                         : ", all there is where the runtime came by dlopen; an executable that "
                           "links lib/mend/static_pool.o has more"));
  }
  if (offset != used_) free_[used_] = offset - used_;
  used_ = offset + size;
  return PoolOffset() + static_cast<intptr_t>(offset);
}

void TlsPool::Release(intptr_t offset, size_t size) {
  size = std::max<size_t>(size, 1);
  size_t begin = static_cast<size_t>(offset - PoolOffset());
  const MutexLock lock(&mu_);
  // Threads that start must not copy what is nobody's.
  if (begin < image_.size()) {
    memset(image_.data() + begin, 0, std::min(size, image_.size() - begin));
  }
  auto next = free_.lower_bound(begin);
  if (next != free_.end() && begin + size == next->first) {
    size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == begin) {
      begin = previous->first;
      size += previous->second;
      free_.erase(previous);
    }
  }
  if (begin + size == used_) {
    used_ = begin;
  } else {
    free_[begin] = size;
  }
}

void TlsPool::SetImage(intptr_t offset, const void* bytes, size_t size) {
  const size_t begin = static_cast<size_t>(offset - PoolOffset());
  const MutexLock lock(&mu_);
  MEND_CHECK(begin + size <= used_, "a thread-local's image lies within what was assigned");
  if (image_.size() < used_) image_.resize(used_);
  memcpy(image_.data() + begin, bytes, size);
}

void TlsPool::UpdateTemplate(size_t offset, size_t size) {
  if (!ExecutableHasBlock() || size == 0) return;
  BlockTemplate block;
  dl_iterate_phdr(&FindTemplate, &block);
  if (block.bytes == nullptr) return;
  char* const at = block.bytes + offset;
  char* const page = at - reinterpret_cast<uintptr_t>(at) % static_cast<size_t>(getpagesize());
  const auto length = static_cast<size_t>(at + size - page);
  if (block.is_read_only && mprotect(page, length, PROT_READ | PROT_WRITE) != 0) return;
  memcpy(at, image_.data() + offset, size);
  if (block.is_read_only) mprotect(page, length, PROT_READ);
}

void TlsPool::Publish(intptr_t offset, size_t size) {
  const size_t begin = static_cast<size_t>(offset - PoolOffset());
  const MutexLock lock(&mu_);
  // Before the first thread's start, InitializeThread takes all at once.
  if (threads_ != nullptr) UpdateTemplate(begin, size);
  for (Thread* thread = threads_; thread != nullptr; thread = thread->next) {
    memcpy(thread->bytes + begin, image_.data() + begin, size);
  }
}

void TlsPool::InitializeThread() {
  if (this_thread.pool == this) return;
  if (TlsPool* const other = this_thread.pool; other != nullptr) {
    const MutexLock lock(&other->mu_);
    other->Unlist(&this_thread);
  }
  const MutexLock lock(&mu_);
  if (threads_ == nullptr) UpdateTemplate(0, image_.size());
  char* const block = Block();
  if (!image_.empty()) memcpy(block, image_.data(), image_.size());
  this_thread.pool = this;
  this_thread.bytes = block;
  this_thread.next = threads_;
  if (threads_ != nullptr) threads_->previous = &this_thread;
  threads_ = &this_thread;
}

void TlsPool::ForgetThread() {
  const MutexLock lock(&mu_);
  if (this_thread.pool == this) Unlist(&this_thread);
}

size_t TlsPool::used() const {
  const MutexLock lock(&mu_);
  return used_;
}

void TlsPool::PrepareFork() {
  mu_.Lock();
  forking_ = getpid();
}

void TlsPool::AfterFork() {
  if (getpid() != forking_) {
    // The others' memory is a copy that nobody runs on; it may become a new thread's.
    const bool is_listed = this_thread.pool == this;
    threads_ = is_listed ? &this_thread : nullptr;
    if (is_listed) this_thread.next = this_thread.previous = nullptr;
  }
  mu_.Unlock();
}

}  // namespace mend::jit
