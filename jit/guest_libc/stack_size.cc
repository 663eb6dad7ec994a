#include "jit/guest_libc/stack_size.h"

#include <link.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "jit/program/static_pool.h"

namespace mend::jit {
namespace {

// dl_iterate_phdr callback: fills in the size if this object contains the code of this file.
int FindOwnTls(dl_phdr_info* info, size_t, void* argument) {
  const auto own = reinterpret_cast<uintptr_t>(&OwnStaticTlsSize);
  bool is_own = false;
  size_t tls_size = 0;
  for (unsigned i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && begin <= own && own < begin + segment.p_memsz) is_own = true;
    if (segment.p_type == PT_TLS) tls_size = segment.p_memsz + segment.p_align;
  }
  if (!is_own) return 0;
  *static_cast<size_t*>(argument) = tls_size;
  return 1;
}

size_t FindOwnTlsSize() {
  size_t size = 0;
  dl_iterate_phdr(&FindOwnTls, &size);
  if (StaticPool() != nullptr) size += MEND_STATIC_POOL_SIZE + MEND_STATIC_POOL_ALIGNMENT;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (size + page - 1) / page * page;
}

// What the attributes say of the processors that the thread may run on; without a say all bits are
// set.
void CopyAffinity(const pthread_attr_t* from, pthread_attr_t* to) {
  cpu_set_t processors[8];  // 8192 of them, as many as Linux knows: creators may have small stacks
  if (pthread_attr_getaffinity_np(from, sizeof processors, processors) != 0) return;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(processors);
  const bool all = std::all_of(bytes, bytes + sizeof processors,
                               [](unsigned char byte) { return byte == 0xff; });
  if (!all) pthread_attr_setaffinity_np(to, sizeof processors, processors);
}

// All but the stack and the signal mask, into ones that have just been initialised.
void CopyAttributes(const pthread_attr_t* from, pthread_attr_t* to) {
  int value;
  size_t size;
  if (pthread_attr_getdetachstate(from, &value) == 0) pthread_attr_setdetachstate(to, value);
  if (pthread_attr_getscope(from, &value) == 0) pthread_attr_setscope(to, value);
  if (pthread_attr_getguardsize(from, &size) == 0) pthread_attr_setguardsize(to, size);
  if (pthread_attr_getinheritsched(from, &value) == 0) pthread_attr_setinheritsched(to, value);
  if (pthread_attr_getschedpolicy(from, &value) == 0) pthread_attr_setschedpolicy(to, value);
  sched_param parameters;
  if (pthread_attr_getschedparam(from, &parameters) == 0) {
    pthread_attr_setschedparam(to, &parameters);
  }
  CopyAffinity(from, to);
}

// Where the program gave memory for the stack. Both are 0 without it.
struct GivenStack {
  void* base = nullptr;
  size_t size = 0;
};
GivenStack StackOf(const pthread_attr_t* attributes) {
  GivenStack stack;
  pthread_attr_getstack(attributes, &stack.base, &stack.size);
  if (reinterpret_cast<uintptr_t>(stack.base) + stack.size == 0) return {};
  return stack;
}

// By its constructor: dl_iterate_phdr takes the loader's lock, which a creator may hold.
size_t own_tls_size = 0;
[[gnu::constructor(101)]] void InitializeOwnTlsSize() { own_tls_size = FindOwnTlsSize(); }

}  // namespace

size_t OwnStaticTlsSize() { return own_tls_size; }

UnmaskedAttributes::UnmaskedAttributes(const pthread_attr_t* attributes) : used_(attributes) {
  sigset_t mask;
  if (attributes == nullptr || pthread_attr_getsigmask_np(attributes, &mask) != 0) return;
  if (pthread_attr_init(&copy_) != 0) return;
  owns_copy_ = true;
  used_ = &copy_;
  CopyAttributes(attributes, &copy_);
  const GivenStack stack = StackOf(attributes);
  size_t size = 0;
  if (stack.size != 0) {
    pthread_attr_setstack(&copy_, stack.base, stack.size);
  } else if (pthread_attr_getstacksize(attributes, &size) == 0) {
    pthread_attr_setstacksize(&copy_, size);
  }
}

UnmaskedAttributes::~UnmaskedAttributes() {
  if (owns_copy_) pthread_attr_destroy(&copy_);
}

EnlargedAttributes::EnlargedAttributes(const pthread_attr_t* attributes) : used_(attributes) {
  if (own_tls_size == 0) return;
  size_t size = 0;
  if (attributes == nullptr) {
    // Small by `ulimit -s`, or by the program.
    if (pthread_getattr_default_np(&copy_) != 0) return;
    owns_copy_ = true;
    if (pthread_attr_getstacksize(&copy_, &size) == 0 && size < kLargeStack &&
        pthread_attr_setstacksize(&copy_, size + own_tls_size) == 0) {
      used_ = &copy_;
    }
    return;
  }
  if (pthread_attr_getstacksize(attributes, &size) != 0 || size >= kLargeStack) return;
  if (StackOf(attributes).size != 0) {
    // The memory that the program gave cannot grow. Where most of it would be lost, libc's memory
    // is used instead.
    if (size < 4 * own_tls_size) ReplaceStack(attributes, size + own_tls_size);
    return;
  }
  // glibc's attributes are plain words, and a pointer to an extension that thread creation only
  // reads: the copy is never destroyed.
  copy_ = *attributes;
  if (pthread_attr_setstacksize(&copy_, size + own_tls_size) == 0) used_ = &copy_;
}

EnlargedAttributes::~EnlargedAttributes() {
  if (owns_copy_) pthread_attr_destroy(&copy_);
}

void EnlargedAttributes::ReplaceStack(const pthread_attr_t* attributes, size_t size) {
  if (pthread_attr_init(&copy_) != 0) return;
  owns_copy_ = true;
  used_ = &copy_;
  CopyAttributes(attributes, &copy_);
  pthread_attr_setstacksize(&copy_, size);
}

}  // namespace mend::jit
