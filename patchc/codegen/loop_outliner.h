// Makes a function of what a LoopRegion describes: one call of it is one turn of the loop.
//
//   before the loop    the addresses of the variables are put into a frame that lasts
//   the loop           calls the body function with that frame's address
//   the body function  returns when the turn is over; for a loop with exits, 0 for the next turn or
//                      the number of an exit
//
// The loop's variables stay where they were. What only a turn needs moves into the body function.
#ifndef MEND_PATCHC_CODEGEN_LOOP_OUTLINER_H_
#define MEND_PATCHC_CODEGEN_LOOP_OUTLINER_H_

#include <llvm/ADT/StringRef.h>
#include <llvm/IR/Function.h>

#include "patchc/codegen/loop_region.h"

namespace mend::patchc {

// The block of the function around the loop that calls the body; its name begins so.
inline constexpr char kTurnBlock[] = "loop.turn";

// REQUIRES: `region` has no obstacle, FindVariables has been called, and no function is called
// `name`. `shown`: the name for debuggers. Returns the body function.
llvm::Function* OutlineLoop(const LoopRegion& region, llvm::StringRef name, llvm::StringRef shown);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_LOOP_OUTLINER_H_
