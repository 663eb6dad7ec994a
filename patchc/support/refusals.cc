#include "patchc/support/refusals.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "patchc/support/text.h"
#include "runtime/base/check.h"

namespace mend::patchc {

const std::vector<RefusalText>& AllRefusals() {
  static const auto& texts = *new std::vector<RefusalText>{
#define MEND_REFUSAL(number, name, title, explanation, way_out) \
  {RefusalCode::k##name, title, explanation, way_out},
#include "patchc/support/refusals.def"
#undef MEND_REFUSAL
  };
  return texts;
}

const RefusalText& TextOf(RefusalCode code) {
  const auto& texts = AllRefusals();
  const auto found = std::find_if(texts.begin(), texts.end(),
                                  [&](const RefusalText& text) { return text.code == code; });
  MEND_CHECK(found != texts.end(), "every refusal has a text");
  return *found;
}

const RefusalText* FindRefusal(std::string_view id) {
  if (id.starts_with("MEND-")) id.remove_prefix(5);
  if (id.starts_with("E")) id.remove_prefix(1);
  int number = 0;
  if (!ParseNumber(id, &number)) return nullptr;
  for (const RefusalText& text : AllRefusals()) {
    if (static_cast<int>(text.code) == number) return &text;
  }
  return nullptr;
}

const RefusalText* FindRefusalIn(std::string_view message) {
  constexpr std::string_view kPrefix = "MEND-E";
  const size_t at = message.find(kPrefix);
  if (at == std::string_view::npos) return nullptr;
  const size_t end = message.find_first_not_of("0123456789", at + kPrefix.size());
  return FindRefusal(message.substr(at, end == std::string_view::npos ? end : end - at));
}

std::string RefusalId(RefusalCode code) {
  return absl::StrCat("MEND-E", absl::Dec(static_cast<int>(code), absl::kZeroPad4));
}

std::string RefusalReport(const Refusal& refusal) {
  std::string report = absl::StrCat(RefusalId(refusal.code), ": ", refusal.message);
  if (!refusal.detail.empty()) {
    absl::StrAppend(&report, "\n", Absl(TrimEnd(refusal.detail)));
  }
  absl::StrAppend(&report, "\n  way out: ", TextOf(refusal.code).way_out);
  return report;
}

absl::Status RefusalStatus(const Refusal& refusal) {
  return absl::FailedPreconditionError(RefusalReport(refusal));
}

}  // namespace mend::patchc
