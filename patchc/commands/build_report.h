// How a built (or refused) patch is told to people and to scripts.
#ifndef MEND_PATCHC_COMMANDS_BUILD_REPORT_H_
#define MEND_PATCHC_COMMANDS_BUILD_REPORT_H_

#include <cstdio>

#include "mend/json.h"
#include "patchc/compare/patch_builder.h"

namespace mend::patchc {

// The refusals, warnings and notes, for people.
void PrintProblems(std::FILE* file, const BuildReport& report);

// What the patch contains: replaced, new and gone functions, and data.
void PrintContents(std::FILE* file, const BuildReport& report);

// Everything; "schema" is for the caller to put first.
void FillJson(const BuildReport& report, Json& json);

// Only what the patch contains, unit by unit, under "units".
void FillUnits(const BuildReport& report, Json& json);

// "12.3 ms".
std::string ShowDuration(int64_t nanoseconds);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_COMMANDS_BUILD_REPORT_H_
