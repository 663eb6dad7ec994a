// The checks that a patch must pass before anything is done with it (rules LC2, I3, I4, I6).
#ifndef MEND_RUNTIME_PATCH_VALIDATE_PATCH_H_
#define MEND_RUNTIME_PATCH_VALIDATE_PATCH_H_

#include "absl/status/status.h"
#include "runtime/patch/patch.h"

namespace mend {

// What can be said without the objects: INVALID_ARGUMENT ("EINVAL: ..."), ALREADY_EXISTS
// ("EEXIST: ...").
absl::Status ValidatePatch(const Patch& patch);

// An object that is loaded and resolved: every function has a place and a size, and no two are one.
// INVALID_ARGUMENT ("EINVAL: ..."), NOT_FOUND ("ENOENT: ...", in the kernel's words).
absl::Status ValidateLoadedObject(const PatchObject& object);

}  // namespace mend

#endif  // MEND_RUNTIME_PATCH_VALIDATE_PATCH_H_
