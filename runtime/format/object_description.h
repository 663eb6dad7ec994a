// What a patchable object says of itself: how it was compiled, what from, and what is in it.
//
// patchc writes one into every object it compiles (ELF section `.mend.object`, not allocated,
// excluded from ordinary links) and reads it to rebuild a unit; the host reads it to check that a
// patch was made for the code that runs. Encoding: a Frame (frame.h) around JSON.
#ifndef MEND_RUNTIME_FORMAT_OBJECT_DESCRIPTION_H_
#define MEND_RUNTIME_FORMAT_OBJECT_DESCRIPTION_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace mend {

// The ELF section of an ObjectDescription, and the one of the sources (SourceArchive).
inline constexpr char kObjectSection[] = ".mend.object";
inline constexpr char kSourcesSection[] = ".mend.sources";

// Names that generated code and the loader agree on.
//   __mend_tlsoff.NAME  weak undefined, absolute: offset of thread-local NAME from %fs
//   __mend_tls.NAME     data: the initial image of the thread-local NAME that this unit defines, in
//                       section .mend.tls.NAME; linkage, size and alignment are NAME's
//   __mend_poll         the pseudo thread-local of the poll byte: __mend_tlsoff.__mend_poll
//   __mend_poll_slow    the cold path of a poll; preserves every register
//   __mend_livepatch    data: the address of the struct mend_patch of a patch
//   __mend_module_init, __mend_module_exit
//                       data: the address of a guest module's function, see <mend/livepatch.h>
//   mend_parameters     section: an array of struct mend_parameter, each named mend_parameter_...
//   mend_state_owners   section: an array of struct mend_state_owner of a patch, each named
//                       mend_state_owner_...
//   mend_units          section: an array of addresses of functions marked MEND_UNIT
inline constexpr char kTlsOffsetPrefix[] = "__mend_tlsoff.";
inline constexpr char kTlsImagePrefix[] = "__mend_tls.";
inline constexpr char kPollName[] = "__mend_poll";
inline constexpr char kPollSlowPath[] = "__mend_poll_slow";
inline constexpr char kLivepatchPointer[] = "__mend_livepatch";
inline constexpr char kModuleInitPointer[] = "__mend_module_init";
inline constexpr char kModuleExitPointer[] = "__mend_module_exit";
inline constexpr char kParameterSection[] = "mend_parameters";
inline constexpr char kParameterPrefix[] = "mend_parameter_";
inline constexpr char kStateOwnerSection[] = "mend_state_owners";
inline constexpr char kStateOwnerPrefix[] = "mend_state_owner_";
inline constexpr char kUnitSection[] = "mend_units";

// Whether it is what the macros of <mend/livepatch.h> define for a patch: its descriptor, what
// belongs to its states, its parameters.
inline bool IsPatchDeclaration(std::string_view name) {
  return name == kLivepatchPointer || name.starts_with(kStateOwnerPrefix) ||
         name.starts_with(kParameterPrefix);
}

enum class Binding : uint8_t { kLocal, kGlobal, kWeak };

struct SourceDescription {
  std::string path;  // absolute, as the compiler opened it
  std::string hash;  // hex; the first quarter of it for the system's
  bool is_system = false;
  // What it is without symbolic links; empty where the path has none. The system's has none
  // recorded.
  std::string real_path = {};
};

struct FunctionDescription {
  std::string name;  // symbol name
  Binding binding = Binding::kGlobal;
  uint64_t size = 0;                      // bytes
  bool patchable = false;                 // has an entry stub
  std::string fingerprint;                // hex: bytes, relocations, unwind and exception tables
  std::string ir_hash;                    // hex: its IR when its code was generated; empty: unknown
  bool nounwind = false;                  // the front end told callers that it does not throw
  std::vector<std::string> inlined = {};  // functions that it has copies of, by its own calls
};

struct DataDescription {
  std::string name;
  Binding binding = Binding::kGlobal;
  uint64_t size = 0;
  bool is_constant = false;  // in a read-only section
  bool is_thread_local = false;
  std::string fingerprint;  // hex: initial bytes, relocations, section flags, alignment
  std::string type;         // as written in the source, for messages; may be empty
};

struct FieldDescription {
  std::string name;
  std::string type;     // as written
  std::string meaning;  // what a value there is, however it is spelled; enumerators have none
  uint64_t offset_bits = 0;
  uint64_t size_bits = 0;
};

// A record (struct, class, union) or enum whose layout live objects may have. Some describe what is
// compared in another way (patchc/compile/records.h): a "constant" (an enumerator), "static" and
// "body" (by their text, since symbols only tell their order), "assembler" outside of functions,
// and "module" (C++20), with a hash of the interface that the unit was compiled with.
struct RecordDescription {
  // Qualified; of a lambda, a block and a body the symbol of the function that it stands in.
  std::string name;
  // "struct", "class", "union", "enum", "lambda", "block"; "variable"; and as above.
  std::string kind;
  uint64_t size_bytes = 0;
  uint64_t alignment_bytes = 0;
  std::vector<FieldDescription>
      fields;                       // bases and the vtable pointer included; enumerators of an enum
  std::vector<std::string> vtable;  // virtual functions in order
  // Of a variable that is initialised when it is first reached: a hash of the expression. Of a
  // block: its text.
  std::string initializer;
};

struct ObjectDescription {
  std::string compiler;   // the version string of Clang and of mend
  std::string directory;  // working directory of the compilation
  std::string source;     // main source as given
  std::string output;     // object file as given
  std::vector<std::string>
      arguments;         // what `patchc cc` got, without -o and without the program's name
  std::string language;  // "c" or "c++": the driver's mode
  // Of a unit that asks for __DATE__ or __TIME__: what they are made of, in seconds since 1970 as
  // if the place were in UTC. 0: it does not.
  uint64_t source_date_s = 0;
  std::vector<SourceDescription> sources;
  std::vector<FunctionDescription> functions;
  std::vector<DataDescription> data;
  std::vector<RecordDescription> records;
  // By symbol: those that are no constants, each with its type as the first, unnamed member. Those
  // of an unnamed record follow.
  std::vector<RecordDescription> variables;
  // Hex, by symbol name: the IR of functions when it entered the optimiser. Of those, too, that
  // are not in the object, because they were inlined wherever they are called.
  std::map<std::string, std::string> input_hashes;

  // A unit's name within its program: what statics are identified by. With the directory, since
  // recursive builds compile sources of one name in several.
  std::string UnitName() const { return source + "|" + output + "|" + directory; }
};

// The framed, compressed bytes for the section.
std::string SerializeObjectDescription(const ObjectDescription& description);
// Untrusted input: INVALID_ARGUMENT says what is wrong.
absl::StatusOr<ObjectDescription> ParseObjectDescription(std::string_view section);

// The sources themselves, path and contents. An object has its main source, and the others too when
// it was compiled with -fmend-embed-headers; what the objects of a program lack is in the image's
// member kHeadersMember.
struct SourceText {
  std::string path;
  std::string contents;
};
// `description`: the contents of the object's section kObjectSection, if it has one. It names much
// of what is in the sources, which makes them smaller; what was written with it is read with it.
std::string SerializeSources(const std::vector<SourceText>& sources,
                             std::string_view description = {});
absl::StatusOr<std::vector<SourceText>> ParseSources(std::string_view section,
                                                     std::string_view description = {});
// Those that an ELF object carries: none without the section, or when `patchc strip` has emptied
// it.
absl::StatusOr<std::vector<SourceText>> SourcesIn(std::string_view object);

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_OBJECT_DESCRIPTION_H_
