// Where the choices of a history come from: at random, from a seed; or one after the other, all
// that there are within a bound.
#ifndef MEND_TESTS_SIMULATION_CHOOSER_H_
#define MEND_TESTS_SIMULATION_CHOOSER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/simulation/scheduler.h"

namespace mend::simulation {

class RandomChooser : public Chooser {
 public:
  explicit RandomChooser(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {
    constexpr uint32_t kPeriods[] = {2, 6, 20, 80};
    period_ = kPeriods[Next() % 4];
  }
  uint32_t Choose(uint32_t n) override { return static_cast<uint32_t>(Next() % n); }
  uint32_t ChooseFiber(uint32_t n) override { return Choose(period_) == 0 ? Choose(n) : 0; }

 private:
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ >> 11;
  }
  uint64_t state_;
  uint32_t period_ = 2;
};

// Depth first over all choices of fibers in which at most `deviations_max` are not the default.
class ExhaustiveChooser : public Chooser {
 public:
  ExhaustiveChooser(int deviations_max, uint64_t points_max) : deviations_max_(deviations_max) {
    // It grows in histories, whose memory does not last.
    choices_.reserve(points_max);
  }
  uint32_t Choose(uint32_t) override { return 0; }
  uint32_t ChooseFiber(uint32_t n) override {
    if (at_ == choices_.size()) choices_.push_back({0, n});
    return choices_[at_++].taken;
  }
  // The next history; false when there is none.
  bool Next() {
    choices_.resize(at_);
    at_ = 0;
    int deviations = 0;
    for (const Choice& choice : choices_) deviations += choice.taken != 0 ? 1 : 0;
    while (!choices_.empty()) {
      Choice& last = choices_.back();
      const bool deviates = last.taken != 0;
      if (last.taken + 1 < last.of && (deviates || deviations < deviations_max_)) {
        ++last.taken;
        return true;
      }
      if (deviates) --deviations;
      choices_.pop_back();
    }
    return false;
  }

 private:
  struct Choice {
    uint32_t taken;
    uint32_t of;
  };
  const int deviations_max_;
  std::vector<Choice> choices_;
  size_t at_ = 0;
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_CHOOSER_H_
