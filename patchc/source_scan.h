// A light scan of C and C++ source text: before which lines a line directive may stand, and which
// function a line belongs to.
//
// A scan and no parse: it works on text that does not compile yet, and macros stay as they are. Its
// answers only decide what is *said* and where line numbers are kept; which functions a patch
// contains is decided by comparing machine code.
#ifndef MEND_PATCHC_SOURCE_SCAN_H_
#define MEND_PATCHC_SOURCE_SCAN_H_

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
};

struct SourceScan {
  std::vector<ScannedLine> lines;
  std::vector<FunctionSpan> functions;

  // The name of the function around a line (from 0); empty outside of functions.
  std::string FunctionAt(size_t line) const;
};

SourceScan ScanSource(std::string_view text);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SOURCE_SCAN_H_
