// -fmend-loops, a flag of patchc's own, and the names of the functions that it makes
// (codegen/loop_bodies.h).
//
//   -fmend-loops           endless loops
//   -fmend-loops=F,G       these, and the outermost loops of the functions F and G (*: of all)
//   -fno-mend-loops        none, whatever came before
#ifndef MEND_PATCHC_OBJECT_LOOP_FLAGS_H_
#define MEND_PATCHC_OBJECT_LOOP_FLAGS_H_

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mend::patchc {

struct LoopFlags {
  bool enabled = false;
  std::set<std::string> functions;  // names as in the source, with or without scope, or symbols
};

// Takes the flags out of a compiler's arguments.
LoopFlags TakeLoopFlags(std::vector<std::string>& arguments);

// Arguments that say the same.
std::vector<std::string> LoopArguments(const LoopFlags& flags);

// Of the loop number `index` of a function. `interface`: all that the body and the function around
// it have to agree on. Other interfaces make other names, so a body is never taken for a new
// version of one that expects something else.
std::string NameOfLoopBody(std::string_view function, size_t index, std::string_view interface);

// The symbol of the function around the loop that the body is of; empty for other functions.
std::string_view FunctionOfLoopBody(std::string_view symbol);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_OBJECT_LOOP_FLAGS_H_
