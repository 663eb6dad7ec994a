// The hooks of functions, a batch at a time: entries opened and closed, func_stacks pushed and
// popped for one object (LC5: all of its functions or none).
//
// Thread safety: none; guarded by the patch registry's mutex.
#ifndef MEND_RUNTIME_TRANSITION_OBJECT_HOOKS_H_
#define MEND_RUNTIME_TRANSITION_OBJECT_HOOKS_H_

#include <vector>

#include "absl/status/status.h"
#include "runtime/patch/code_host.h"
#include "runtime/patch/patch.h"
#include "runtime/patch/redirection_table.h"

namespace mend {

// Opens those that are closed, in one batch: all or none. The slots hold what may run.
absl::Status OpenEntries(CodeHost* host, const std::vector<Redirection*>& redirections);
// Closes those whose func_stack is empty. One that stays open costs a jump and is otherwise right.
void CloseEntries(CodeHost* host, const std::vector<Redirection*>& redirections);

// Puts the object's functions on their func_stacks, and takes them off. The slots stay as they are.
void PushObject(RedirectionTable* table, PatchObject* object);
void PopObject(RedirectionTable* table, PatchObject* object);

// The redirections of the object's functions.
std::vector<Redirection*> RedirectionsOf(RedirectionTable* table, const PatchObject& object);

// The slot leads to the version on top of the func_stack, or to the original.
void SettleSlot(const Redirection& redirection);

}  // namespace mend

#endif  // MEND_RUNTIME_TRANSITION_OBJECT_HOOKS_H_
