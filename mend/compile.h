// From a file that names code in any form to the objects that the host links. Sources and IR are
// compiled by the patchc that is installed beside libmend; the host itself has no compiler.
#ifndef MEND_MEND_COMPILE_H_
#define MEND_MEND_COMPILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mend {

struct CompiledObject {
  std::string name;
  std::string bytes;  // ELF relocatable
};

// `file`: C or C++ source, LLVM IR (.ll, .bc), relocatable object, archive (all its members).
// INVALID_ARGUMENT carries the compiler's diagnostics; NOT_FOUND without the file or patchc.
absl::StatusOr<std::vector<CompiledObject>> CompileFile(const std::string& file);

}  // namespace mend

#endif  // MEND_MEND_COMPILE_H_
