// The values of macros in source text, by Clang's lexer, without preprocessing.
//
// What a running program has stored, sent or sized by the old value of a macro keeps it, and no
// comparison of machine code sees that. An enumerator whose value changes is refused; a macro may
// be anything, so that it is only told.
//
// Thread safety: none needed.
#ifndef MEND_PATCHC_SOURCES_MACRO_VALUES_H_
#define MEND_PATCHC_SOURCES_MACRO_VALUES_H_

#include <string>
#include <vector>

namespace mend::patchc {

struct ChangedMacro {
  std::string name;
  std::string old_value;  // as it is spelled
  std::string new_value;
};

// The macros without parameters that both texts define, and that stand for another number:
// expressions of numbers, characters, operators, and names in capitals. Of one with several
// definitions (for several platforms, say), the first that differs.
std::vector<ChangedMacro> ChangedMacroValues(const std::string& old_text,
                                             const std::string& new_text);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCES_MACRO_VALUES_H_
