// Finds functions in assembler that go to another stack: boost.context's, libco's and their like, a
// naked function, what a file has as `asm(...)` outside of functions. The host puts a few bytes in
// front of them that note when one of them runs (runtime/safepoint/stack_switches.h); what inline
// assembly in compiled functions does is seen in their IR (codegen/stack_switch.h).
//
// Such a function loads the stack pointer with an address that is not its own stack's. What it
// computed from the stack pointer or the frame pointer, or loaded from its own stack, is: a frame
// that was aligned, or a saved stack pointer, is no other stack.
#ifndef MEND_PATCHC_OBJECT_STACK_SWITCHES_H_
#define MEND_PATCHC_OBJECT_STACK_SWITCHES_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace mend::patchc {

// The names of those functions of an ELF relocatable, but for what `skip` says to leave out.
// INVALID_ARGUMENT: damaged.
absl::StatusOr<std::vector<std::string>> FindStackSwitches(
    std::string_view object, absl::FunctionRef<bool(std::string_view function)> skip);

// Of the functions that the shared library exports and that are among `names`, those that do so.
// INVALID_ARGUMENT, INTERNAL: the file cannot be read.
absl::StatusOr<std::vector<std::string>> FindSwitchesOfLibrary(const std::string& path,
                                                               const std::set<std::string>& names);

// The object with a section that names them (kSwitchesSection); as it is when there are none. Same
// errors.
absl::StatusOr<std::string> WithStackSwitches(
    std::string object, absl::FunctionRef<bool(std::string_view function)> skip);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_OBJECT_STACK_SWITCHES_H_
