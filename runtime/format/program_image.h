// ProgramImage: the hosted program as it lies in its executable: the relocatable objects in link
// order, as they were compiled but for their section headers (SetDebugRelocationsAside in
// patchc/object/object_writer.h).
//
// patchc's link step puts it into the section `mend_program` of the launcher, which maps it with
// the executable; the host links the objects from there without copying them.
//
// A guest module (`patchc cc -shared`) is a shared library for the outside, without any code that
// could run natively; it carries its image in `mend_module`, and in `mend_libraries` the names of
// the libraries that it needs. A program's or a module's `mend_linked` names the guest modules that
// it was linked with, whose objects are part of the program: name and path of each. A program's
// `mend_exports` names what an executable linked the same way would have in its dynamic symbol
// table and no library of it defines: its functions and data that plugins may refer to. All names
// have a NUL behind them.
//
//   "MENDPROG", u64 number of objects,
//   per object: u64 offset and u32 size of its name, u32 link, u64 offset and u64 size of its bytes
//   (offsets from the beginning of the image, 16-aligned, little-endian), then the names and bytes.
#ifndef MEND_RUNTIME_FORMAT_PROGRAM_IMAGE_H_
#define MEND_RUNTIME_FORMAT_PROGRAM_IMAGE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace mend {

inline constexpr char kProgramSection[] = "mend_program";
// A ProgramImage too: in a relocatable that `patchc cc -r` made, the objects it was made of.
inline constexpr char kMembersSection[] = ".mend.members";
inline constexpr char kModuleSection[] = "mend_module";
inline constexpr char kLibrariesSection[] = "mend_libraries";
inline constexpr char kLinkedSection[] = "mend_linked";
inline constexpr char kExportsSection[] = "mend_exports";

struct ProgramObject {
  std::string_view name;   // file, or archive(member), as the linker named it
  std::string_view bytes;  // ELF relocatable; 16-aligned in the image
  // Whose link it is of, natively: 0 the program's or guest module's own, n that of the nth guest
  // module that the program was linked with.
  uint32_t link = 0;
};

std::string SerializeProgramImage(const std::vector<ProgramObject>& objects);
// The views point into `image`. INVALID_ARGUMENT when damaged.
absl::StatusOr<std::vector<ProgramObject>> ParseProgramImage(std::string_view image);

// The member that carries what the units' objects do not of their sources (kSourcesSection), and
// that nobody links. No path begins with this.
inline constexpr std::string_view kHeadersMember = std::string_view("\0headers", 8);

// The same, without that member: for hosts.
absl::StatusOr<std::vector<ProgramObject>> ParseHostedObjects(std::string_view image);

// The program image within the bytes of an executable made by patchc (an ELF file with a section
// `mend_program`); NOT_FOUND when it is another file.
absl::StatusOr<std::string_view> FindProgramImage(std::string_view executable);

// The most bytes that a guest module's name has, as a kernel module's.
inline constexpr size_t kModuleNameMax = 55;

// Names are folders of the attribute tree, and parts of `--hold OBJECT:FUNCTION,POSITION`.
bool IsModuleName(std::string_view name);

// The name that the guest module in a file gets: the file's base name up to ".so". A program may
// open any file, so what names cannot have is '_', and what is too long is cut such that a number
// fits behind it.
std::string GuestModuleName(std::string_view path);

// The contents of a section of names, and the names in it.
std::string SectionOfNames(const std::vector<std::string>& names);
std::vector<std::string> NamesInSection(std::string_view contents);

// The contents of a section of an ELF64 file (relocatable or executable); NOT_FOUND without one.
absl::StatusOr<std::string_view> FindElfSection(std::string_view elf, std::string_view section);

// What a library's dynamic section says: DT_... and its value. Empty without one.
struct DynamicEntry {
  int64_t tag = 0;
  uint64_t value = 0;
};
std::vector<DynamicEntry> DynamicEntries(std::string_view elf);

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_PROGRAM_IMAGE_H_
