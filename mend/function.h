// mend::Function: a typed handle on a hosted function, callable from any thread of the host.
//
// A call enters hosted code, passes the function's redirection stub, so that it runs the version
// the thread is to see, and leaves hosted code again. Between calls the thread is outside: a
// transition switches it on the spot.
#ifndef MEND_MEND_FUNCTION_H_
#define MEND_MEND_FUNCTION_H_

// What libmend.so lets its users see.
#define MEND_EXPORT __attribute__((visibility("default")))

namespace mend {
namespace internal {

// Enters hosted code on this thread for its scope; adopts the thread when it is new. Scopes nest.
class MEND_EXPORT HostedScope {
 public:
  HostedScope();
  ~HostedScope();
  HostedScope(const HostedScope&) = delete;
  HostedScope& operator=(const HostedScope&) = delete;
};

}  // namespace internal

template <typename Signature>
class Function;

// Valid as long as the Runtime it came from. Copying is free; all methods are thread-safe.
template <typename Result, typename... Arguments>
class Function<Result(Arguments...)> {
 public:
  using Pointer = Result (*)(Arguments...);

  explicit Function(Pointer entry) : entry_(entry) {}

  // Blocks as the function does. An exception that the function throws passes through.
  Result operator()(Arguments... arguments) const {
    const internal::HostedScope scope;
    return entry_(static_cast<Arguments&&>(arguments)...);
  }

  // The function's entry: the same address for ever, whatever is patched. Calling it without
  // entering hosted code is allowed; the thread is then adopted when it is first met.
  Pointer address() const { return entry_; }

 private:
  Pointer entry_;
};

}  // namespace mend

#endif  // MEND_MEND_FUNCTION_H_
