// Whether the process may map more memory: asked before what cannot stop in the middle.
#ifndef MEND_RUNTIME_BASE_ADDRESS_SPACE_H_
#define MEND_RUNTIME_BASE_ADDRESS_SPACE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"

namespace mend {

// RESOURCE_EXHAUSTED ("ENOMEM: ...") where the process may not map so many bytes for `what`
// ("linking fix.c"). Asks for addresses, not for memory: it is RLIMIT_AS that says no. (Where it is
// a control group, the kernel ends a process without asking.)
absl::Status CheckAddressSpace(size_t bytes, const std::string& what);

// What a request needs at least: a thread that has not used malloc yet reserves twice 64 MiB, to
// align its arena.
inline constexpr size_t kRequestAddressSpace = size_t{192} << 20;
// What a program's start wants to find, whose one thread has an arena.
inline constexpr size_t kStartAddressSpace = size_t{16} << 20;

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_ADDRESS_SPACE_H_
