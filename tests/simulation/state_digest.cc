// Compiled without access control: the state is in private members.
#include "tests/simulation/state_digest.h"

#include <string.h>

#include <algorithm>
#include <bit>

#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/single_thread.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/registry_state.h"
#include "tests/simulation/arena.h"
#include "tests/simulation/registry_inspector.h"

// Nobody else runs.
#pragma clang diagnostic ignored "-Wthread-safety-analysis"

namespace mend::simulation {
namespace {

// Numbers that are compared with themselves begin here; addresses do not look like it.
constexpr uint32_t kWakes = 0x7b3c'0000;
constexpr uint32_t kChanges = 0x7b3d'0000;
constexpr int kEpochByte = kExploredEpochNs >> 56;
constexpr int kWalksByte = SimulatedThread::kFirstWalk >> 56;
constexpr int kPlentyOfPolls = 16;

uint32_t* ChangesOf(Mutex* mutex) { return reinterpret_cast<uint32_t*>(&mutex->changes_); }

PatchRegistry::State* StateOf(const World& world) {
  return world.registry == nullptr ? nullptr : world.registry->state_.get();
}

// Hides what is at a place for as long as it lives.
class Hidden {
 public:
  void Hide(void* at, size_t bytes) {
    if (count_ == kMax || bytes > sizeof places_[0].bytes) abort();
    Place& place = places_[count_++];
    place = {.at = at, .size = bytes, .bytes = {}};
    memcpy(place.bytes, at, bytes);
    memset(at, 0, bytes);
  }
  Hidden() = default;
  ~Hidden() {
    while (count_ > 0) {
      const Place& place = places_[--count_];
      memcpy(place.at, place.bytes, place.size);
    }
  }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;

 private:
  static constexpr size_t kMax = 96;
  struct Place {
    void* at;
    size_t size;
    char bytes[sizeof(TransitionReport)];
  };
  Place places_[kMax];
  size_t count_ = 0;
};

class Mixer {
 public:
  Mixer(const Scheduler& scheduler, const World& world)
      : now_ns_(static_cast<uint64_t>(scheduler.now_ns())), world_(world) {
    wakes_ = __atomic_load_n(reinterpret_cast<uint32_t*>(&Handshake::Get().wake_word_),
                             __ATOMIC_RELAXED);
    if (PatchRegistry::State* const state = StateOf(world); state != nullptr) {
      changes_ = *ChangesOf(&state->mu);
    }
  }
  void Add(uint64_t word) {
    high_ = (high_ ^ word) * 0x9e37'79b9'7f4a'7c15;
    high_ ^= high_ >> 32;
    low_ = (std::rotl(low_, 27) + word) * 0xd6e8'feb8'6659'fd93;
  }
  void AddMemory(const void* begin, size_t bytes) {
    const char* at = static_cast<const char*>(begin);
    for (size_t left = bytes; left > 0;) {
      uint64_t word = 0;
      const size_t size = std::min(left, sizeof word);
      memcpy(&word, at, size);
      at += size;
      left -= size;
      if (word >> 56 == kEpochByte || word >> 56 == kWalksByte) word = Stamp(word);
      if (IsCount(static_cast<uint32_t>(word)) || IsCount(static_cast<uint32_t>(word >> 32))) {
        word = Count(static_cast<uint32_t>(word)) |
               uint64_t{Count(static_cast<uint32_t>(word >> 32))} << 32;
      }
      Add(word);
    }
  }
  Digest Result() const {
    return {.high = high_ ^ (high_ >> 29), .low = (low_ ^ (low_ >> 31)) * 0x9fb2'1c65'1e98'df25};
  }

 private:
  static bool IsCount(uint32_t value) { return value >> 17 == kWakes >> 17; }
  uint32_t Count(uint32_t value) const {
    if (!IsCount(value)) return value;
    return value == wakes_ || value == changes_ ? 1 : 2;
  }
  uint64_t Stamp(uint64_t word) const {
    if (word >> 56 == kWalksByte) {
      const size_t number = (word >> 32) & 0xff;
      if (number >= world_.threads.size()) return word;
      return word == world_.threads[number]->own_walks_ ? 1 : 2;
    }
    return word == now_ns_ ? 1 : (word < now_ns_ ? 2 : 3);
  }

  const uint64_t now_ns_;
  const World& world_;
  uint32_t wakes_ = 0;
  uint32_t changes_ = 0;
  uint64_t high_ = 1;
  uint64_t low_ = 2;
};

// What is left in the record of a thread that has ended. REQUIRES: nobody is looking at it.
void HideGone(ThreadRecord* record, Hidden* hidden) {
  hidden->Hide(&record->ack, sizeof record->ack);
  hidden->Hide(&record->epoch, sizeof record->epoch);
  hidden->Hide(&record->poll_credit, sizeof record->poll_credit);
  hidden->Hide(&record->signalled_ns, sizeof record->signalled_ns);
}

void HideRecord(ThreadRecord* record, Hidden* hidden) {
  hidden->Hide(&record->straggler, sizeof record->straggler);
  hidden->Hide(&record->reported_epoch, sizeof record->reported_epoch);
  hidden->Hide(&record->reported_to_new, sizeof record->reported_to_new);
  hidden->Hide(&record->reported_pc, sizeof record->reported_pc);
  hidden->Hide(&record->reported_reason, sizeof record->reported_reason);
  if (*reinterpret_cast<const int*>(&record->poll_credit) > kPlentyOfPolls) {
    hidden->Hide(&record->poll_credit, sizeof record->poll_credit);
  }
}

void HideState(PatchRegistry::State* state, Hidden* hidden) {
  if (state->transition_ != nullptr && state->transition_->tally_ != nullptr) {
    hidden->Hide(state->transition_->tally_.get(), sizeof(SwitchTally));
  }
  for (const auto& tally : state->leftovers_.tallies)
    hidden->Hide(tally.get(), sizeof(SwitchTally));
  hidden->Hide(&state->last_, sizeof state->last_);
  hidden->Hide(&state->report_, sizeof state->report_);
  Coordinator& coordinator = state->coordinator_;
  hidden->Hide(&coordinator.backoff_ns_, sizeof coordinator.backoff_ns_);
  hidden->Hide(&coordinator.now_ns_, sizeof coordinator.now_ns_);
  hidden->Hide(&coordinator.poked_, sizeof coordinator.poked_);
  hidden->Hide(&coordinator.straggler_tid_, sizeof coordinator.straggler_tid_);
  hidden->Hide(&coordinator.straggler_pc_, sizeof coordinator.straggler_pc_);
}

// All that a history changes, but for what the scheduler and the arena know of it.
template <typename Visit>
void ForEachStack(const Scheduler& scheduler, const Visit& visit) {
  for (const auto& fiber : scheduler.fibers()) {
    const char* const sp = static_cast<const char*>(fiber->sp);
    if (!fiber->done) visit(sp, static_cast<size_t>(fiber->stack_high - sp));
  }
}
template <typename Visit>
void ForEachPiece(const World& world, const Visit& visit) {
  Arena::Get().slabs().ForEach(visit);
  visit(&Handshake::Get(), sizeof(Handshake));
  visit(&ThreadRegistry::Get(), sizeof(ThreadRegistry));
  visit(&SingleThread::awake_, sizeof SingleThread::awake_);
  const FunctionSite& first = world.host.Site(kPair);
  visit(reinterpret_cast<const void*>(first.entry.value), world.host.used_);
  visit(first.slot, world.host.slots_used_ * sizeof(uintptr_t));
}

}  // namespace

void ResetCounters() { SingleThread::awake_.store(0); }

void MarkCounters(PatchRegistry* registry) {
  Scheduler::Current()->WatchMutex(&registry->state_->mu.word_);
  Handshake::Get().wake_word().store(kWakes);
  *ChangesOf(&registry->state_->mu) = kChanges;
}

bool IsForPeople(uintptr_t location, const World& world) {
  const auto lies_in = [location](const void* begin, size_t bytes) {
    return location - reinterpret_cast<uintptr_t>(begin) < bytes;
  };
  for (ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    if (lies_in(&record->straggler, sizeof record->straggler)) return true;
  }
  PatchRegistry::State* const state = StateOf(world);
  if (state == nullptr) return false;
  if (state->transition_ != nullptr &&
      lies_in(state->transition_->tally_.get(), sizeof(SwitchTally)))
    return true;
  for (const auto& tally : state->leftovers_.tallies) {
    if (lies_in(tally.get(), sizeof(SwitchTally))) return true;
  }
  return false;
}

size_t SituationOf(const Fiber& fiber, const World& world) {
  constexpr size_t kErasMax = kSituations / 5;
  const Handshake& handshake = Handshake::Get();
  const size_t era = std::min<size_t>(world.era + handshake.last_generation_, kErasMax - 1);
  const auto* const thread = static_cast<const SimulatedThread*>(fiber.owner);
  if (thread == nullptr) return era;
  const ThreadRecord* const record = thread->record_;
  const auto activity = *reinterpret_cast<const Activity*>(&record->activity);
  if (activity != Activity::kRunning) {
    return (activity == Activity::kGone ? 4 : 1) * kErasMax + era;
  }
  const SwitchRequest* const request =
      *reinterpret_cast<const SwitchRequest* const*>(&handshake.current_);
  const bool answered =
      request == nullptr || *reinterpret_cast<const uint64_t*>(&record->ack) >= request->generation;
  return (answered ? 2 : 3) * kErasMax + era;
}

void ForgetStraggler(World* world) {
  PatchRegistry::State* const state = StateOf(*world);
  if (state == nullptr) return;
  state->coordinator_.straggler_tid_ = 0;
  state->coordinator_.straggler_name_.clear();
  state->coordinator_.straggler_pc_ = {};
  // Its sleeps end at any time.
  state->coordinator_.backoff_ns_ = 0;
}

Digest DigestOf(const Scheduler& scheduler, World* world, const DigestOptions& options) {
  for (const auto& thread : world->threads) {
    // Behind what is in a vector lies what was.
    auto* const end = thread->frames.data() + thread->frames.size();
    memset(static_cast<void*>(end), 0,
           (thread->frames.capacity() - thread->frames.size()) * sizeof *end);
  }
  Hidden hidden;
  Mixer mixer(scheduler, *world);
  PatchRegistry::State* const state = StateOf(*world);
  const bool mu_is_free =
      state != nullptr && *reinterpret_cast<const uint32_t*>(&state->mu.word_) == 0;
  for (ThreadRecord* record = ThreadRegistry::Get().first(); record != nullptr;
       record = record->next) {
    const bool is_gone = *reinterpret_cast<const uint32_t*>(&record->activity) == 0 && mu_is_free;
    if (state != nullptr && !is_gone) {
      mixer.Add(record->signalled_ns < state->coordinator_.begin_ns_ ? 3 : 5);
    }
    if (is_gone) HideGone(record, &hidden);
    if (options.all_are_there) hidden.Hide(&record->next_free, sizeof record->next_free);
    HideRecord(record, &hidden);
  }
  if (state != nullptr) HideState(state, &hidden);
  // Nobody takes a record from there any more.
  if (options.all_are_there)
    hidden.Hide(&ThreadRegistry::Get().free_, sizeof ThreadRegistry::Get().free_);
  for (const auto& thread : world->threads) {
    if (!thread->done) continue;
    hidden.Hide(&thread->asked_, sizeof thread->asked_);
    hidden.Hide(&thread->own_walks_, sizeof thread->own_walks_);
    if (thread->words_ != nullptr) {
      hidden.Hide(const_cast<ThreadWords*>(thread->words_), sizeof(ThreadWords));
    }
  }
  for (const auto& fiber : scheduler.fibers()) mixer.Add(fiber->done ? 7 : 11);
  const auto add = [&mixer](const void* begin, size_t bytes) {
    mixer.Add(reinterpret_cast<uintptr_t>(begin));
    mixer.AddMemory(begin, bytes);
  };
  if (options.stacks) ForEachStack(scheduler, add);
  ForEachPiece(*world, add);
  mixer.Add(RegistryInspector::was_held_ ? 13 : 17);
  return mixer.Result();
}

void Snapshot::Add(const void* begin, size_t bytes) {
  const size_t at = bytes_.size();
  bytes_.resize(at + sizeof begin + sizeof bytes + bytes);
  char* const to = bytes_.data() + at;
  memcpy(to, &begin, sizeof begin);
  memcpy(to + sizeof begin, &bytes, sizeof bytes);
  memcpy(to + sizeof begin + sizeof bytes, begin, bytes);
}

void Snapshot::Take(const Scheduler& scheduler, const World& world) {
  bytes_.clear();
  Add(&scheduler, sizeof scheduler);
  Add(&RegistryInspector::was_held_, sizeof RegistryInspector::was_held_);
  const Slabs::Use use = Arena::Get().slabs().use();
  Add(use.begin, use.bytes);
  const auto add = [this](const void* begin, size_t bytes) { Add(begin, bytes); };
  ForEachStack(scheduler, add);
  ForEachPiece(world, add);
}

void Snapshot::Restore(Scheduler* scheduler) const {
  void* const main_sp = scheduler->main_sp_;
  for (const char* at = bytes_.data(); at != bytes_.data() + bytes_.size();) {
    char* begin;
    size_t bytes;
    memcpy(&begin, at, sizeof begin);
    memcpy(&bytes, at + sizeof begin, sizeof bytes);
    at += sizeof begin + sizeof bytes;
    memcpy(begin, at, bytes);
    at += bytes;
  }
  scheduler->main_sp_ = main_sp;
  for (const auto& fiber : scheduler->fibers()) Scheduler::ClearBelow(*fiber);
}

}  // namespace mend::simulation
