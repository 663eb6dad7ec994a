// Relocations of debug information, set aside.
//
// More than half of the relocations of an object with debug information are its own, and JITLink
// would make an edge of each only to drop them all: no debugger looks at most programs. In a
// program's or guest module's image, and in patch modules, their sections have a type of mend's own
// in place of SHT_RELA, and whoever describes hosted code to a debugger reads them there.
#ifndef MEND_RUNTIME_FORMAT_DEBUG_RELOCATIONS_H_
#define MEND_RUNTIME_FORMAT_DEBUG_RELOCATIONS_H_

#include <cstdint>

namespace mend {

// sh_type of a section of Elf64_Rela for a section `.debug_*`; among those that ELF leaves to
// applications (SHT_LOUSER to SHT_HIUSER).
inline constexpr uint32_t kDebugRelocations = 0x8d656264;

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_DEBUG_RELOCATIONS_H_
