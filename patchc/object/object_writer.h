// Adds sections to ELF relocatables that a compiler wrote, takes some away, and says whether an ELF
// relocatable can be hosted. No LLVM: sections are copied one behind the other into a new file.
//
// Called by ClangRunner (descriptions and sources) and by the link step (the program's image).
// Stateless and thread-safe. Input is untrusted.
#ifndef MEND_PATCHC_OBJECT_OBJECT_WRITER_H_
#define MEND_PATCHC_OBJECT_OBJECT_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace mend::patchc {

struct NewSection {
  std::string name;
  std::string_view contents;
  uint64_t flags = 0;  // SHF_*
  uint64_t alignment = 1;
};

// The object with these sections behind the ones it has. INVALID_ARGUMENT: not a little-endian
// ELF64 relocatable, or damaged.
absl::StatusOr<std::string> AppendSections(std::string_view object,
                                           const std::vector<NewSection>& sections);

// The object without its lists of patchable entries (`__patchable_function_entries`): a section
// with a relocation section for every function, which nobody reads once the object is described.
// The object as it is when it has none. Same errors.
absl::StatusOr<std::string> RemoveEntryLists(std::string_view object);

// A relocatable without any section that would be linked, to append to.
std::string EmptyObject();

// The object with the contents of its section `name` gone; the object as it is when it has none.
// REQUIRES: nothing refers to the section. Same errors.
absl::StatusOr<std::string> RemoveSection(std::string_view object, std::string_view name);

// Makes `__mend_tlsoff.*`, which the code generator took for thread-local variables, absolute
// symbols: their R_X86_64_TPOFF32 relocations become R_X86_64_32S, which the host can resolve.
// INVALID_ARGUMENT: not such an object, or damaged.
absl::Status ResolveThreadOffsets(std::string& object);

// Gives the relocations of debug information the type kDebugRelocations (debug_relocations.h).
// Once is as good as twice. INVALID_ARGUMENT: not such an object, or damaged; it is as it was then.
absl::Status SetDebugRelocationsAside(std::string& object);

// INVALID_ARGUMENT: not an x86-64 ELF relocatable; UNIMPLEMENTED names what it contains that
// cannot be hosted (thread-local storage that patchc did not compile).
absl::Status CheckHostable(std::string_view object, std::string_view name);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_OBJECT_OBJECT_WRITER_H_
