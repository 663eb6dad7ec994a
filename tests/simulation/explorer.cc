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
// A pass that has to be repeated goes on for so many states at least.
constexpr size_t kLearnsAtLeast = 5'000;

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

uint64_t Explorer::KeyOfStep(const Fiber& fiber) {
  uint64_t key = fiber.next.location * 2 + (fiber.next.writes ? 1 : 0);
  const auto depth = static_cast<uint64_t>(fiber.stack_high - static_cast<char*>(fiber.sp));
  for (const uint64_t part : {depth, static_cast<uint64_t>(fiber.id),
                              static_cast<uint64_t>(fiber.phase), uint64_t{fiber.done}}) {
    key = (key ^ part) * 0x9e37'79b9'7f4a'7c15;
    key ^= key >> 32;
  }
  return key;
}

uint32_t Explorer::ControlOf(const Fiber& fiber) {
  const Access& next = fiber.next;
  const bool clock = options_.time_passes && SleepsUntilAnyTime(fiber);
  const uintptr_t changes = ChangesOf(fiber);
  const uint64_t key = KeyOfStep(fiber) + changes * 2 + (clock ? 1 : 0);
  return futures_.ControlOf(key, [&] {
    std::vector<Futures::Use> uses;
    if (fiber.done) return uses;
    if (next.location != Access::kOwn) uses.push_back({next.location, next.writes});
    if (changes != Access::kOwn) uses.push_back({changes, true});
    // Each step of a thread looks for interrupts.
    if (fiber.owner != nullptr) uses.push_back({reinterpret_cast<uintptr_t>(&fiber), false});
    if (clock) uses.push_back({Access::kClock, true});
    return uses;
  });
}

void Explorer::NoteContradiction() {
  if (contradicted_) return;
  contradicted_ = true;
  contradicted_at_ = visited_.size();
}

void Explorer::LookAtAll() {
  if (scheduler_->fibers().size() < fibers_) return;
  std::array<uint32_t, kFibersMax> controls = {};
  std::array<size_t, kFibersMax> situations = {};
  for (size_t id = 0; id < fibers_; ++id) {
    controls[id] = ControlOf(At(id));
    situations[id] = SituationOf(At(id), *world_);
  }
  for (size_t id = 0; id < fibers_; ++id) {
    for (size_t other = 0; other < fibers_; ++other) {
      if (other == id) continue;
      nodes_[id][other] = futures_.NodeOf(id, other, situations[id], controls[other]);
    }
  }
}

// The fiber that ran has come to a point.
void Explorer::NoteStep() {
  const bool were_there = all_are_there_;
  all_are_there_ = scheduler_->fibers().size() == fibers_;
  if (!all_are_there_) return;
  const Nodes before = nodes_;
  LookAtAll();
  if (!were_there) return;
  const auto ran = static_cast<size_t>(scheduler_->running()->id);
  for (size_t id = 0; id < fibers_; ++id) {
    for (size_t other = 0; other < fibers_; ++other) {
      if (other == id || (id == ran && ((chosen_ >> other) & 1) != 0)) continue;
      if (before[id][other] != nodes_[id][other]) {
        futures_.LeadsTo(id, other, before[id][other], nodes_[id][other]);
      }
    }
  }
  if (futures_.contradicted()) NoteContradiction();
}

// Whoever wakes changes who sleeps only where threads of the program sleep.
uintptr_t Explorer::ChangesOf(const Fiber& fiber) const {
  const Access& next = fiber.next;
  const bool wakes_nobody = next.changes == Access::kSleeps && fiber.owner == nullptr &&
                            !slept_on_.contains(next.location);
  return wakes_nobody ? Access::kOwn : next.changes;
}

void Explorer::NoteSleep(const Fiber& fiber) {
  if (fiber.owner == nullptr || fiber.next.changes != Access::kSleeps) return;
  if (slept_on_.insert(fiber.next.location).second) NoteContradiction();
}

// Of the fiber that has come to a point.
void Explorer::NoteAccess() {
  Fiber& fiber = *scheduler_->running();
  Access& next = fiber.next;
  if (next.location >= Access::kAddresses && IsForPeople(next.location, *world_)) {
    next = {.location = Access::kOwn};
  }
  steps_.insert(KeyOfStep(fiber));
  if (!options_.reduce) return;
  NoteSleep(fiber);
  NoteStep();
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

Explorer::FiberSet Explorer::Dependent(const Fiber& fiber, const Access& access, bool writers) {
  if (access.location == Access::kOwn) return 0;
  FiberSet set = 0;
  for (const auto& other : scheduler_->fibers()) {
    if (other.get() == &fiber || other->done) continue;
    const auto may_use = [&](uintptr_t location, bool writes) {
      const auto id = static_cast<size_t>(fiber.id);
      const auto other_id = static_cast<size_t>(other->id);
      return futures_.MayUse(id, other_id, nodes_[id][other_id], {location, writes});
    };
    const bool may = access.location == Access::kAnything || may_use(Access::kAnything, false) ||
                     may_use(access.location, true) ||
                     (access.writes && !writers && may_use(access.location, false));
    if (may) set |= FiberSet{1} << other->id;
  }
  return set;
}

Explorer::FiberSet Explorer::DependentOnNext(const Fiber& fiber, bool ready) {
  // Whether it is woken before its sleep ends by itself or after is the same: it goes on.
  if (SleepsUntilAnyTime(fiber)) {
    if (!options_.time_passes) return 0;
    return Dependent(fiber, {.location = Access::kClock, .size = 0, .writes = true});
  }
  FiberSet set = Dependent(fiber, fiber.next, /*writers=*/!ready);
  if (ready) set |= Dependent(fiber, {.location = ChangesOf(fiber), .writes = true});
  if (fiber.owner != nullptr) {
    set |= Dependent(fiber, {.location = reinterpret_cast<uintptr_t>(&fiber)});
  }
  return set;
}

Explorer::FiberSet Explorer::Closure(size_t seed, FiberSet ready) {
  FiberSet set = FiberSet{1} << seed;
  for (FiberSet left = set; left != 0;) {
    const auto id = static_cast<size_t>(std::countr_zero(left));
    left &= left - 1;
    const FiberSet more = DependentOnNext(At(id), ((ready >> id) & 1) != 0) & ~set;
    set |= more;
    left |= more;
  }
  return set;
}

Explorer::FiberSet Explorer::Persistent(FiberSet ready) {
  // Before, what a fiber that is not there yet will do is that of who makes it.
  if (!options_.reduce || scheduler_->fibers().size() < fibers_) return ~FiberSet{0};
  FiberSet best = ~FiberSet{0};
  for (FiberSet left = ready; left != 0; left &= left - 1) {
    const FiberSet set = Closure(static_cast<size_t>(std::countr_zero(left)), ready);
    if (std::popcount(set & ready) < std::popcount(best & ready)) best = set;
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
    chosen_ = ~FiberSet{0};
    return Take(static_cast<uint8_t>(first->id | kDue));
  }
  Level level = {};
  chosen_ = ~FiberSet{0};
  if (to_learn_from_ > 0) {
    AddOptions(ready, &level);
    return Take(SomeOption(level));
  }
  chosen_ = Persistent(ready);
  AddOptions(chosen_ & ready, &level);
  level.count = level.all;
  if (options_.preemptions_max < 0) {
    AddOptions(ready & ~chosen_, &level);
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
  level.chosen = chosen_;
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
  // It goes on for a while all the same, to learn.
  if (contradicted_ && visited_.size() > 2 * contradicted_at_ + kLearnsAtLeast) return nullptr;
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
  all_are_there_ = false;
  chosen_ = ~FiberSet{0};
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
      chosen_ = last.count == last.all ? ~FiberSet{0} : last.chosen;
      all_are_there_ = scheduler_->fibers().size() == fibers_;
      if (options_.reduce) LookAtAll();
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
  if (passes_ > 0 && !contradicted_) {
    std::sort(ends_.begin(), ends_.end());
    ends_.erase(std::unique(ends_.begin(), ends_.end()), ends_.end());
    return false;
  }
  contradicted_ = false;
  levels_.clear();
  futures_.BeginAfresh();
  ++passes_;
  ends_.clear();
  steps_.clear();
  visited_.Clear();
  histories_ = 0;
  return true;
}

std::vector<uint64_t> Explorer::Steps() const {
  std::vector<uint64_t> steps(steps_.begin(), steps_.end());
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::string Explorer::Path() const {
  std::string text;
  for (const uint8_t choice : path_) {
    absl::StrAppend(&text, choice & kFiber, (choice & kLate) != 0 ? "+" : "");
  }
  return text;
}

}  // namespace mend::simulation
