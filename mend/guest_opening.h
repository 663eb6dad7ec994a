// How guest modules come and go, for the program (dlopen, dlclose) and for the operator (`mend
// load`, `mend unload`): together with those that they were linked with and that neither the
// program has taken in nor anybody has open.
//
// Thread safety: all functions are thread-safe.
#ifndef MEND_MEND_GUEST_OPENING_H_
#define MEND_MEND_GUEST_OPENING_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mend/guest_file.h"
#include "mend/host.h"
#include "runtime/module/module_loader.h"
#include "runtime/module/module_registry.h"

namespace mend {

// dlopen, with its flags. Null: with RTLD_NOLOAD, when it is not open. Errors as
// ModuleRegistry::OpenTogether has them.
absl::StatusOr<GuestModule*> OpenGuest(const GuestFile& file, int flags);

// dlclose. Errors as ModuleRegistry::Close.
absl::Status CloseGuest(const GuestModule* module, Host& host);

// As ModuleRegistry::Load and Unload, of the process's host.
absl::StatusOr<bool> LoadForOperator(const std::string& name, const ModuleSource& source,
                                     const ParameterValues& parameters);
absl::StatusOr<bool> UnloadForOperator(const std::string& name);

}  // namespace mend

#endif  // MEND_MEND_GUEST_OPENING_H_
