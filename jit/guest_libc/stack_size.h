// Thread attributes as the runtime needs them: with room for the static TLS of this library and of
// hosted code (static_pool.h), which libc takes from each thread's stack and which would eat the
// small ones up; and without a signal mask, which libc gives to the thread before it counts.
#ifndef MEND_JIT_GUEST_LIBC_STACK_SIZE_H_
#define MEND_JIT_GUEST_LIBC_STACK_SIZE_H_

#include <pthread.h>

#include <cstddef>

namespace mend::jit {

// The bytes of static TLS that the library (or test) which contains this code adds to each thread,
// with the executable's pool.
size_t OwnStaticTlsSize();

// The program's attributes, without a signal mask.
class UnmaskedAttributes {
 public:
  // `attributes` may be null: libc's defaults.
  explicit UnmaskedAttributes(const pthread_attr_t* attributes);
  ~UnmaskedAttributes();

  UnmaskedAttributes(const UnmaskedAttributes&) = delete;
  UnmaskedAttributes& operator=(const UnmaskedAttributes&) = delete;

  const pthread_attr_t* get() const { return used_; }

 private:
  const pthread_attr_t* used_;
  pthread_attr_t copy_;
  bool owns_copy_ = false;
};

// The program's attributes, with a larger stack where it matters. The program's own object is not
// changed: it may be in use by other threads.
class EnlargedAttributes {
 public:
  // `attributes` may be null: libc's defaults.
  explicit EnlargedAttributes(const pthread_attr_t* attributes);
  ~EnlargedAttributes();

  EnlargedAttributes(const EnlargedAttributes&) = delete;
  EnlargedAttributes& operator=(const EnlargedAttributes&) = delete;

  const pthread_attr_t* get() const { return used_; }

 private:
  // Stacks from this size on do not notice.
  static constexpr size_t kLargeStack = size_t{1} << 20;

  void ReplaceStack(const pthread_attr_t* attributes, size_t size);

  const pthread_attr_t* used_;
  pthread_attr_t copy_;
  bool owns_copy_ = false;
};

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_STACK_SIZE_H_
