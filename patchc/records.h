// RecordCollector: the layouts of the records and enums that a unit's own sources (not the system's
// headers) define, from the syntax tree. A changed layout that live objects have is refused.
#ifndef MEND_PATCHC_RECORDS_H_
#define MEND_PATCHC_RECORDS_H_

#include <clang/AST/ASTConsumer.h>

#include <memory>
#include <vector>

#include "runtime/format/object_description.h"

namespace mend::patchc {

// Fills `records` when the translation unit is complete and without errors. `records` must live
// as long as the consumer.
std::unique_ptr<clang::ASTConsumer> CreateRecordCollector(std::vector<RecordDescription>* records);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_RECORDS_H_
