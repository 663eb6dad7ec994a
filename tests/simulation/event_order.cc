#include "tests/simulation/event_order.h"

namespace mend::simulation {

bool EventOrder::Accept(const std::string& kind) {
  struct Step {
    const char* kind;
    State from;
    State to;
  };
  constexpr Step kSteps[] = {
      {"transition_init", State::kIdle, State::kPrepared},
      {"transition_start", State::kPrepared, State::kSwitching},
      {"reversing", State::kSwitching, State::kPrepared},
      {"forcing", State::kSwitching, State::kSwitching},
      {"canary_started", State::kPrepared, State::kPrepared},
      {"canary_held", State::kSwitching, State::kSwitching},
      {"canary_promoted", State::kSwitching, State::kSwitching},
      {"signaling", State::kSwitching, State::kSwitching},
      {"thread_switched", State::kSwitching, State::kSwitching},
      {"thread_running", State::kSwitching, State::kSwitching},
      {"thread_on_stack", State::kSwitching, State::kSwitching},
      {"thread_unreliable_stack", State::kSwitching, State::kSwitching},
      {"canceling", State::kPrepared, State::kCancelled},
      {"transition_completing", State::kSwitching, State::kCompleting},
      {"transition_completing", State::kCancelled, State::kCompleting},
      {"transition_complete", State::kCompleting, State::kIdle},
  };
  bool known = false;
  for (const Step& step : kSteps) {
    if (kind != step.kind) continue;
    known = true;
    if (step.from != state_) continue;
    state_ = step.to;
    return true;
  }
  return !known;
}

}  // namespace mend::simulation
