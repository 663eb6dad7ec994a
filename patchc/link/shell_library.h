// The outside of a guest module: a relocatable that defines what the module exports, so that a
// shared library made of it can be linked against and looked into like any other. Its functions
// trap: the module's own code runs in a host only.
#ifndef MEND_PATCHC_LINK_SHELL_LIBRARY_H_
#define MEND_PATCHC_LINK_SHELL_LIBRARY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "patchc/object/dynamic_symbols.h"

namespace mend::patchc {

// The relocatable.
absl::StatusOr<std::string> MakeShellObject(const std::vector<ExportedSymbol>& exports);

// A relocatable out of assembler text of ours.
absl::StatusOr<std::string> AssembleObject(const std::string& text);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_LINK_SHELL_LIBRARY_H_
