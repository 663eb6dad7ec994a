#include "tests/simulation/scheduler.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <limits>

namespace mend::simulation {
namespace {

Scheduler* current = nullptr;

// Stacks are kept for the next history. A page without access lies below each.
char* StackOf(int id) {
  static char* stacks[Scheduler::kFibersMax] = {};
  if (stacks[id] == nullptr) {
    constexpr size_t kGuard = 4096;
    void* const memory = mmap(nullptr, Scheduler::kStackBytes + kGuard, PROT_READ | PROT_WRITE,
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
  fiber->body = std::move(body);
  fiber->stack_low = StackOf(id);
  fiber->stack_high = fiber->stack_low + kStackBytes;
  fiber->sp = BeginOfStack(fiber->stack_high, &Scheduler::Entry);
  fibers_.push_back(std::move(fiber));
  return fibers_.back().get();
}

void Scheduler::Entry() {
  Scheduler& self = *current;
  Fiber& fiber = *self.running_;
  fiber.body();
  fiber.done = true;
  if (&fiber == self.main_) {
    self.ended_ = true;
    MendFiberSwitch(&fiber.sp, self.main_sp_);
  }
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

void Scheduler::DeliverInterrupt() {
  Fiber& fiber = *running_;
  if (!fiber.interrupt_pending || fiber.interrupts_off) return;
  fiber.interrupt_pending = false;
  fiber.interrupts_off = true;
  fiber.interrupt();
  running_->interrupts_off = false;
}

void Scheduler::Point() {
  if (++points_ > points_max_) Violation("the history does not end");
  now_ns_ += 1'000;
  MaybeFreeze();
  SwitchTo(Pick(/*may_stay=*/running_->frozen_ns <= now_ns_));
  if (check_) check_();
  if (running_->timer_points > 0 && --running_->timer_points == 0) running_->timer();
  DeliverInterrupt();
}

void Scheduler::Yield() {
  if (++points_ > points_max_) Violation("the history does not end");
  now_ns_ += 1'000;
  SwitchTo(Pick(/*may_stay=*/false));
  DeliverInterrupt();
}

bool Scheduler::Sleep(const void* word, int64_t timeout_ns) {
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
