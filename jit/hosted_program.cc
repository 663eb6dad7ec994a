#include "jit/hosted_program.h"

#include "runtime/format/object_description.h"
#include "runtime/safepoint/thread_state.h"

namespace mend::jit {

std::optional<intptr_t> FindThreadLocal(const HostedProgram& program, uint32_t unit,
                                        const std::string& name) {
  if (name == kPollName) return ThreadWordsOffset();
  if (const auto own = program.thread_locals.Find(unit, name)) return own;
  return program.host.FindThreadLocal(name);
}

}  // namespace mend::jit
