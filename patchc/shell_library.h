// The outside of a guest module: a relocatable that defines what the module exports, so that a
// shared library made of it can be linked against and looked into like any other. Its functions
// trap: the module's own code runs in a host only.
#ifndef MEND_PATCHC_SHELL_LIBRARY_H_
#define MEND_PATCHC_SHELL_LIBRARY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace mend::patchc {

struct ExportedSymbol {
  std::string name;
  bool is_function = false;
  bool is_weak = false;
  uint64_t size = 0;
};

// What the dynamic symbol table of an ELF file defines.
absl::StatusOr<std::vector<ExportedSymbol>> ReadExports(const std::string& path);

// The relocatable.
absl::StatusOr<std::string> MakeShellObject(const std::vector<ExportedSymbol>& exports);

// A relocatable out of assembler text of ours.
absl::StatusOr<std::string> AssembleObject(const std::string& text);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SHELL_LIBRARY_H_
