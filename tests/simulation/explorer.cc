#include "tests/simulation/explorer.h"

#include <string.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/simulation/arena.h"

namespace mend::simulation {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// Longer than anything that the core measures, but for how long people wait.
constexpr int64_t kLateNs = 200'000'000;
// So many choices without an alternative are not told from a circle.
constexpr size_t kWithoutLevelMax = 400;

}  // namespace

// --- the table ---

Digest* DigestTable::Find(Digest digest) {
  size_t at = digest.low & (entries_.size() - 1);
  while (entries_[at] != Digest{} && !Same(entries_[at], digest)) {
    at = (at + 1) & (entries_.size() - 1);
  }
  return &entries_[at];
}

DigestTable::Found DigestTable::Insert(Digest digest) {
  Digest* const entry = Find(digest);
  if (*entry != Digest{}) return (entry->high & 1) != 0 ? Found::kMarked : Found::kUnmarked;
  *entry = {.high = digest.high | 1, .low = digest.low};
  if (++size_ * 2 > entries_.size()) Grow();
  return Found::kNew;
}

void DigestTable::Unmark(Digest digest) { Find(digest)->high &= ~uint64_t{1}; }

void DigestTable::Clear() {
  std::fill(entries_.begin(), entries_.end(), Digest{});
  size_ = 0;
}

void DigestTable::Grow() {
  std::vector<Digest> smaller(entries_.size() * 2);
  smaller.swap(entries_);
  for (const Digest& entry : smaller) {
    if (entry != Digest{}) *Find(entry) = entry;
  }
}

// --- what fibers do ---

void Explorer::Note(uintptr_t location, bool writes, const Fiber& fiber) {
  Users& users = users_[location];
  int& phase = (writes ? users.writes : users.reads)[static_cast<size_t>(fiber.id)];
  if (phase >= fiber.phase) return;
  phase = fiber.phase;
  learned_ = true;
}

// Of the fiber that has come to a point.
void Explorer::NoteAccess() {
  Fiber& fiber = *scheduler_->running();
  if (fiber.done) return;
  Access& next = fiber.next;
  if (next.location >= Access::kAddresses && IsForPeople(next.location, *world_)) {
    next = {.location = Access::kOwn};
  }
  if (next.location != Access::kOwn) Note(next.location, next.writes, fiber);
  if (options_.time_passes && SleepsUntilAnyTime(fiber))
    Note(Access::kClock, /*writes=*/true, fiber);
}

bool Explorer::SleepsUntilAnyTime(const Fiber& fiber) const {
  return fiber.sleeps_on != nullptr && fiber.wakes_any_time && fiber.wake_ns != kNever;
}

bool Explorer::IsReady(const Fiber& fiber) const {
  if (fiber.done) return false;
  if (fiber.interrupt_pending && !fiber.interrupts_off) return true;
  if (fiber.awaits != nullptr) {
    uint64_t value = 0;
    memcpy(&value, fiber.awaits, fiber.next.size);
    return value != fiber.awaited_value;
  }
  return fiber.sleeps_on == nullptr || SleepsUntilAnyTime(fiber);
}

Explorer::FiberSet Explorer::Ready() const {
  FiberSet ready = 0;
  for (const auto& fiber : scheduler_->fibers()) {
    if (IsReady(*fiber)) ready |= FiberSet{1} << fiber->id;
  }
  return ready;
}

Explorer::FiberSet Explorer::Dependent(const Fiber& fiber, const Access& access,
                                       bool writers) const {
  if (access.location == Access::kOwn) return 0;
  FiberSet set = 0;
  const auto found = users_.find(access.location);
  for (const auto& other : scheduler_->fibers()) {
    if (other.get() == &fiber || other->done) continue;
    const auto id = static_cast<size_t>(other->id);
    bool may = access.location == Access::kAnything;
    if (!may && found != users_.end()) {
      may = found->second.writes[id] >= other->phase ||
            (access.writes && !writers && found->second.reads[id] >= other->phase);
    }
    if (may) set |= FiberSet{1} << id;
  }
  const auto anything = users_.find(Access::kAnything);
  if (anything == users_.end()) return set;
  for (const auto& other : scheduler_->fibers()) {
    const auto id = static_cast<size_t>(other->id);
    if (other.get() != &fiber && !other->done && anything->second.reads[id] >= other->phase) {
      set |= FiberSet{1} << id;
    }
  }
  return set;
}

Explorer::FiberSet Explorer::DependentOnNext(const Fiber& fiber, bool ready) const {
  // Whether it is woken before its sleep ends by itself or after is the same: it goes on.
  if (SleepsUntilAnyTime(fiber)) {
    if (!options_.time_passes) return 0;
    return Dependent(fiber, {.location = Access::kClock, .size = 0, .writes = true});
  }
  FiberSet set = Dependent(fiber, fiber.next, /*writers=*/!ready);
  // Each step of a thread looks for interrupts.
  if (fiber.owner != nullptr) {
    set |= Dependent(fiber, {.location = reinterpret_cast<uintptr_t>(&fiber)});
  }
  return set;
}

Explorer::FiberSet Explorer::Closure(size_t seed, FiberSet ready) const {
  FiberSet set = FiberSet{1} << seed;
  for (FiberSet left = set; left != 0;) {
    const auto id = static_cast<size_t>(std::countr_zero(left));
    left &= left - 1;
    const FiberSet more = DependentOnNext(At(id), ((ready >> id) & 1) != 0) & ~set;
    set |= more;
    left |= more;
  }
  return set & ready;
}

Explorer::FiberSet Explorer::Persistent(FiberSet ready) const {
  // Before, what a fiber that is not there yet will do is that of who makes it.
  if (!options_.reduce || scheduler_->fibers().size() < fibers_) return ready;
  FiberSet best = ready;
  for (FiberSet left = ready; left != 0; left &= left - 1) {
    const FiberSet set = Closure(static_cast<size_t>(std::countr_zero(left)), ready);
    if (std::popcount(set) < std::popcount(best)) best = set;
  }
  return best;
}

// --- choices ---

void Explorer::AddOptions(FiberSet fibers, Level* level) const {
  // The one that ran, then the next in turn; last who would only look again.
  const auto count = static_cast<int>(scheduler_->fibers().size());
  for (const bool looks_again : {false, true}) {
    for (int i = 0; i < count; ++i) {
      const int id = (scheduler_->running()->id + i) % count;
      if (((fibers >> id) & 1) == 0) continue;
      if (SleepsUntilAnyTime(At(static_cast<size_t>(id))) != looks_again) continue;
      level->options[level->all++] = static_cast<uint8_t>(id);
      if (!looks_again || !options_.time_passes) continue;
      level->options[level->all++] = static_cast<uint8_t>(id | kLate);
    }
  }
}

Fiber* Explorer::Take(uint8_t choice) {
  if (Preempts(choice)) ++preemptions_;
  path_.push_back(choice);
  Fiber& fiber = At(choice & kFiber);
  const int64_t now_ns = scheduler_->now_ns();
  if ((choice & kLate) != 0) scheduler_->set_now_ns(std::max(fiber.wake_ns, now_ns + kLateNs));
  if ((choice & kDue) != 0) scheduler_->set_now_ns(std::max(fiber.wake_ns, now_ns));
  return &fiber;
}

bool Explorer::Preempts(uint8_t choice) const {
  const Fiber& running = *scheduler_->running();
  return (choice & kFiber) != running.id && IsReady(running) && running.sleeps_on == nullptr;
}

void Explorer::LeaveOutPreemptions(FiberSet /*ready*/, Level* level) const {
  if (preemptions_ < options_.preemptions_max) return;
  uint8_t kept = 0;
  for (uint8_t i = 0; i < level->all; ++i) {
    if (!Preempts(level->options[i])) level->options[kept++] = level->options[i];
  }
  level->count = level->all = kept;
}

// Where the history may go from a state depends on who has run last, and on how many preemptions
// are left.
bool Explorer::WasCheaper(Digest* digest) {
  digest->low += static_cast<uint64_t>(scheduler_->running()->id + 1) * 0x9e37'79b9'7f4a'7c15;
  for (int fewer = 0; fewer < preemptions_; ++fewer) {
    if (visited_.Contains({digest->high, digest->low ^ static_cast<uint64_t>(fewer)})) return true;
  }
  digest->low ^= static_cast<uint64_t>(preemptions_);
  return false;
}

uint8_t Explorer::SomeOption(const Level& level) {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return level.options[random_ % 8 != 0 ? 0 : (random_ >> 8) % level.all];
}

Fiber* Explorer::GoOn() {
  const FiberSet ready = Ready();
  if (ready == 0) {
    const Fiber* first = nullptr;
    for (const auto& fiber : scheduler_->fibers()) {
      if (fiber->done || fiber->sleeps_on == nullptr || fiber->wake_ns == kNever) continue;
      if (first == nullptr || fiber->wake_ns < first->wake_ns) first = fiber.get();
    }
    if (first == nullptr) {
      scheduler_->set_violation("all threads sleep for ever");
      return nullptr;
    }
    return Take(static_cast<uint8_t>(first->id | kDue));
  }
  Level level = {};
  if (to_learn_from_ > 0) {
    AddOptions(ready, &level);
    return Take(SomeOption(level));
  }
  AddOptions(Persistent(ready), &level);
  level.count = level.all;
  if (options_.preemptions_max < 0) {
    AddOptions(ready & ~Persistent(ready), &level);
  } else {
    LeaveOutPreemptions(ready, &level);
  }
  if (level.count == 1 && ++without_level_ < kWithoutLevelMax) {
    return Take(level.options[0]);
  }
  if (options_.deviations_max < 0) {
    level.digest = StateNow();
    if (options_.preemptions_max >= 0 && WasCheaper(&level.digest)) return GoBack();
    switch (visited_.Insert(level.digest)) {
      case DigestTable::Found::kMarked:
        // A circle: see the cycle proviso.
        levels_.back().count = levels_.back().all;
        return GoBack();
      case DigestTable::Found::kUnmarked:
        return GoBack();
      case DigestTable::Found::kNew:
        break;
    }
  }
  without_level_ = 0;
  level.at = path_.size();
  level.preemptions = preemptions_;
  if (level.all > 1) {
    if (!spare_.empty()) {
      level.before = std::move(spare_.back());
      spare_.pop_back();
    }
    level.before.Take(*scheduler_, *world_);
  }
  levels_.push_back(std::move(level));
  return Take(levels_.back().options[0]);
}

Fiber* Explorer::Choose() {
  const Arena::Pause pause;
  NoteAccess();
  ForgetStraggler(world_);
  if (!scheduler_->main()->done) return GoOn();
  ends_.push_back(StateNow(/*stacks=*/false));
  return GoBack();
}

// --- histories ---

void Explorer::Begin(Scheduler* scheduler, World* world, size_t fibers) {
  scheduler_ = scheduler;
  world_ = world;
  fibers_ = fibers;
  path_.clear();
  preemptions_ = 0;
  without_level_ = 0;
}

int Explorer::Deviations() const {
  int deviations = 0;
  for (const Level& level : levels_) deviations += level.taken != 0 ? 1 : 0;
  return deviations;
}

Fiber* Explorer::GoBack() {
  ++histories_;
  while (!levels_.empty()) {
    Level& last = levels_.back();
    const bool may =
        options_.deviations_max < 0 || last.taken != 0 || Deviations() < options_.deviations_max;
    if (last.taken + 1 < last.count && may) {
      path_.resize(last.at);
      without_level_ = 0;
      last.before.Restore(scheduler_);
      preemptions_ = last.preemptions;
      return Take(last.options[++last.taken]);
    }
    if (options_.deviations_max < 0) visited_.Unmark(last.digest);
    if (last.all > 1) spare_.push_back(std::move(last.before));
    levels_.pop_back();
  }
  return nullptr;
}

bool Explorer::Next() {
  if (to_learn_from_ > 1) {
    --to_learn_from_;
    return true;
  }
  to_learn_from_ = 0;
  if (passes_ > 0 && !(options_.reduce && learned_)) {
    std::sort(ends_.begin(), ends_.end());
    ends_.erase(std::unique(ends_.begin(), ends_.end()), ends_.end());
    return false;
  }
  learned_ = false;
  ++passes_;
  ends_.clear();
  visited_.Clear();
  histories_ = 0;
  return true;
}

std::string Explorer::Path() const {
  std::string text;
  for (const uint8_t choice : path_) {
    absl::StrAppend(&text, choice & kFiber, (choice & kLate) != 0 ? "+" : "");
  }
  return text;
}

}  // namespace mend::simulation
