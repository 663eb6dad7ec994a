// What a simulated thread does with contexts, as makecontext and swapcontext of a hosted program:
// it makes them, goes to them and from them, and leaves none suspended at its end.
#include <algorithm>
#include <utility>

#include "tests/simulation/guest_calls.h"
#include "tests/simulation/hosted_model.h"

// What stands for a call that does not block goes to the scheduler here.
#pragma clang diagnostic ignored "-Wfunction-effects"

namespace mend::simulation {
namespace {

Scheduler& Now() { return *Scheduler::Current(); }

uint32_t Choose(uint32_t n) { return Now().chooser()->Choose(n); }

}  // namespace

bool SimulatedThread::MaySwapContexts() const {
  return behaviour_->contexts_max > 0 && home_->announcement == Announcement::kProgram &&
         !in_handler_ && !CurrentWorld()->stopping &&
         (!in_module || CurrentWorld()->module_is_live);
}

void SimulatedThread::StartContext() {
  constexpr size_t kBytes = 64 * 1024;
  tid = 0;
  stack_low = reinterpret_cast<uintptr_t>(::operator new(kBytes));
  stack_high = stack_low + kBytes;
  MakeContext({.low = stack_low, .high = stack_high});
  sp_ = BeginOfStack(reinterpret_cast<char*>(stack_high), [] { Current()->RunContext(); });
}

// On the context's own stack.
void SimulatedThread::RunContext() {
  ArriveInContext();
  do {
    RunHostedUnit();
    ++CurrentWorld()->units;
    if (MaySwapContexts() && Choose(2) == 1) SwapSomewhere();
  } while (Choose(3) != 0 && !CurrentWorld()->stopping);
  SwapTo(home_, /*for_good=*/true);
}

// Home, to a context that nobody runs, or to a new one.
void SimulatedThread::SwapSomewhere() {
  std::vector<SimulatedThread*> places;
  size_t live = 0;
  for (const auto& thread : CurrentWorld()->threads) {
    if (thread->announcement != Announcement::kContext || thread->done) continue;
    ++live;
    if (thread->IsSuspended()) places.push_back(thread.get());
  }
  if (home_ != this) places.push_back(home_);
  const bool may_make = live < static_cast<size_t>(behaviour_->contexts_max);
  const auto count = static_cast<uint32_t>(places.size()) + (may_make ? 1 : 0);
  if (count == 0) return;
  const uint32_t chosen = Choose(count);
  if (chosen < places.size()) return SwapTo(places[chosen], /*for_good=*/false);
  SimulatedThread* const made = CurrentWorld()->NewThread(Announcement::kContext);
  made->StartContext();
  // Another thread may have taken it since it was made.
  if (made->IsSuspended()) SwapTo(made, /*for_good=*/false);
}

// So that a transition which waits for a suspended context ends.
void SimulatedThread::RunLeftContexts() {
  if (behaviour_->contexts_max == 0 || announcement != Announcement::kProgram) return;
  const auto& threads = CurrentWorld()->threads;
  while (true) {
    const auto left = std::find_if(threads.begin(), threads.end(), [](const auto& thread) {
      return thread->announcement == Announcement::kContext && thread->IsSuspended();
    });
    if (left == threads.end()) return;
    SwapTo(left->get(), /*for_good=*/false);
  }
}

void SimulatedThread::SwapTo(SimulatedThread* to, bool for_good) {
  uintptr_t mark = 0;
  mark_ = &mark;
  to->taken_ = true;  // nobody else goes there
  const auto rsp = reinterpret_cast<uintptr_t>(to->sp_);
  if (!DepartForContext(rsp, for_good ? nullptr : &mark)) {
    Now().Violation("a context cannot be gone to");
  }
  // What belongs to the thread, at one point.
  to->tid = std::exchange(tid, 0);
  to->home_ = home_;
  if (home_ != this) home_ = nullptr;
  to->takes_signals_ = takes_signals_;
  to->words_ = std::exchange(words_, nullptr);
  to->asked_ = 0;
  to->info_ = info_;
  to->safepoint_pending_ = std::exchange(safepoint_pending_, false);
  to->program_pending_ = std::exchange(program_pending_, false);
  to->BecomeOwner(std::exchange(fiber, nullptr));
  to->taken_ = false;
  done = for_good;
  MendFiberSwitch(&sp_, to->sp_);
  ArriveInContext();
}

void SimulatedThread::Abandon() {
  done = true;
  if (mark_ != nullptr) *mark_ = 0;  // it has begun
  CurrentWorld()->contexts_abandoned = true;
}

void SimulatedThread::BecomeOnlyThread() {
  tid += 1'000;
  safepoint_pending_ = false;
  program_pending_ = false;
  fiber->interrupt_pending = false;
}

}  // namespace mend::simulation
