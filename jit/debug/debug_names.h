// Names of functions in debug information.
#ifndef MEND_JIT_DEBUG_DEBUG_NAMES_H_
#define MEND_JIT_DEBUG_DEBUG_NAMES_H_

#include <map>
#include <string>
#include <string_view>

namespace mend::jit {

// The debug sections of one object, by name (".debug_info"), relocated.
using DebugSections = std::map<std::string, std::string, std::less<>>;

// Calls the functions that have code NAME@VERSION. A debugger computes the full name of a C++
// function from that name and its scope: linkage names, which it would prefer, are taken out of its
// sight.
//
// Debug information that cannot be read (damaged, or of the 64-bit format) is left as it is; it is
// an untrusted input, which is why LLVM's reader, which trusts it, is not used.
//
// A name keeps its form where the compiler lets a function and something else (a constructor's
// class, a member) share one entry of the table of strings, or writes it in place.
void NameVersions(DebugSections& sections, std::string_view version);

}  // namespace mend::jit

#endif  // MEND_JIT_DEBUG_DEBUG_NAMES_H_
