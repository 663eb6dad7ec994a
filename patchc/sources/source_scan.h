// A light scan of C and C++ source text: before which lines a line directive may stand, and which
// function a line belongs to.
//
// A scan and no parse: it works on text that does not compile yet, and macros stay as they are. Its
// answers only decide what is *said* and where line numbers are kept; which functions a patch
// contains is decided by comparing machine code.
#ifndef MEND_PATCHC_SOURCES_SOURCE_SCAN_H_
#define MEND_PATCHC_SOURCES_SOURCE_SCAN_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mend::patchc {

struct ScannedLine {
  // Not inside a comment, string, parenthesis or continued line, and not between the name of a
  // macro and its arguments.
  bool directive_may_precede = true;
  // #else, #elif, #endif: a directive before it may have been skipped.
  bool ends_branch = false;
  // The number that a #line directive in the text itself gives to the next line; 0 for none.
  size_t sets_line = 0;
};

struct FunctionSpan {
  std::string name;  // unqualified
  size_t begin = 0;  // lines from 0, end inclusive
  size_t end = 0;
  // The words between its parentheses if the name is a macro's, which makes one of them: it has
  // upper case alone.
  std::vector<std::string> macro_arguments;

  // Whether these lines may be a function of that name. A macro's are if it is one of the words, or
  // ends with all of them: PHP_METHOD(DOMDocument, validate) is zim_DOMDocument_validate.
  bool MayBe(std::string_view function) const;
};

struct SourceScan {
  std::vector<ScannedLine> lines;
  std::vector<FunctionSpan> functions;

  // The function around a line (from 0); null outside of functions.
  const FunctionSpan* FunctionAt(size_t line) const;
};

SourceScan ScanSource(std::string_view text);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCES_SOURCE_SCAN_H_
