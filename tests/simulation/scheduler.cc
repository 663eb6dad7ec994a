#include "tests/simulation/scheduler.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <limits>

namespace mend::simulation {
namespace {

Scheduler* current = nullptr;

// Of a guided history, in which the memory of a stack is part of the state: below what is in use it
// is zero, as far down as frames usually go.
constexpr size_t kClearedBytes = 4096;
constexpr size_t kClearedAtFirst = 32 * 1024;
constexpr size_t kBeginOfStackBytes = 64;

// Stacks are kept for the next history. A page without access lies below each.
char* StackOf(int id) {
  static char* stacks[Scheduler::kFibersMax] = {};
  if (stacks[id] == nullptr) {
    constexpr size_t kGuard = 4096;
    constexpr uintptr_t kStacks = 0x20'0000'0000;
    void* const memory =
        mmap(reinterpret_cast<void*>(kStacks + static_cast<uintptr_t>(id) * 0x100000),
             Scheduler::kStackBytes + kGuard, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, kGuard, PROT_NONE) != 0) abort();
    stacks[id] = static_cast<char*>(memory) + kGuard;
  }
  return stacks[id];
}

}  // namespace

void* BeginOfStack(char* high, void (*entry)()) {
  // What MendFiberSwitch takes off: six registers and the address to go to. Behind it the stack is
  // aligned as at a function's entry.
  auto** const top = reinterpret_cast<void**>(high) - 8;
  for (int i = 0; i < 8; ++i) top[i] = nullptr;
  top[6] = reinterpret_cast<void*>(entry);
  return top;
}

Scheduler* Scheduler::Current() { return current; }

Fiber* Scheduler::Spawn(const char* name, std::function<void()> body) {
  const int id = static_cast<int>(fibers_.size());
  if (id == kFibersMax) Violation("more than %d threads", kFibersMax);
  auto fiber = std::make_unique<Fiber>();
  fiber->id = id;
  fiber->name = name;
  fiber->next = {.location = Access::kOwn};
  fiber->thread_locals.reserve(16);
  fiber->body = std::move(body);
  fiber->stack_low = StackOf(id);
  fiber->stack_high = fiber->stack_low + kStackBytes;
  if (guided()) memset(fiber->stack_high - kClearedAtFirst, 0, kClearedAtFirst);
  fiber->sp = BeginOfStack(fiber->stack_high, &Scheduler::Entry);
  fibers_.push_back(std::move(fiber));
  return fibers_.back().get();
}

void Scheduler::Entry() {
  Scheduler& self = *current;
  Fiber& fiber = *self.running_;
  fiber.body();
  if (self.guided() && self.check_) self.check_();
  fiber.done = true;
  if (&fiber == self.main_) self.ended_ = true;
  if (&fiber == self.main_ || self.guided()) MendFiberSwitch(&fiber.sp, self.main_sp_);
  self.SwitchTo(self.Pick(/*may_stay=*/false));
  abort();
}

const char* Scheduler::Run(Fiber* main) {
  main_ = main;
  current = this;
  running_ = main;
  MendFiberSwitch(&main_sp_, main->sp);
  current = nullptr;
  return violation_;
}

void Scheduler::ClearBelow(const Fiber& fiber) {
  char* const sp = static_cast<char*>(fiber.sp);
  const size_t below = std::min(kClearedBytes, static_cast<size_t>(sp - fiber.stack_low));
  memset(sp - below, 0, below);
}

const char* Scheduler::RunGuided(Fiber* main, Guide* guide) {
  main_ = main;
  guide_ = guide;
  current = this;
  running_ = main;
  memset(main->stack_high - kClearedAtFirst, 0, kClearedAtFirst - kBeginOfStackBytes);
  while (violation_[0] == '\0') {
    Fiber* const next = guide_->Choose();
    if (next == nullptr) break;
    running_ = next;
    MendFiberSwitch(&main_sp_, next->sp);
    ClearBelow(*running_);
  }
  current = nullptr;
  return violation_;
}

void Scheduler::set_violation(const char* text) {
  snprintf(violation_, sizeof violation_, "%s", text);
}

void Scheduler::Violation(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(violation_, sizeof violation_, format, arguments);
  va_end(arguments);
  void* dropped;
  MendFiberSwitch(&dropped, main_sp_);
  abort();
}

void Scheduler::KeepOnly(const Fiber* fiber) {
  for (const auto& other : fibers_) {
    if (other.get() != fiber) other->done = true;
  }
}

bool Scheduler::Ready(const Fiber& fiber) const {
  return !fiber.done && fiber.frozen_ns <= now_ns_ &&
         (fiber.sleeps_on == nullptr || fiber.wake_ns <= now_ns_ ||
          (fiber.interrupt_pending && !fiber.interrupts_off));
}

void Scheduler::WakeSleepers() {
  constexpr int64_t kForever = std::numeric_limits<int64_t>::max();
  int64_t earliest = kForever;
  for (const auto& fiber : fibers_) {
    if (fiber->done) continue;
    const int64_t wake_ns = fiber->sleeps_on == nullptr ? 0 : fiber->wake_ns;
    earliest = std::min(earliest, std::max(wake_ns, fiber->frozen_ns));
  }
  if (earliest == kForever) Violation("all threads sleep for ever");
  now_ns_ = std::max(now_ns_, earliest);
}

void Scheduler::MaybeFreeze() {
  if (chooser_->Choose(500) != 1) return;
  running_->frozen_ns = now_ns_ + int64_t{chooser_->Choose(5'000)} * 1'000;
}

Fiber* Scheduler::Pick(bool may_stay) {
  Fiber* ready[kFibersMax];
  uint32_t count = 0;
  if (may_stay) ready[count++] = running_;
  for (int attempt = 0; attempt == 0 || (attempt == 1 && count == 0); ++attempt) {
    if (attempt > 0) WakeSleepers();
    // The next in turn first, so that those who give way to each other get round to everybody.
    for (size_t i = 1; i <= fibers_.size(); ++i) {
      Fiber* const fiber = fibers_[(static_cast<size_t>(running_->id) + i) % fibers_.size()].get();
      if ((fiber != running_ || (!may_stay && i == fibers_.size() && count == 0)) &&
          Ready(*fiber)) {
        ready[count++] = fiber;
      }
    }
  }
  if (count == 0) Violation("no thread is ready");
  return ready[count == 1 ? 0 : chooser_->ChooseFiber(count)];
}

void Scheduler::SwitchTo(Fiber* next) {
  if (next == running_) return;
  Fiber* const from = running_;
  running_ = next;
  MendFiberSwitch(&from->sp, next->sp);
}

bool Scheduler::DeliverInterrupt() {
  Fiber& fiber = *running_;
  if (!fiber.interrupt_pending || fiber.interrupts_off) return false;
  fiber.interrupt_pending = false;
  fiber.interrupts_off = true;
  fiber.interrupt();
  running_->interrupts_off = false;
  return true;
}

void Scheduler::Park() {
  if (++points_ > points_max_) Violation("the history does not end");
  // Before, so that what the check remembers says no more than the state does.
  if (check_) check_();
  MendFiberSwitch(&running_->sp, main_sp_);
}

void Scheduler::GuidedPoint(Access access) {
  // A handler has had its own: what was interrupted is a step of itself.
  do {
    running_->next = access;
    Park();
  } while (DeliverInterrupt());
}

void Scheduler::GuidedYield() {
  Fiber& fiber = *running_;
  // The loop has just read it.
  if (fiber.next.location >= Access::kAddresses && fiber.next.size <= sizeof fiber.awaited_value) {
    fiber.awaits = reinterpret_cast<const void*>(fiber.next.location);
    fiber.awaited_value = 0;
    memcpy(&fiber.awaited_value, fiber.awaits, fiber.next.size);
  }
  fiber.next.writes = false;
  Park();
  fiber.awaits = nullptr;
  DeliverInterrupt();
}

bool Scheduler::GuidedSleep(const void* word, int64_t timeout_ns) {
  Fiber& fiber = *running_;
  fiber.next = {.location = reinterpret_cast<uintptr_t>(word), .size = 4};
  fiber.sleeps_on = word;
  // What nobody is to see the end of.
  constexpr int64_t kForeverNs = int64_t{3600} * 1'000'000'000;
  fiber.wake_ns =
      timeout_ns >= kForeverNs ? std::numeric_limits<int64_t>::max() : now_ns_ + timeout_ns;
  Park();
  const bool woken = fiber.sleeps_on == nullptr;
  fiber.interrupted_asleep = !woken && fiber.wake_ns > now_ns_;
  fiber.sleeps_on = nullptr;
  fiber.wake_ns = 0;
  DeliverInterrupt();
  fiber.interrupted_asleep = false;
  return woken;
}

void Scheduler::Point(Access access) {
  if (guided()) return GuidedPoint(access);
  if (++points_ > points_max_) Violation("the history does not end");
  now_ns_ += 1'000;
  MaybeFreeze();
  SwitchTo(Pick(/*may_stay=*/running_->frozen_ns <= now_ns_));
  if (check_) check_();
  if (running_->timer_points > 0 && --running_->timer_points == 0) running_->timer();
  DeliverInterrupt();
}

void Scheduler::Yield() {
  if (guided()) return GuidedYield();
  if (++points_ > points_max_) Violation("the history does not end");
  now_ns_ += 1'000;
  SwitchTo(Pick(/*may_stay=*/false));
  DeliverInterrupt();
}

bool Scheduler::Sleep(const void* word, int64_t timeout_ns) {
  if (guided()) return GuidedSleep(word, timeout_ns);
  Fiber& fiber = *running_;
  fiber.sleeps_on = word;
  const int64_t forever = std::numeric_limits<int64_t>::max();
  fiber.wake_ns = timeout_ns > forever - now_ns_ ? forever : now_ns_ + timeout_ns;
  SwitchTo(Pick(/*may_stay=*/false));
  const bool woken = fiber.sleeps_on == nullptr;
  fiber.interrupted_asleep = !woken && fiber.wake_ns > now_ns_;
  fiber.sleeps_on = nullptr;
  if (++points_ > points_max_) Violation("the history does not end");
  if (check_) check_();
  DeliverInterrupt();
  fiber.interrupted_asleep = false;
  return woken;
}

int Scheduler::Wake(const void* word, int most) {
  int woken = 0;
  for (const auto& fiber : fibers_) {
    if (woken == most) break;
    if (fiber->done || fiber->sleeps_on != word) continue;
    fiber->sleeps_on = nullptr;
    ++woken;
  }
  return woken;
}

}  // namespace mend::simulation
