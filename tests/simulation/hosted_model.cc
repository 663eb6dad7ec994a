#include "tests/simulation/hosted_model.h"

#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/patch/redirection_table.h"
#include "runtime/safepoint/handshake.h"
#include "runtime/safepoint/safepoint.h"
#include "runtime/safepoint/safepoint_poll.h"
#include "runtime/safepoint/stack_walker.h"
#include "runtime/safepoint/thread_registry.h"
#include "tests/simulation/guest_calls.h"

// What stands for a call that does not block goes to the scheduler here.
#pragma clang diagnostic ignored "-Wfunction-effects"

namespace mend::simulation {
namespace {

constexpr size_t kTextBytes = 1 << 20;
constexpr size_t kBodyBytes = 64;
// Where in a body its calls return to, and where it is while it works.
constexpr size_t kWorkOffset = 24;

// Real memory, so that slots are in reach and entries can be read; nothing here is ever executed.
alignas(64) constinit uint8_t text_memory[kTextBytes] = {};
constinit uintptr_t slots[kFunctions] = {};

CodeAddress TextAt(size_t offset) {
  return CodeAddress{reinterpret_cast<uintptr_t>(text_memory) + offset};
}

template <typename Value>
Value ReadText(CodeAddress at) {
  Value value;
  memcpy(&value, reinterpret_cast<const void*>(at.value), sizeof value);
  return value;
}

Scheduler& Now() { return *Scheduler::Current(); }

uint32_t Choose(uint32_t n) { return Now().chooser()->Choose(n); }

}  // namespace

// The text of a patch is freed with it.
class ModelModule : public LinkedModule {
 public:
  ModelModule(ModelHost* host, int version) : host_(host), version_(version) {}
  ~ModelModule() override {
    for (ModelHost::Version& version : host_->versions_) {
      if (version.number != version_) continue;
      version.freed = true;
      host_->freed_.push_back(version.text);
    }
  }
  uint64_t text_bytes() const override { return 2 * kBodyBytes; }
  uint64_t data_bytes() const override { return 0; }

 private:
  ModelHost* const host_;
  const int version_;
};

// --- text ---

ModelHost::ModelHost() {
  for (int i = 0; i < kFunctions; ++i) {
    const CodeRange text = NewText(kBodyBytes);
    memcpy(text_memory + (text.begin.value - TextAt(0).value), &kClosedEntry, sizeof kClosedEntry);
    slots[i] = text.begin.value + kEntryStubSize;
    sites_[i].name = i == kPair ? "pair" : i == kAlpha ? "alpha" : "beta";
    sites_[i].unit = "model";
    sites_[i].entry = text.begin;
    sites_[i].size = kBodyBytes;
    sites_[i].slot = &slots[i];
    versions_.push_back({{text.begin + kEntryStubSize, text.end}, 0, false});
  }
}

CodeRange ModelHost::NewText(size_t bytes) {
  const size_t begin = used_;
  used_ += (bytes + 63) / 64 * 64;
  if (used_ > kTextBytes) Now().Violation("the simulation has no text left");
  return {TextAt(begin), TextAt(begin + bytes)};
}

absl::StatusOr<CodeRange> ModelHost::AllocateText(size_t bytes) {
  const CodeRange range = NewText(bytes);
  memset(text_memory + (range.begin.value - TextAt(0).value), 0xcc, bytes);
  trampolines_.push_back(range);
  ++live_texts_;
  return range;
}

void ModelHost::ReleaseText(CodeRange range) {
  std::erase(trampolines_, range);
  freed_.push_back(range);
  --live_texts_;
}

absl::Status ModelHost::WriteText(absl::Span<const TextWrite> writes) {
  for (const TextWrite& write : writes) {
    memcpy(reinterpret_cast<void*>(write.address.value), write.bytes.data(), write.bytes.size());
  }
  return absl::OkStatus();
}

absl::Status ModelHost::WriteEntries(absl::Span<const EntryWrite> writes) {
  for (const EntryWrite& write : writes) {
    Now().Point();
    memcpy(reinterpret_cast<void*>(write.entry.value), &write.bytes, sizeof write.bytes);
  }
  return absl::OkStatus();
}

std::unique_ptr<Patch> ModelHost::MakePatch(int version, bool replace) {
  auto patch = std::make_unique<Patch>();
  patch->name = absl::StrCat("p", version % 2);
  patch->content_hash = absl::StrCat("content ", version);
  patch->replace = replace;
  PatchObject object;
  for (const Function function : {kAlpha, kBeta}) {
    PatchFunction replacement;
    replacement.old = sites_[function];
    replacement.new_text = NewText(kBodyBytes);
    replacement.new_body = replacement.new_text.begin;
    versions_.push_back({replacement.new_text, version, false});
    object.functions.push_back(std::move(replacement));
  }
  patch->objects.push_back(std::move(object));
  patch->held.push_back(sites_[kPair]);
  patch->module = std::make_unique<ModelModule>(this, version);
  return patch;
}

FunctionSite ModelHost::Site(Function function) const { return sites_[function]; }

int ModelHost::VersionAt(CodeAddress body) const {
  for (const Version& version : versions_) {
    if (version.text.begin == body && !version.freed) return version.number;
  }
  return -1;
}

bool ModelHost::IsTrampoline(CodeAddress address) const {
  return std::any_of(trampolines_.begin(), trampolines_.end(),
                     [address](const CodeRange& range) { return range.Contains(address); });
}

bool ModelHost::Freed(CodeAddress address) const {
  return std::any_of(freed_.begin(), freed_.end(),
                     [address](const CodeRange& range) { return range.Contains(address); });
}

bool ModelHost::Pristine() const {
  for (const FunctionSite& site : sites_) {
    if (ReadText<uint64_t>(site.entry) != kClosedEntry) return false;
    if (*site.slot != site.entry.value + kEntryStubSize) return false;
  }
  return true;
}

// --- the world ---

World*& CurrentWorld() {
  static World* world = nullptr;
  return world;
}

SimulatedThread* World::NewThread() {
  threads.push_back(
      std::make_unique<SimulatedThread>(&host, &behaviour, static_cast<int>(threads.size())));
  threads.back()->stays = behaviour.stay;
  return threads.back().get();
}

void World::CheckInvariants() {
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
    if (thread->done) Now().Violation("thread %d has ended, and its id is used", tid);
    return thread.get();
  }
  return nullptr;
}

SimulatedThread* SimulatedThread::OfStack(uintptr_t address) {
  for (const auto& thread : CurrentWorld()->threads) {
    if (thread->fiber == nullptr) continue;
    if (address >= reinterpret_cast<uintptr_t>(thread->fiber->stack_low) &&
        address < reinterpret_cast<uintptr_t>(thread->fiber->stack_high)) {
      return thread.get();
    }
  }
  return nullptr;
}

bool SimulatedThread::Queue(int tid, const siginfo_t& info) {
  SimulatedThread* const thread = Find(tid);
  if (thread == nullptr) return false;
  thread->info_ = info;
  thread->safepoint_pending_ = true;
  thread->fiber->interrupt_pending = true;
  return true;
}

void SimulatedThread::Start(ThreadRecord* record) {
  record_ = record;
  fiber = Now().Spawn("thread", [this] { Main(); });
  fiber->owner = this;
  fiber->interrupt = [this] { HandleInterrupt(); };
}

void SimulatedThread::Main() {
  ThreadRegistry::Get().BeginThread(record_);
  while (units_done < behaviour_->units || (stays && !CurrentWorld()->stopping)) {
    Call(Choose(3) == 2 ? kAlpha : kPair);
    ++units_done;
    ++CurrentWorld()->units;
    if (behaviour_->blocks && Choose(4) == 0) BlockedSleep(20'000);
    if (PollIsSet()) {
      const RegisterContext here{.rip = reinterpret_cast<uintptr_t>(&ThreadWordsOffset),
                                 .rsp = reinterpret_cast<uintptr_t>(__builtin_frame_address(0))};
      MendPollSlowPath(&here);
    }
  }
  ThreadRegistry::Get().EndThread();
  if (safepoint_pending_) Now().Violation("the safepoint signal comes to a thread that has ended");
  done = true;
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

void SimulatedThread::Step(CodeAddress at) {
  pc = at;
  if (behaviour_->handlers && Choose(60) == 0) MaybeInterrupt();
  Now().Point();
}

void SimulatedThread::PollAt(CodeAddress return_address) {
  pc = return_address;
  const RegisterContext context{.rip = return_address.value,
                                .rsp = reinterpret_cast<uintptr_t>(__builtin_frame_address(0))};
  InHost([&context] { MendPollSlowPath(&context); });
}

int SimulatedThread::Call(Function function) {
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
  Step(entry);
  // What was fetched here may be executed after the entry was closed.
  const uint64_t stub = ReadText<uint64_t>(entry);
  if (stub == kClosedEntry) return entry + kEntryStubSize;
  Step(entry);
  const int32_t displacement = static_cast<int32_t>(static_cast<uint32_t>(stub >> 16));
  const uintptr_t slot =
      entry.value + 6 + static_cast<uintptr_t>(static_cast<int64_t>(displacement));
  const CodeAddress target{*reinterpret_cast<const uintptr_t*>(slot)};
  return host_->IsTrampoline(target) ? RunTrampoline(target) : target;
}

// See runtime/transition/trampoline.h for the bytes. The signal may put a thread back to the
// beginning: then it starts again.
CodeAddress SimulatedThread::RunTrampoline(CodeAddress trampoline) {
  constexpr size_t kTest = 4;
  constexpr size_t kDecision = 15;
  constexpr size_t kJump = 27;
  while (true) {
    Step(trampoline);
    Step(trampoline + kTest);
    if (pc == trampoline) continue;
    if (PollIsSet()) PollAt(trampoline + kTrampolinePollReturn);
    Step(trampoline + kDecision);
    if (pc == trampoline) continue;
    const uint32_t own = CallersEpoch();
    if (pc == trampoline) continue;
    Step(trampoline + kJump);
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
      const int first = Call(kAlpha);
      Work(0);
      Agree(first, Call(kBeta), "pair");
      break;
    }
    case kAlpha:
      Work(1);
      Agree(version, Call(kBeta), "alpha");
      break;
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
    case 0:
      if (behaviour_->blocks)
        InHost([] { BlockedSleep(static_cast<int64_t>(Choose(200)) * 1'000); });
      break;
    case 1:
      if (depth == 0 && behaviour_->births_max > 0 && !CurrentWorld()->stopping) {
        --behaviour_->births_max;
        InHost([] {
          SimulatedThread* const child = CurrentWorld()->NewThread();
          child->stays = false;
          child->Start(ThreadRegistry::Get().PrepareChild());
        });
      }
      break;
    case 2:
      break;
    default:
      if (PollIsSet()) PollAt(pc);
      break;
  }
}

// --- signals ---

void SimulatedThread::MaybeInterrupt() {
  if (done || in_handler_ || record_ == nullptr) return;
  program_pending_ = true;
  fiber->interrupt_pending = true;
}

void SimulatedThread::HandleInterrupt() {
  if (safepoint_pending_) HandleSafepointSignal();
  if (program_pending_ && !in_handler_) HandleProgramSignal();
}

void SimulatedThread::HandleSafepointSignal() {
  safepoint_pending_ = false;
  if (record_->activity.Get() == Activity::kBlocked && fiber->interrupted_asleep) {
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
  action.sa_sigaction(kSafepointSignal, &info_, &context);
  if (!interrupted.is_null()) pc = CodeAddress{static_cast<uintptr_t>(registers[REG_RIP])};
}

// The program's handler calls hosted code: a unit of its own, on top of what it interrupts.
void SimulatedThread::HandleProgramSignal() {
  program_pending_ = false;
  // Elsewhere, in the runtime's own code, guest_libc has the program's signals wait.
  if (pc.is_null() && record_->activity.Get() != Activity::kBlocked) return;
  in_handler_ = true;
  fiber->interrupts_off = false;
  fiber->interrupted_asleep = false;
  const CodeAddress interrupted = pc;
  if (!interrupted.is_null()) frames.push_back({interrupted, false});
  pc = {};
  RunProgramHandler([this] {
    Call(Choose(3) == 2 ? kAlpha : kPair);
    if (Choose(2) == 0) BlockedSleep(5'000);
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
  const SimulatedThread* const thread = SimulatedThread::OfStack(from.rsp);
  if (thread == nullptr) return {.end = WalkEnd::kUnknownCode};
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
