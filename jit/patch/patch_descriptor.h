// Reads the struct mend_patch in a patch's linked data, pointer by pointer.
#ifndef MEND_JIT_PATCH_PATCH_DESCRIPTOR_H_
#define MEND_JIT_PATCH_PATCH_DESCRIPTOR_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "jit/program/linked_data.h"
#include "runtime/patch/patch.h"

namespace mend::jit {

struct DescribedFunction {
  std::string old_name;
  unsigned sympos = 0;
  CodeAddress entry;  // of the replacement
  CodeRange text;
  bool has_stub = false;
};

struct DescribedObject {
  std::string name;  // empty: the program
  std::vector<DescribedFunction> functions;
  ObjectCallbacks callbacks;
};

struct PatchDescriptor {
  mend_patch* address = nullptr;
  bool replace = false;
  std::vector<DescribedObject> objects;
  std::vector<SystemState> states;
  // What the descriptor consists of: addresses in it lead to text, but nobody else follows them.
  std::vector<std::pair<uintptr_t, size_t>> parts;
};

// What a patch module declares of itself, as linked.
struct PatchDeclarations {
  uintptr_t patch = 0;  // the struct mend_patch; 0: there is none
  std::vector<std::pair<uintptr_t, size_t>> state_owners;  // tables of struct mend_state_owner
  // A source patch's functions are what the comparison found: it names none, and need have no
  // objects.
  bool is_source_patch = false;
};

// `module_name` is for the message when there is no descriptor. INVALID_ARGUMENT ("EINVAL: ...") or
// NOT_FOUND ("ENOENT: ...") say what is wrong.
absl::StatusOr<PatchDescriptor> ReadPatchDescriptor(const LinkedData& data,
                                                    const PatchDeclarations& declared,
                                                    const std::string& module_name);

}  // namespace mend::jit

#endif  // MEND_JIT_PATCH_PATCH_DESCRIPTOR_H_
