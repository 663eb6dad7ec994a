// How people name a function: `[OBJECT:]FUNCTION[,POSITION]`, where FUNCTION is a symbol name or a
// C++ name with or without its parameter types. patchc checks such names when it builds a patch,
// the host looks them up; both by these rules.
#ifndef MEND_RUNTIME_FORMAT_FUNCTION_REQUEST_H_
#define MEND_RUNTIME_FORMAT_FUNCTION_REQUEST_H_

#include <string>
#include <string_view>

namespace mend {

struct FunctionRequest {
  std::string_view object;  // empty: the program
  std::string_view function;
  unsigned position = 0;  // in link order, from 1; 0: not given
};

// The parts view `text`. Never fails: whatever is no object and no position is the function's name.
FunctionRequest ParseFunctionRequest(std::string_view text);

// Whether `name` means the function with this symbol and demangled name. ABI tags, such as the
// [abi:cxx11] of functions that return a std::string, are part of no name that people know.
bool IsNameOfFunction(std::string_view name, std::string_view symbol, std::string_view demangled);

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_FUNCTION_REQUEST_H_
