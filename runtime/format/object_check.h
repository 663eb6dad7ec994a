// Whether an ELF relocatable is well-formed, as far as linking it relies on that: JITLink looks
// neither at where a relocation writes, nor whether there is anything to write to, nor at what
// sizes add up to. Objects come from outside, in patch modules and guest modules.
#ifndef MEND_RUNTIME_FORMAT_OBJECT_CHECK_H_
#define MEND_RUNTIME_FORMAT_OBJECT_CHECK_H_

#include <string_view>

#include "absl/status/status.h"

namespace mend {

// INVALID_ARGUMENT "damaged object: ..." says in which section what is wrong. Takes some ns for
// each symbol and each relocation, but for those that are set aside (kDebugRelocations).
absl::Status CheckObject(std::string_view object);

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_OBJECT_CHECK_H_
