// Keeping old line numbers in edited sources.
//
// An inserted line moves every __LINE__ after it (assertions have them), and with it the code of
// functions that nobody touched. So before an edited source is compiled for comparison, #line
// directives give the unchanged regions their old numbers back.
#ifndef MEND_PATCHC_SOURCES_LINE_DIRECTIVES_H_
#define MEND_PATCHC_SOURCES_LINE_DIRECTIVES_H_

#include <string>
#include <string_view>
#include <vector>

namespace mend::patchc {

// Lines [old_begin, old_end) became [new_begin, new_end); lines count from 0.
struct ChangedRegion {
  size_t old_begin = 0;
  size_t old_end = 0;
  size_t new_begin = 0;
  size_t new_end = 0;
};

// In ascending order; empty for equal texts.
std::vector<ChangedRegion> CompareLines(std::string_view old_text, std::string_view new_text);

// What numbers lines have that the old text does not: they count on from the one before, so that
// they may have that of an old one, too; or they have numbers apart, beyond all others.
enum class NewLines { kCountOn, kApart };

// `new_text` with directives. Equal texts come back as they are.
std::string KeepLineNumbers(std::string_view old_text, std::string_view new_text,
                            NewLines lines = NewLines::kCountOn);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCES_LINE_DIRECTIVES_H_
