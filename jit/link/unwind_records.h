// The unwind records (`.eh_frame`) of a graph that is to be linked: which function each is for, so
// that both stay or go together, and which common record (CIE) it refers to.
//
// In place of JITLink's EHFrameEdgeFixer, which finds the same by the addresses of all of a graph's
// symbols and blocks, and was a tenth of the start of a large program: in a relocatable a record
// has a relocation for its function, and the distance to its common record is all that is left.
#ifndef MEND_JIT_LINK_UNWIND_RECORDS_H_
#define MEND_JIT_LINK_UNWIND_RECORDS_H_

#include "llvm/ExecutionEngine/JITLink/JITLink.h"

namespace mend::jit {

inline constexpr char kUnwindSection[] = ".eh_frame";

// The records, or the tables of handlers that they lead to.
inline bool IsUnwindSection(const llvm::jitlink::Section& section) {
  return section.getName() == kUnwindSection || section.getName().starts_with(".gcc_except_table");
}

// A pass before pruning. REQUIRES: DWARFRecordSectionSplitter has made a block of each record. An
// error names what cannot be read: records of the 64-bit format, without a relocation for their
// function, or with a common record that the section does not have.
llvm::Error ConnectUnwindRecords(llvm::jitlink::LinkGraph& graph);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_UNWIND_RECORDS_H_
