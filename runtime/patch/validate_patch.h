// The checks that a patch must pass before anything is done with it (rules LC2, I3, I4, I6).
#ifndef MEND_RUNTIME_PATCH_VALIDATE_PATCH_H_
#define MEND_RUNTIME_PATCH_VALIDATE_PATCH_H_

#include "absl/status/status.h"
#include "runtime/patch/patch.h"

namespace mend {

// INVALID_ARGUMENT ("EINVAL: ..."), ALREADY_EXISTS ("EEXIST: ..."), NOT_FOUND ("ENOENT: ...").
absl::Status ValidatePatch(const Patch& patch);

}  // namespace mend

#endif  // MEND_RUNTIME_PATCH_VALIDATE_PATCH_H_
