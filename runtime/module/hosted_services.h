// What the C functions of <mend/livepatch.h> stand on: they are called from hosted code and have no
// argument that would lead to the core.
#ifndef MEND_RUNTIME_MODULE_HOSTED_SERVICES_H_
#define MEND_RUNTIME_MODULE_HOSTED_SERVICES_H_

#include "runtime/base/event_log.h"
#include "runtime/transition/patch_registry.h"

namespace mend {

// Before any code hosted by that runtime runs; the objects stay as long as the process. Without
// them lines are lost and there are no states.
void SetHostedServices(EventLog* events, const PatchRegistry* patches);

}  // namespace mend

#endif  // MEND_RUNTIME_MODULE_HOSTED_SERVICES_H_
