// References to the offsets from the thread pointer that the host resolves at link time.
#ifndef MEND_PATCHC_CODEGEN_THREAD_OFFSET_H_
#define MEND_PATCHC_CODEGEN_THREAD_OFFSET_H_

#include <llvm/ADT/StringRef.h>
#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/Module.h>

namespace mend::patchc {

// The declaration of `__mend_tlsoff.NAME`, as a local-exec thread-local variable: the code
// generator then makes the shortest accesses there are (`%fs:offset`). ResolveThreadOffsets
// (object_writer.h) turns its thread-local relocations into plain ones, of an absolute symbol.
llvm::GlobalVariable* ThreadOffsetSymbol(llvm::Module& module, llvm::StringRef name,
                                         llvm::Type* type);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_THREAD_OFFSET_H_
