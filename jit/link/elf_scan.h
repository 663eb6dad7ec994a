// What JITLink's graph does not tell about an ELF relocatable, or tells too late: uses of native
// thread-locals, which it would link wrongly, and functions chosen at start (ifunc) and symbols
// that are numbers (absolute ones), which it would not find.
#ifndef MEND_JIT_LINK_ELF_SCAN_H_
#define MEND_JIT_LINK_ELF_SCAN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::jit {

struct ElfScan {
  // Symbols whose address a resolver function returns.
  std::vector<std::string> indirect_functions;
  // Symbols that others see and that have a value instead of a place.
  std::vector<std::pair<std::string, uint64_t>> absolute_symbols;
  // The object with the former turned into ordinary functions (the resolvers), and the latter into
  // undefined ones; empty when there are none of them.
  std::string rewritten;
};

// INVALID_ARGUMENT: not an x86-64 relocatable, damaged, or with native thread-locals, by name.
absl::StatusOr<ElfScan> ScanObject(std::string_view object);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_ELF_SCAN_H_
