// The object file that a debugger gets to see of a linked object: symbols, line tables, debug
// information and unwind data, relocated to where the object's sections were linked to.
//
// It has no text or data of its own (the debugger reads the process's memory), and nothing of what
// the link dropped: a patch takes single functions out of an object, and the rest of the object
// must neither shadow the running program nor attract breakpoints.
//
// A function that a patch brought is called NAME@PATCH, by the symbol table and by the debug
// information, so that versions are told apart; the symbol table has the bare name too, so that a
// breakpoint by name stops in every version.
//
// Objects are untrusted input. No relocation is left for the debugger to apply.
#ifndef MEND_JIT_DEBUG_DEBUG_OBJECT_H_
#define MEND_JIT_DEBUG_DEBUG_OBJECT_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/code_address.h"

namespace mend::jit {

struct LinkedFunction {
  std::string name;  // of the symbol
  CodeRange text;
  bool has_stub = false;  // a breakpoint on its first 8 bytes would be in the way of patches
};

// What became of a relocatable object.
struct LinkedObject {
  using Addresses = std::map<uint32_t, uintptr_t>;  // by number of the ELF section

  std::string_view object;  // as it was compiled
  Addresses sections;       // what was linked of it
  Addresses elsewhere;      // dropped sections whose datum the running program has: where
  CodeRange unwind_data;    // its linked .eh_frame; may be empty
  std::vector<LinkedFunction> functions;
};

// `version`: the patch that brought the object; empty for the program's own. INVALID_ARGUMENT when
// it is no relocatable ELF file. Debug information that cannot be relocated (compressed, damaged,
// of an unknown kind) is left out; the symbols remain.
absl::StatusOr<std::string> MakeDebugObject(const LinkedObject& linked, std::string_view version);

}  // namespace mend::jit

#endif  // MEND_JIT_DEBUG_DEBUG_OBJECT_H_
