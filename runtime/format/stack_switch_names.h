// How objects say which functions go to another stack by assembler (safepoint/stack_switches.h).
#ifndef MEND_RUNTIME_FORMAT_STACK_SWITCH_NAMES_H_
#define MEND_RUNTIME_FORMAT_STACK_SWITCH_NAMES_H_

namespace mend {

// The ELF section with the names of those that are in assembler, each with a zero behind it (not
// allocated, excluded from ordinary links).
inline constexpr char kSwitchesSection[] = ".mend.switches";
// The section of a program or guest module that names such functions of its libraries, the same way
// (allocated).
inline constexpr char kSwitchesOfLibrariesSection[] = "mend_switches";
// Data: the byte `__mend_switched.NAME`, which the compiled function NAME sets before it goes
// there.
inline constexpr char kSwitchFlagPrefix[] = "__mend_switched.";
// Of a linked object: what stands in front of those in assembler. Unwound as a stub is.
inline constexpr char kNotesSection[] = "$mend.notes";

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_STACK_SWITCH_NAMES_H_
