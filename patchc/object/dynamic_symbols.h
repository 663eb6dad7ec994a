// What the dynamic symbol table of a linked ELF file says: what an executable or a shared library
// gives to others, and takes of them. INTERNAL says which file cannot be read, and why.
#ifndef MEND_PATCHC_OBJECT_DYNAMIC_SYMBOLS_H_
#define MEND_PATCHC_OBJECT_DYNAMIC_SYMBOLS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::patchc {

struct ExportedSymbol {
  std::string name;
  bool is_function = false;
  bool is_weak = false;
  uint64_t size = 0;
};

// What it defines.
absl::StatusOr<std::vector<ExportedSymbol>> ReadExports(const std::string& path);
// Names that others have to define.
absl::StatusOr<std::set<std::string>> ReadUndefined(const std::string& path);
// Variables of libraries that an executable has a copy of instead of its own (R_X86_64_COPY).
absl::StatusOr<std::set<std::string>> ReadCopies(const std::string& path);

// A variable as it is in an executable before anything has run. Where there is to be an address,
// there are zeros.
struct Variable {
  std::string bytes;
  uint64_t alignment = 1;
};

// Those that it defines, by name.
absl::StatusOr<std::map<std::string, Variable>> ReadVariables(const std::string& path);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_OBJECT_DYNAMIC_SYMBOLS_H_
