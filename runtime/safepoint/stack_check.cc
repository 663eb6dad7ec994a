#include "runtime/safepoint/stack_check.h"

#include "runtime/base/failpoint.h"
#include "runtime/safepoint/handshake.h"

namespace mend {
namespace {

struct Search {
  const SwitchRequest* request;
  StackCheckResult result;
};

// Whether a frame at `pc` has taken, or may have taken, a trampoline's decision, and not yet acted
// on it. In one of this transition's nothing is decided at its beginning, nor in its poll. Who only
// looks (the grace period) wants to free trampolines, so for that all count.
bool InsideTrampoline(const SwitchRequest& request, CodeAddress pc) noexcept
    [[clang::nonblocking]] {
  const CodeRange* const trampolines =
      FindRange(request.trampolines.data(), request.trampolines.size(), pc);
  if (trampolines != nullptr) {
    if (!request.switches) return true;
    const size_t offset = (pc.value - trampolines->begin.value) % kTrampolineSize;
    return offset != 0 && offset != kTrampolinePollReturn;
  }
  return FindRange(request.retired_trampolines.data(), request.retired_trampolines.size(), pc) !=
         nullptr;
}

bool VisitFrame(const WalkFrame& frame, void* argument) noexcept [[clang::nonblocking]] {
  Search& search = *static_cast<Search*>(argument);
  const SwitchRequest& request = *search.request;
  // A return address may be the first byte behind its function (a call that never returns).
  const CodeAddress pc = frame.is_return_address ? CodeAddress{frame.pc.value - 1} : frame.pc;
  // A signal may have interrupted a trampoline; and its poll returns into it.
  const bool clean = FindRange(request.forbidden.data(), request.forbidden.size(), pc) == nullptr &&
                     !InsideTrampoline(request, frame.pc);
  if (clean) return true;
  search.result.reason = SwitchResult::kOnStack;
  search.result.pc = frame.pc;
  search.result.frame = frame.depth;
  return false;
}

}  // namespace

const CodeRange* FindRange(const CodeRange* ranges, size_t count, CodeAddress pc) noexcept
    [[clang::nonblocking]] {
  size_t low = 0;
  size_t high = count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (ranges[middle].end <= pc) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count && ranges[low].Contains(pc) ? &ranges[low] : nullptr;
}

StackCheckResult CheckStack(const RegisterContext& context, const WalkOptions& stacks,
                            const SwitchRequest& request) noexcept [[clang::nonblocking]] {
  Search search{.request = &request, .result = {}};
  // Only what switches: the grace period still sees who is in text that it would free, so that the
  // tests' controls mix versions instead of crashing.
  if (request.switches && MEND_FAILPOINT("safepoint/stack_check_off")) return search.result;
  const WalkResult walk = WalkStack(context, stacks, VisitFrame, &search);
  search.result.walk_end = walk.end;
  if (walk.end != WalkEnd::kComplete && walk.end != WalkEnd::kStopped) {
    search.result.reason = SwitchResult::kUnreliableStack;
    search.result.pc = walk.last_pc;
    search.result.frame = walk.frames;
  }
  return search.result;
}

}  // namespace mend
