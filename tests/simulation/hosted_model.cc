#include "tests/simulation/hosted_model.h"

#include <ucontext.h>

#include <algorithm>
#include <utility>

#include "runtime/patch/redirection_table.h"
#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/safepoint/stack_walker.h"
#include "runtime/safepoint/thread_registry.h"
#include "runtime/transition/patch_registry.h"
#include "tests/simulation/guest_calls.h"
#include "tests/simulation/process.h"

// What stands for a call that does not block goes to the scheduler here.
#pragma clang diagnostic ignored "-Wfunction-effects"

namespace mend::simulation {
namespace {

// Where in a body its calls return to, and where it is while it works.
constexpr size_t kWorkOffset = 24;

Scheduler& Now() { return *Scheduler::Current(); }

uint32_t Choose(uint32_t n) { return Now().chooser()->Choose(n); }

}  // namespace

// --- the world ---

World*& CurrentWorld() {
  static World* world = nullptr;
  return world;
}

SimulatedThread* World::NewThread(Announcement announcement) {
  threads.push_back(std::make_unique<SimulatedThread>(
      &host, &behaviour, static_cast<int>(threads.size()), announcement));
  threads.back()->stays = behaviour.stay;
  return threads.back().get();
}

bool World::ModuleIsUsed(bool suspended) const {
  return std::any_of(threads.begin(), threads.end(), [suspended](const auto& thread) {
    return !thread->done && thread->in_module && (!suspended || thread->fiber == nullptr);
  });
}

void World::LoadOrUnloadModule() {
  if (!behaviour.modules || module_user != nullptr) return;
  // Whoever waits for a suspended context may be the only one that could run it.
  if (host.has_module() && ModuleIsUsed(/*suspended=*/true)) return;
  module_user = Now().running();
  if (host.has_module()) {
    UnloadModule();
  } else {
    LoadModule();
  }
  module_user = nullptr;
}

// As ModuleRegistry does it, with a program that does not call a module which it has closed.
void World::LoadModule() {
  mend_object* const module = host.LinkModule();
  if (!registry->ModuleComing(module).ok()) {
    // Refused: nothing of it has run.
    host.FreeModule();
    return;
  }
  module_is_live = true;
}

void World::UnloadModule() {
  static int nothing;
  module_is_live = false;
  while (ModuleIsUsed(/*suspended=*/false)) Now().Sleep(&nothing, 50'000);
  if (!registry->ModuleGoing(host.module()).ok()) Now().Violation("a module cannot go");
  const std::vector<CodeRange> text = {host.module_text()};
  for (int tries = 0; tries < 100; ++tries) {
    if (registry->CheckTextUnused("mod", text).ok()) return host.FreeModule();
    Now().Sleep(&nothing, 1'000'000);
  }
  Now().Violation("a module's text is in use for ever");
}

void World::NoteEvent(const Event& event) {
  if (!event_order.Accept(event.kind)) {
    Now().Violation("event %s comes too soon", event.kind.c_str());
  }
  if (event.kind == "transition_complete") ++completed;
  if (event.kind.starts_with("transition_")) ++era;
}

void World::CheckInvariants() {
  if (!host.SlotsLead()) Now().Violation("a slot leads to no body and no trampoline");
  for (const auto& thread : threads) {
    if (thread->done) continue;
    if (!thread->pc.is_null() && host.Freed(thread->pc)) {
      Now().Violation("thread %d runs text that was freed", thread->tid);
    }
    for (const SimulatedThread::Frame& frame : thread->frames) {
      if (host.Freed(frame.pc)) {
        Now().Violation("thread %d will return to text that was freed", thread->tid);
      }
    }
  }
}

bool World::AllDone() const {
  return std::all_of(threads.begin(), threads.end(),
                     [](const auto& thread) { return thread->done; });
}

// --- threads ---

SimulatedThread* SimulatedThread::Current() {
  return static_cast<SimulatedThread*>(Now().running()->owner);
}

SimulatedThread* SimulatedThread::Find(int tid) {
  for (const auto& thread : CurrentWorld()->threads) {
    if (thread->tid != tid) continue;
    return thread->done || thread->fiber == nullptr ? nullptr : thread.get();
  }
  return nullptr;
}

SimulatedThread* SimulatedThread::OfStack(uintptr_t address) {
  for (const auto& thread : CurrentWorld()->threads) {
    if (address >= thread->stack_low && address < thread->stack_high) return thread.get();
  }
  return nullptr;
}

bool SimulatedThread::Queue(int tid, const siginfo_t& info) {
  SimulatedThread* const thread = Find(tid);
  const auto* const record = static_cast<const ThreadRecord*>(info.si_value.sival_ptr);
  if (thread == nullptr) {
    // The end of a thread that was merely found is not announced.
    if (!record->adopted.load()) Now().Violation("the safepoint signal is sent to a dead thread");
    return false;
  }
  thread->info_ = info;
  thread->safepoint_pending_ = true;
  thread->fiber->interrupt_pending = true;
  return true;
}

void SimulatedThread::Start(ThreadRecord* record) {
  record_ = record;
  takes_signals_ = record != nullptr;
  home_ = this;
  Fiber* const own = Now().Spawn("thread", [this] { Main(); });
  stack_low = reinterpret_cast<uintptr_t>(own->stack_low);
  stack_high = reinterpret_cast<uintptr_t>(own->stack_high);
  BecomeOwner(own);
}

void SimulatedThread::BecomeOwner(Fiber* of) {
  fiber = of;
  fiber->owner = this;
  fiber->interrupt = [this] { HandleInterrupt(); };
  fiber->timer = [this] { MaybeInterrupt(); };
}

void SimulatedThread::Main() {
  words_ = &tls_thread_words;
  if (announcement == Announcement::kProgram) ThreadRegistry::Get().BeginThread(record_);
  ++Now().running()->phase;
  RunUnits();
  ++Now().running()->phase;
  RunLeftContexts();
  // The end of a thread that was merely found is not announced.
  const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (record != nullptr && !record->adopted.load()) {
    ThreadRegistry::Get().EndThread();
    const auto* const sent_for = static_cast<const ThreadRecord*>(info_.si_value.sival_ptr);
    if (safepoint_pending_ && !sent_for->adopted.load()) {
      Now().Violation("the safepoint signal comes to a thread that has ended");
    }
  }
  if (Now().guided()) {
    Now().Point({.location = Access::kEnds, .size = 0, .writes = true});
  }
  done = true;
}

void SimulatedThread::RunUnits() {
  while (units_done < behaviour_->units || (stays && !CurrentWorld()->stopping)) {
    RunUnit();
    MaybeLoadOrUnloadModule();
    if (MaySwapContexts() && Choose(2) == 1) SwapSomewhere();
    ++units_done;
    ++CurrentWorld()->units;
    if (behaviour_->blocks && Choose(4) == 0) BlockedSleep(20'000);
    if (announcement == Announcement::kProgram && PollIsSet()) {
      const RegisterContext here{.rip = reinterpret_cast<uintptr_t>(&ThreadWordsOffset),
                                 .rsp = reinterpret_cast<uintptr_t>(__builtin_frame_address(0))};
      MustNotLoseRequest([&here] { MendPollSlowPath(&here); });
    }
  }
}

void SimulatedThread::RunUnit() {
  if (announcement != Announcement::kHost) return RunHostedUnit();
  ThreadRegistry::Get().Enter();
  RunHostedUnit();
  ThreadRegistry::Get().Leave();
}

void SimulatedThread::RunHostedUnit() {
  // Between the look at the module and its use there is no point.
  if (CurrentWorld()->module_is_live && Choose(4) == 3) {
    in_module = true;
    Call(kGamma);
    in_module = false;
  } else {
    Call(Choose(3) == 2 ? kAlpha : kPair);
  }
}

// A thread of the program calls the core itself, and may be interrupted there.
void SimulatedThread::MaybeLoadOrUnloadModule() {
  if (!behaviour_->modules || announcement != Announcement::kProgram) return;
  if (behaviour_->loads_left == 0 || Choose(8) != 7) return;
  --behaviour_->loads_left;
  if (behaviour_->handlers) fiber->timer_points = Choose(2) * Choose(200);
  RunInDynamicLoader([] { CurrentWorld()->LoadOrUnloadModule(); });
}

// The oracle for the poll byte. A thread that has been through its slow path, and whose byte is
// clear, has looked at the request that the byte was last set for, or at a later one: it has
// acknowledged it, or walked its stack in vain.
template <typename Answer>
void SimulatedThread::MustNotLoseRequest(const Answer& answer) {
  const uint64_t walks_before = own_walks_;
  const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  const auto is_asked = [record] {
    const SwitchRequest* const request = Handshake::Get().Current();
    return record == nullptr || request == nullptr || request->Asks(*record);
  };
  const bool was_asked = is_asked();
  answer();
  if (record == nullptr || record->activity.Get() != Activity::kRunning || PollIsSet()) return;
  // Whose end is not announced is asked by the signal only.
  if (record->adopted.load()) return;
  // It may have looked at a later request, a canary's, which wants nothing of it.
  if (!was_asked || !is_asked()) return;
  if (record->ack.load() < asked_ && own_walks_ == walks_before) {
    Now().Violation("thread %d has lost its poll byte, and with it request %lu (its last: %lu)",
                    tid, asked_, record->ack.load());
  }
}

void SimulatedThread::NoteWalk() {
  if (fiber == Now().running()) ++own_walks_;
}

void SimulatedThread::NotePollSet(const volatile void* byte) {
  for (const auto& thread : CurrentWorld()->threads) {
    if (thread->words_ != byte || thread->fiber == Now().running()) continue;
    const SwitchRequest* const request = Handshake::Get().Current();
    if (request != nullptr) thread->asked_ = request->generation;
  }
}

// While the thread is in host code, what it was in is a frame to return to.
template <typename Call>
void SimulatedThread::InHost(const Call& call) {
  const CodeAddress interrupted = pc;
  frames.push_back({interrupted, true});
  pc = {};
  call();
  pc = interrupted;
  frames.pop_back();
}

void SimulatedThread::Step(CodeAddress at, uintptr_t reads) {
  pc = at;
  if (behaviour_->handlers && Choose(60) == 0) MaybeInterrupt();
  Now().Point({.location = reads});
}

void SimulatedThread::PollAt(CodeAddress return_address) {
  pc = return_address;
  const RegisterContext context{.rip = return_address.value,
                                .rsp = reinterpret_cast<uintptr_t>(__builtin_frame_address(0))};
  InHost([&] { MustNotLoseRequest([&context] { MendPollSlowPath(&context); }); });
}

int SimulatedThread::Call(Function function) {
  ++Now().running()->phase;
  const bool outermost = pc.is_null();
  if (!outermost) frames.push_back({pc, true});
  const CodeAddress body = Dispatch(host_->Site(function).entry);
  const int version = host_->VersionAt(body);
  if (version < 0) Now().Violation("thread %d enters text that is no version (any more)", tid);
  Step(body + kWorkOffset);
  const int seen = RunBody(function, version);
  Step(body + kWorkOffset);
  if (outermost) {
    pc = {};
  } else {
    pc = frames.back().pc;
    frames.pop_back();
  }
  return seen;
}

CodeAddress SimulatedThread::Dispatch(CodeAddress entry) {
  Step(entry, entry.value);
  // What was fetched here may be executed after the entry was closed.
  const uint64_t stub = ReadText<uint64_t>(entry);
  if (stub == kClosedEntry) return entry + kEntryStubSize;
  const int32_t displacement = static_cast<int32_t>(static_cast<uint32_t>(stub >> 16));
  const uintptr_t slot =
      entry.value + 6 + static_cast<uintptr_t>(static_cast<int64_t>(displacement));
  Step(entry, slot);
  const CodeAddress target{*reinterpret_cast<const uintptr_t*>(slot)};
  return host_->IsTrampoline(target) ? RunTrampoline(target) : target;
}

// See runtime/transition/trampoline.h for the bytes. The signal may put a thread back to the
// beginning: then it starts again.
CodeAddress SimulatedThread::RunTrampoline(CodeAddress trampoline) {
  constexpr size_t kTest = 4;
  constexpr size_t kDecision = 15;
  constexpr size_t kJump = 27;
  // What may be freed under it.
  const uintptr_t around = host_->TrampolinesAround(trampoline).value;
  while (true) {
    Step(trampoline, around);
    Step(trampoline + kTest, around);
    if (pc == trampoline) continue;
    if (PollIsSet()) PollAt(trampoline + kTrampolinePollReturn);
    Step(trampoline + kDecision, around);
    if (pc == trampoline) continue;
    const uint32_t own = CallersEpoch();
    if (pc == trampoline) continue;
    Step(trampoline + kJump, around);
    if (pc == trampoline) continue;
    const uint32_t epoch = ReadText<uint32_t>(trampoline + 23);
    const auto displacement = ReadText<int32_t>(trampoline + (own >= epoch ? 29 : 34));
    const size_t next = own >= epoch ? 33 : 38;
    return CodeAddress{trampoline.value + next +
                       static_cast<uintptr_t>(static_cast<int64_t>(displacement))};
  }
}

int SimulatedThread::RunBody(Function function, int version) {
  switch (function) {
    case kPair: {
      const int delta = behaviour_->sets ? Call(kDelta) : 0;
      const int first = Call(kAlpha);
      Work(0);
      Agree(first, Call(kBeta), "pair");
      if (behaviour_->sets) Agree(delta, Call(kDelta), "pair");
      break;
    }
    case kAlpha:
      Work(1);
      Agree(version, Call(kBeta), "alpha");
      break;
    case kGamma: {
      const int first = Call(kEpsilon);
      Work(1);
      Agree(version, Call(kBeta), "gamma");
      Agree(first, Call(kEpsilon), "gamma");
      break;
    }
    default:
      if (PollIsSet()) PollAt(pc);
      break;
  }
  return version;
}

void SimulatedThread::Agree(int first, int second, const char* where) {
  if (first == second || CurrentWorld()->forced) return;
  Now().Violation("thread %d saw versions %d and %d in one activation of %s", tid, first, second,
                  where);
}

void SimulatedThread::Work(int depth) {
  if (!behaviour_->random_work) {
    if (PollIsSet()) PollAt(pc);
    return;
  }
  switch (Choose(8)) {
    case 3:
      if (MaySwapContexts()) InHost([this] { SwapSomewhere(); });
      break;
    case 0:
      if (behaviour_->blocks)
        InHost([] { BlockedSleep(static_cast<int64_t>(Choose(200)) * 1'000); });
      break;
    case 1:
      if (depth == 0 && behaviour_->births_max > 0 && !CurrentWorld()->stopping &&
          announcement != Announcement::kNone) {
        --behaviour_->births_max;
        InHost([this] { CreateThread(); });
      }
      break;
    case 2:
      if (behaviour_->forks_left > 0 && Choose(4) == 3) InHost(ForkProcess);
      break;
    default:
      if (PollIsSet()) PollAt(pc);
      break;
  }
}

void SimulatedThread::CreateThread() {
  SimulatedThread* const child = CurrentWorld()->NewThread(
      announcement == Announcement::kNone ? Announcement::kNone : Announcement::kProgram);
  child->stays = false;
  child->creator_tid = tid;
  if (child->announcement == Announcement::kNone) return child->Start(nullptr);
  if (Choose(16) == 15) CurrentWorld()->nothrow_new_fails_on = fiber;
  ThreadRecord* const record = ThreadRegistry::Get().PrepareChild();
  if (CurrentWorld()->nothrow_new_fails_on == fiber) CurrentWorld()->nothrow_new_fails_on = nullptr;
  // Out of memory, or the system has no thread.
  if (record != nullptr && Choose(16) != 15) return child->Start(record);
  if (record != nullptr) ThreadRegistry::Get().AbandonChild(record);
  child->done = true;
}

// --- signals ---

void SimulatedThread::MaybeInterrupt() {
  if (done || in_handler_ || fiber == nullptr || !takes_signals_) return;
  program_pending_ = true;
  if (!fiber->blocks_signals) fiber->interrupt_pending = true;
}

void SimulatedThread::NoteMask() {
  if (program_pending_ && !fiber->blocks_signals) fiber->interrupt_pending = true;
}

void SimulatedThread::HandleInterrupt() {
  if (safepoint_pending_) HandleSafepointSignal();
  if (program_pending_ && !in_handler_ && !fiber->blocks_signals) HandleProgramSignal();
}

void SimulatedThread::HandleSafepointSignal() {
  safepoint_pending_ = false;
  const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (record != nullptr && record->activity.Get() == Activity::kBlocked &&
      fiber->interrupted_asleep) {
    Now().Violation("the safepoint signal interrupts a call in a blocked region");
  }
  struct sigaction action = {};
  sigaction(kSafepointSignal, nullptr, &action);
  ucontext_t context = {};
  auto& registers = context.uc_mcontext.gregs;
  const CodeAddress interrupted = pc;
  registers[REG_RIP] = static_cast<greg_t>(
      pc.is_null() ? reinterpret_cast<uintptr_t>(&ThreadWordsOffset) : pc.value);
  registers[REG_RSP] = static_cast<greg_t>(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
  siginfo_t info = std::exchange(info_, {});
  MustNotLoseRequest([&] { action.sa_sigaction(kSafepointSignal, &info, &context); });
  if (!interrupted.is_null()) pc = CodeAddress{static_cast<uintptr_t>(registers[REG_RIP])};
}

// The program's handler calls hosted code: a unit of its own, on top of what it interrupts.
void SimulatedThread::HandleProgramSignal() {
  program_pending_ = false;
  // Elsewhere, in the runtime's own code, guest_libc has the program's signals wait.
  const ThreadRecord* const record = ThreadRegistry::CurrentRecord();
  if (pc.is_null() && (record == nullptr || record->activity.Get() != Activity::kBlocked)) return;
  in_handler_ = true;
  fiber->interrupts_off = false;
  fiber->interrupted_asleep = false;
  const CodeAddress interrupted = pc;
  if (!interrupted.is_null()) frames.push_back({interrupted, false});
  pc = {};
  RunProgramHandler([this] {
    Call(Choose(3) == 2 ? kAlpha : kPair);
    if (Choose(2) == 0) BlockedSleep(5'000);
    if (behaviour_->forks_left > 0 && Choose(4) == 3) ForkProcess();
  });
  pc = interrupted;
  if (!interrupted.is_null()) frames.pop_back();
  in_handler_ = false;
}

}  // namespace mend::simulation

namespace mend {

// The walker's part: the frames are known, not guessed.
WalkResult WalkStack(const RegisterContext& from, const WalkOptions&, WalkVisitor visitor,
                     void* argument) noexcept [[clang::nonblocking]] {
  using simulation::SimulatedThread;
  SimulatedThread* const thread = SimulatedThread::OfStack(from.rsp);
  if (thread == nullptr) return {.end = WalkEnd::kUnknownCode};
  thread->NoteWalk();
  size_t left = thread->frames.size();
  size_t depth = 0;
  // A poll's own frame is where the walk begins.
  if (left > 0 && thread->frames[left - 1].pc.value == from.rip) --left;
  WalkFrame frame{.pc = CodeAddress{from.rip}, .depth = depth++};
  if (!visitor(frame, argument)) return {.end = WalkEnd::kStopped, .last_pc = frame.pc};
  while (left > 0) {
    const SimulatedThread::Frame& next = thread->frames[--left];
    frame = {.pc = next.pc, .depth = depth++, .is_return_address = next.is_return_address};
    if (!visitor(frame, argument)) {
      return {.end = WalkEnd::kStopped, .last_pc = frame.pc, .frames = depth};
    }
  }
  return {.end = WalkEnd::kComplete, .last_pc = frame.pc, .frames = depth};
}

}  // namespace mend
