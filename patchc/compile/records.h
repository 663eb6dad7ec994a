// RecordCollector: the layouts of the records and enums that a unit's own sources (not the system's
// headers) define, and the types of the variables, from the syntax tree. A changed layout that live
// objects have is refused, and so is a variable that would be taken for something else.
#ifndef MEND_PATCHC_COMPILE_RECORDS_H_
#define MEND_PATCHC_COMPILE_RECORDS_H_

#include <clang/AST/ASTConsumer.h>
#include <clang/AST/ASTContext.h>
#include <clang/AST/Decl.h>

#include <memory>
#include <string>

#include "patchc/compile/local_bodies.h"
#include "patchc/compile/static_blocks.h"
#include "runtime/format/object_description.h"

namespace mend::patchc {

// Fills `description`'s records (those of StaticBlocks among them) and variables, and `bodies`,
// when the translation unit is complete and without errors. Both must live as long as the consumer.
std::unique_ptr<clang::ASTConsumer> CreateRecordCollector(ObjectDescription* description,
                                                          LocalBodies* bodies, SymbolOf symbol_of);

// What a record or enum is described under: its qualified name, or that of the typedef of an
// unnamed one, with the function that it is local to; empty: it has none. Several may share a name,
// as those of two blocks of a function.
std::string RecordName(const clang::TagDecl& declaration, const clang::ASTContext& context);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMPILE_RECORDS_H_
