// Refusals: why patchc does not make a patch of an edit. Each has a stable code (MEND-E0101), which
// `patchc explain` explains with the way out.
#ifndef MEND_PATCHC_SUPPORT_REFUSALS_H_
#define MEND_PATCHC_SUPPORT_REFUSALS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace mend::patchc {

enum class RefusalCode : uint16_t {
#define MEND_REFUSAL(number, name, title, explanation, way_out) k##name = (number),
#include "patchc/support/refusals.def"
#undef MEND_REFUSAL
};

struct RefusalText {
  RefusalCode code;
  const char* title;
  const char* explanation;
  const char* way_out;
};

// All of them, by number.
const std::vector<RefusalText>& AllRefusals();
const RefusalText& TextOf(RefusalCode code);
// By "MEND-E0101", "E0101" or "101"; nullptr when there is none.
const RefusalText* FindRefusal(std::string_view id);

// That whose id stands in `message`; nullptr when there is none.
const RefusalText* FindRefusalIn(std::string_view message);

// "MEND-E0101".
std::string RefusalId(RefusalCode code);

struct Refusal {
  RefusalCode code;
  std::string message;  // what and where: names the function, datum, record, file
  std::string detail;   // further lines: both layouts, Clang's diagnostics; may be empty
};

// "MEND-E0101: MESSAGE"; the detail and the way out follow on lines of their own.
std::string RefusalReport(const Refusal& refusal);

// As a status, where one refusal ends the work: FAILED_PRECONDITION with RefusalReport as message.
absl::Status RefusalStatus(const Refusal& refusal);

}  // namespace mend::patchc

#endif  // MEND_PATCHC_SUPPORT_REFUSALS_H_
