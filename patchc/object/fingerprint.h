// What is in an ELF object, function by function and datum by datum, and a fingerprint of each.
//
// The fingerprint of a function is what the machine and the unwinder see of it: its bytes, its
// relocations with their targets named, its unwind table and its exception table. Private
// constants (string literals, floating-point constants, jump tables) count by content, because
// their names and positions depend on the rest of the unit; named constants that the unit defines
// count by name and content, because a reader of a changed constant has to see the new one;
// functions and mutable data count by name. So an equal fingerprint is equal machine code that
// reads equal constants, and nothing else of the unit matters.
//
// Called by the driver (to describe the objects that it writes) and by the comparison (compare/).
// Stateless and thread-safe. Input may be any bytes: what is malformed is reported.
#ifndef MEND_PATCHC_OBJECT_FINGERPRINT_H_
#define MEND_PATCHC_OBJECT_FINGERPRINT_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {

// What the comparison needs beyond the descriptions.
struct SymbolDetails {
  // Like the fingerprint, but named constants count by name only.
  std::string own_fingerprint;
  // Symbols that it refers to, itself or through private constants and its exception table.
  std::set<std::string> references;
  // Functions whose addresses it has, other than to call them; of what other objects define,
  // anything.
  std::set<std::string> addresses;
  // Data only: functions into whose inside it points (tables of labels).
  std::set<std::string> label_owners;
  // Data only: what the code counts on; 0 where the datum shares its section. The optimiser raises
  // it for functions that are the better for it, so it is no part of the fingerprint.
  uint64_t alignment = 0;
  // The section's index, and where in it: symbols of one place are one thing (aliases). Section 0:
  // none, as of tentative definitions.
  std::pair<uint32_t, uint64_t> place;
  // In a group, as inline functions and instances of templates are: definitions of that name in
  // other objects are the same. Other weak ones may be anything.
  bool is_in_group = false;
  // Data only: the section's name where the linker marks its begin and end (__start_NAME), since
  // that is an identifier. Empty for all others.
  std::string linker_set;
};

struct ObjectSummary {
  std::vector<FunctionDescription> functions;    // in the order of addresses, section by section
  std::vector<DataDescription> data;             // likewise
  std::map<std::string, SymbolDetails> details;  // of each of these, by name
  std::set<std::string> undefined;               // strong and weak
  std::vector<std::string> initializers;         // in .init_array, .fini_array, .ctors, .dtors
};

// INVALID_ARGUMENT: not an x86-64 ELF relocatable, or damaged. No function is patchable in an
// object that has been described, which lists its entries no more: see TakePatchable.
absl::StatusOr<ObjectSummary> SummarizeObject(std::string_view elf);

// Which functions are patchable, from the description that was written when the entries were
// listed.
void TakePatchable(const std::vector<FunctionDescription>& described, ObjectSummary& summary);

// Hex of a 128-bit BLAKE3 hash; for sources too.
std::string HashHex(std::string_view bytes);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_OBJECT_FINGERPRINT_H_
