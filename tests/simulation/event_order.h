// The legal order of the events of transitions, one after the other.
//
//   kIdle        transition_init: kPrepared
//   kPrepared    transition_start: kSwitching; canceling: kCancelled
//   kSwitching   reversing: kPrepared; threads switch, or are held; transition_completing
//   kCancelled   transition_completing
//   kCompleting  transition_complete: kIdle
#ifndef MEND_TESTS_SIMULATION_EVENT_ORDER_H_
#define MEND_TESTS_SIMULATION_EVENT_ORDER_H_

#include <string>

namespace mend::simulation {

class EventOrder {
 public:
  // False when an event of this kind may not come now.
  bool Accept(const std::string& kind);
  bool idle() const { return state_ == State::kIdle; }

 private:
  enum class State { kIdle, kPrepared, kSwitching, kCancelled, kCompleting };
  State state_ = State::kIdle;
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_EVENT_ORDER_H_
