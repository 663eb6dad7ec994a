// The type of a variable as text, for comparing what two compilations of a source mean by it: size,
// members with their names and places, recursively for what the variable contains. What it points
// to counts by its name alone: objects elsewhere are the layout comparison's business.
#ifndef MEND_PATCHC_CODEGEN_VARIABLE_TYPE_H_
#define MEND_PATCHC_CODEGEN_VARIABLE_TYPE_H_

#include <llvm/IR/DebugInfoMetadata.h>
#include <llvm/IR/Type.h>

#include <string>

namespace mend::patchc {

// `type`: nullptr is void. From debug information that may know some records by name only.
std::string EncodeSourceType(const llvm::DIType* type);

// As the code sees it: without the names of records, which depend on the rest of the unit.
std::string EncodeIrType(const llvm::Type* type);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_CODEGEN_VARIABLE_TYPE_H_
