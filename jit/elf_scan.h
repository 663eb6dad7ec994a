// What JITLink's graph does not tell about an ELF relocatable, or tells too late: uses of native
// thread-locals, which it would link wrongly, and functions chosen at start (ifunc), which it would
// not find.
#ifndef MEND_JIT_ELF_SCAN_H_
#define MEND_JIT_ELF_SCAN_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::jit {

struct ElfScan {
  // Symbols whose address a resolver function returns.
  std::vector<std::string> indirect_functions;
  // The object with those symbols turned into ordinary functions (the resolvers); empty when there
  // are none.
  std::string rewritten;
};

// INVALID_ARGUMENT: not an x86-64 relocatable, damaged, or with native thread-locals, by name.
absl::StatusOr<ElfScan> ScanObject(std::string_view object);

}  // namespace mend::jit

#endif  // MEND_JIT_ELF_SCAN_H_
