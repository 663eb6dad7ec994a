// Links the objects of a program as a native linker would: strong definitions over weak ones, every
// object completely, thread-locals at fixed offsets, tables between __start_X and __stop_X in one
// piece. Nothing of the program runs.
//
// The graphs are edited before ORC sees them: who defines what is decided here, so that a duplicate
// or missing symbol is reported by name and object, and everything outside of the program is bound
// at once.
#ifndef MEND_JIT_PROGRAM_PROGRAM_LOADER_H_
#define MEND_JIT_PROGRAM_PROGRAM_LOADER_H_

#include <vector>

#include "absl/status/status.h"
#include "jit/program/hosted_program.h"
#include "runtime/format/program_image.h"

namespace mend::jit {

// Adds the objects to the program. The objects' bytes must stay where they are: patches are checked
// against their descriptions. FAILED_PRECONDITION and INVALID_ARGUMENT name the object and symbol;
// the program is then as it was.
absl::Status LoadObjects(HostedProgram& program, const std::vector<ProgramObject>& objects);

}  // namespace mend::jit

#endif  // MEND_JIT_PROGRAM_PROGRAM_LOADER_H_
