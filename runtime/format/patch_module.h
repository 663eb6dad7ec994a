// PatchModule: the file that `patchc build` writes (`*.mendpatch`) and that a target links. There
// are two kinds, by what they hold.
//
// A source patch holds, per affected unit of the program or of a guest module, the new object as
// compiled (an ELF relocatable), and says which of its functions replace which, what is new, and
// what it expects of what runs. What it does not list is not taken from the object: references to
// it go to the running program or module.
// Encoding: Frame "MENDPTCH" around a JSON header and the objects.
#ifndef MEND_RUNTIME_FORMAT_PATCH_MODULE_H_
#define MEND_RUNTIME_FORMAT_PATCH_MODULE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/format/object_description.h"

namespace mend {

enum class ChangeReason : uint8_t {
  kChanged,        // its own source changed
  kInlines,        // it inlined a function that changed
  kReadsConstant,  // it reads a constant that changed
};
const char* ChangeReasonName(ChangeReason reason);

struct PatchedFunction {
  std::string name;  // symbol in the unit's object
  Binding binding = Binding::kGlobal;
  // Among the functions of that name in the program or module, in link order, from 1: what it is
  // called as long as a module is not loaded.
  unsigned position = 1;
  ChangeReason reason = ChangeReason::kChanged;
  std::string detail;            // for people: the hunk, or the chain of inlined functions
  std::string base_fingerprint;  // of the function it replaces, as the program describes it
};

// Data of the running program that the new code refers to.
struct DataReference {
  std::string name;
  Binding binding = Binding::kGlobal;
  uint64_t size = 0;
  std::string base_fingerprint;
};

// What the unit has and its base does not know: a record, its virtual functions, an enumerator.
// Once the patch has been enabled there may be objects of it, which later patches have to take for
// the same. What a variable is that the patch adds, under its symbol.
inline constexpr char kVariableType[] = "variable ";
struct AddedType {
  std::string name;     // "struct T", "enumerator Q of enum E"; "variable SYMBOL"
  std::string layout;   // hex: equal ones are equal
  std::string refusal;  // the code, where later patches have it otherwise; a variable's has none
  bool is_allowed = false;  // the author answers for another layout than earlier patches have
};

struct PatchUnit {
  std::string module;                      // guest module that the unit is of; empty: the program
  std::string unit;                        // ObjectDescription::UnitName of the base object
  std::vector<PatchedFunction> functions;  // replaced
  std::vector<std::string> new_functions;  // kept from the object
  std::vector<std::string> new_data;       // kept from the object
  std::vector<DataReference> references;
  std::vector<AddedType> types;
  std::string object;  // ELF relocatable
};

struct ExplicitObject {
  std::string name;   // of the source or file, for messages
  std::string bytes;  // ELF relocatable
};

struct PatchModule {
  std::string name;
  // Explicit: false overrides the descriptor, true leaves it to that.
  bool replace = true;
  std::string replace_set;        // replaces patches of its set only; empty: the usual one
  std::vector<std::string> hold;  // functions: `[OBJECT:]FUNCTION[,POSITION]`
  // Records that have another layout in its functions than in the program's: no other patch can be
  // beside it.
  std::vector<std::string> changed_layouts;
  // Of a source patch. The units of guest modules are linked in this order, module by module: they
  // find what those before them newly define.
  std::vector<PatchUnit> units;
  std::vector<ExplicitObject> objects;  // of an explicit patch
  std::string content_hash;             // hex; equal modules are equal

  // Not in the file, but of the request that brought it: inlined copies of replaced functions may
  // stay.
  bool allow_inlined = false;

  bool is_explicit() const { return !objects.empty(); }
};

// Fills content_hash.
std::string SerializePatchModule(PatchModule& module);
// Whether the file claims to be one.
bool IsPatchModule(std::string_view file);
// Untrusted input: INVALID_ARGUMENT says what is wrong.
absl::StatusOr<PatchModule> ParsePatchModule(std::string_view file);

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_PATCH_MODULE_H_
