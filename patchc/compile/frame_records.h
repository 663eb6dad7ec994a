// Which records have all their objects in frames: what patchc knows of a unit's source when the
// layout of a record changed. Old and new objects of such a record never meet, since each lies in
// the frame of a function on whose stack it is used, and a thread with a replaced function on its
// stack does not switch.
//
//   allowed                                            anything else is an escape, as
//   an automatic variable or temporary                 a variable that outlives its function, one
//                                                      that a lambda, a block or a coroutine has, a
//                                                      parameter by value
//   members of it: read, written, their address taken  a member of another record, a template's
//                                                      argument, a base class, virtual functions
//   its address in a parameter or automatic variable   its address anywhere else: in an array, in
//                                                      a pointer to the pointer
//   in a direct call of a function defined here        any other call: by a pointer, to another
//                                                      unit, with variable arguments
//   memset, and memcpy between two of them             a conversion from or to another pointer, as
//                                                      of malloc and qsort; sizeof, offsetof, new
//
// The list of what is allowed is closed: what this file does not know is an escape.
#ifndef MEND_PATCHC_COMPILE_FRAME_RECORDS_H_
#define MEND_PATCHC_COMPILE_FRAME_RECORDS_H_

#include <clang/AST/ASTConsumer.h>

#include <memory>

#include "patchc/compile/record_use.h"

namespace mend::patchc {

// Fills in what the unit does with each record that is a key of `uses`, which must outlive it.
std::unique_ptr<clang::ASTConsumer> CreateFrameRecordCollector(RecordUses* uses);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_FRAME_RECORDS_H_
