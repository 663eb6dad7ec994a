#include "runtime/patch/redirection_table.h"

#include <atomic>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/check.h"

namespace mend {

void Redirection::SetSlot(CodeAddress target) const {
  // ORDER[T9]: the target's text before the slot that leads to it; pairs with the stub's load (the
  // processor's own order on x86-64; JITLink finalised the text with a barrier).
  std::atomic_ref<uintptr_t>(*site.slot).store(target.value, std::memory_order_release);
}

absl::StatusOr<uint64_t> OpenEntry(const FunctionSite& site) {
  // jmp *disp32(%rip); int3; int3. The displacement counts from the end of the jump.
  constexpr int64_t kJumpSize = 6;
  const int64_t displacement = static_cast<int64_t>(reinterpret_cast<uintptr_t>(site.slot)) -
                               static_cast<int64_t>(site.entry.value) - kJumpSize;
  if (displacement < std::numeric_limits<int32_t>::min() ||
      displacement > std::numeric_limits<int32_t>::max()) {
    return absl::OutOfRangeError(
        absl::StrCat("the slot of function '", site.name, "' is out of its entry's reach"));
  }
  const uint64_t field = static_cast<uint32_t>(static_cast<int32_t>(displacement));
  return uint64_t{0xcccc'0000'0000'25ff} | field << 16;
}

Redirection* RedirectionTable::Of(const FunctionSite& site) {
  std::unique_ptr<Redirection>& redirection = redirections_[site.entry];
  if (redirection == nullptr) {
    redirection = std::make_unique<Redirection>();
    redirection->site = site;
  }
  return redirection.get();
}

const Redirection* RedirectionTable::Find(CodeAddress entry) const {
  const auto at = redirections_.find(entry);
  return at == redirections_.end() ? nullptr : at->second.get();
}

Redirection* RedirectionTable::Find(CodeAddress entry) {
  const auto at = redirections_.find(entry);
  return at == redirections_.end() ? nullptr : at->second.get();
}

void RedirectionTable::Forget(CodeAddress entry) {
  const Redirection* const redirection = Find(entry);
  if (redirection == nullptr) return;
  MEND_CHECK(redirection->versions.empty(), "a function goes that is patched still");
  redirections_.erase(entry);
}

}  // namespace mend
