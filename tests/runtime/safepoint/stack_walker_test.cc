#include "runtime/safepoint/stack_walker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/safepoint/unwind_table.h"
#include "tests/runtime/safepoint/fenced_thread.h"
#include "tests/runtime/safepoint/own_unwind_data.h"
#include "tests/runtime/safepoint/single_stepper.h"

namespace mend {
namespace {

// The registers of the code that calls it, as the anchor of a blocked region records them.
[[gnu::always_inline]] inline RegisterContext CaptureContext() {
  RegisterContext context;
  __asm__ volatile(
      "leaq 0(%%rip), %%rax\n\t"
      "movq %%rax, 0(%0)\n\t"
      "movq %%rsp, 8(%0)\n\t"
      "movq %%rbp, 16(%0)\n\t"
      "movq %%rbx, 24(%0)\n\t"
      "movq %%r12, 32(%0)\n\t"
      "movq %%r13, 40(%0)\n\t"
      "movq %%r14, 48(%0)\n\t"
      "movq %%r15, 56(%0)\n\t"
      :
      : "r"(&context)
      : "rax", "memory");
  return context;
}

struct Frames {
  static constexpr size_t kMax = 256;
  WalkFrame frames[kMax];
  size_t count = 0;
  size_t stop_after = kMax;
};

bool Collect(const WalkFrame& frame, void* argument) noexcept [[clang::nonblocking]] {
  auto& frames = *static_cast<Frames*>(argument);
  if (frames.count < Frames::kMax) frames.frames[frames.count++] = frame;
  return frames.count < frames.stop_after;
}

WalkOptions OwnStack() {
  WalkOptions options;
  options.stack = CurrentStack();
  return options;
}

// Calls through `depth` frames, then walks.
[[gnu::noinline]] WalkResult WalkAtDepth(int depth, const WalkOptions& options, Frames* frames) {
  if (depth > 0) {
    const WalkResult result = WalkAtDepth(depth - 1, options, frames);
    __asm__ volatile("");  // not a tail call
    return result;
  }
  return WalkStack(CaptureContext(), options, Collect, frames);
}

TEST(StackWalkerTest, T7_MainThreadEndsAtStart) {
  Frames frames;
  const WalkResult result = WalkAtDepth(5, OwnStack(), &frames);
  EXPECT_EQ(result.end, WalkEnd::kComplete) << WalkEndName(result.end);
  EXPECT_EQ(result.frames, frames.count);
  EXPECT_GT(frames.count, 6u);
  for (size_t i = 0; i < frames.count; ++i) {
    EXPECT_EQ(frames.frames[i].depth, i);
    EXPECT_EQ(frames.frames[i].is_return_address, i > 0);
    if (i > 1 && i + 1 < frames.count) EXPECT_GT(frames.frames[i].cfa, frames.frames[i - 1].cfa);
  }
  // Recursive frames return to the same place.
  EXPECT_EQ(frames.frames[1].pc, frames.frames[2].pc);
}

TEST(StackWalkerTest, ThreadEndsAtClone) {
  std::thread([] {
    Frames frames;
    const WalkResult result = WalkAtDepth(3, OwnStack(), &frames);
    EXPECT_EQ(result.end, WalkEnd::kComplete) << WalkEndName(result.end);
    EXPECT_GT(frames.count, 5u);
  }).join();
}

// Destructors of thread-locals and of keys run when the thread's own function has returned.
WalkEnd ends_at_exit[2];

struct WalksAtExit {
  ~WalksAtExit() {
    Frames frames;
    ends_at_exit[0] = WalkAtDepth(3, OwnStack(), &frames).end;
  }
};

void WalkInKeyDestructor(void*) {
  Frames frames;
  ends_at_exit[1] = WalkAtDepth(3, OwnStack(), &frames).end;
}

TEST(StackWalkerTest, DestructorsAtTheEndOfAThread) {
  ends_at_exit[0] = ends_at_exit[1] = WalkEnd::kTooDeep;
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key, WalkInKeyDestructor), 0);
  std::thread([key] {
    static thread_local WalksAtExit local;
    __asm__ volatile("" ::"r"(&local));
    pthread_setspecific(key, &ends_at_exit);
  }).join();
  pthread_key_delete(key);
  EXPECT_EQ(ends_at_exit[0], WalkEnd::kComplete) << WalkEndName(ends_at_exit[0]);
  EXPECT_EQ(ends_at_exit[1], WalkEnd::kComplete) << WalkEndName(ends_at_exit[1]);
}

TEST(StackWalkerTest, RecordedBaseEndsTheWalk) {
  Frames all;
  ASSERT_EQ(WalkAtDepth(9, OwnStack(), &all).end, WalkEnd::kComplete);
  WalkOptions options = OwnStack();
  Frames until_base;
  options.base_cfa = all.frames[4].cfa;  // the same frames: same depth, called from here again
  const WalkResult result = WalkAtDepth(9, options, &until_base);
  EXPECT_EQ(result.end, WalkEnd::kComplete);
  EXPECT_LE(result.frames, all.count);
}

TEST(StackWalkerTest, VisitorStopsTheWalk) {
  Frames frames;
  frames.stop_after = 2;
  const WalkResult result = WalkAtDepth(5, OwnStack(), &frames);
  EXPECT_EQ(result.end, WalkEnd::kStopped);
  EXPECT_EQ(result.frames, 2u);
}

TEST(StackWalkerTest, T6_MoreFramesThanAllowed) {
  Frames frames;
  WalkOptions options = OwnStack();
  options.frames_max = 4;
  EXPECT_EQ(WalkAtDepth(20, options, &frames).end, WalkEnd::kTooDeep);
  EXPECT_EQ(frames.count, 4u);
}

TEST(StackWalkerTest, StackPointerOutsideOfTheStack) {
  Frames frames;
  WalkOptions options = OwnStack();
  options.stack.low = options.stack.high - 64;
  EXPECT_EQ(WalkAtDepth(1, options, &frames).end, WalkEnd::kOutOfBounds);
  options.stack = {};
  EXPECT_EQ(WalkAtDepth(1, options, &frames).end, WalkEnd::kOutOfBounds);
}

TEST(StackWalkerTest, StackThatIsTooShortForTheFrames) {
  Frames frames;
  WalkOptions options = OwnStack();
  options.stack.high = CaptureContext().rsp;  // cuts this function's own frame off
  const WalkResult result = WalkAtDepth(3, options, &frames);
  EXPECT_EQ(result.end, WalkEnd::kOutOfBounds);
  EXPECT_GE(result.frames, 3u);
}

// Code made by hand: `push %rbx; call *%rdi; pop %rbx; ret`, and a jump stub.
class HandMadeCode {
 public:
  HandMadeCode() {
    memory_ = static_cast<uint8_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    const uint8_t code[] = {0x53, 0xff, 0xd7, 0x5b, 0xc3};
    memcpy(memory_, code, sizeof(code));
    WriteUnwindData(sizeof(code));
  }
  ~HandMadeCode() { munmap(memory_, 4096); }
  HandMadeCode(const HandMadeCode&) = delete;
  HandMadeCode& operator=(const HandMadeCode&) = delete;

  void Call(void (*callback)()) const { reinterpret_cast<void (*)(void (*)())>(memory_)(callback); }
  CodeRange function() const { return {Address(0), Address(5)}; }
  CodeRange text() const { return {Address(0), Address(64)}; }
  FdeEntry entry() const { return {function(), memory_ + kFde}; }
  uint8_t* at(size_t offset) { return memory_ + offset; }

 private:
  static constexpr size_t kCie = 512;
  static constexpr size_t kFde = 544;

  CodeAddress Address(size_t offset) const {
    return {reinterpret_cast<uintptr_t>(memory_) + offset};
  }

  void WriteUnwindData(uint32_t size) {
    // zR, code 1, data -8, return register 16, pcrel sdata4; CFA = rsp + 8, ra at CFA - 8.
    const uint8_t cie[] = {0x1c, 0,    0, 0, 0,         0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1,
                           0x1b, 0x0c, 7, 8, 0x80 | 16, 1, 0, 0, 0, 0,   0,   0, 0, 0,    0,  0};
    memcpy(memory_ + kCie, cie, sizeof(cie));
    // advance 1; CFA offset 16; rbx at CFA - 16; advance 3; CFA offset 8.
    const uint8_t fde[] = {0x1c, 0, 0,    0,    kFde + 4 - kCie,
                           0,    0, 0,    0,    0,
                           0,    0, 0,    0,    0,
                           0,    0, 0x41, 0x0e, 16,
                           0x83, 2, 0x43, 0x0e, 8,
                           0,    0, 0,    0,    0,
                           0,    0};
    memcpy(memory_ + kFde, fde, sizeof(fde));
    const int32_t begin = -static_cast<int32_t>(kFde + 8);
    memcpy(memory_ + kFde + 8, &begin, sizeof(begin));
    memcpy(memory_ + kFde + 12, &size, sizeof(size));
  }

  uint8_t* memory_;
};

struct CallbackWalk {
  WalkOptions options;
  Frames frames;
  WalkResult result;
};
CallbackWalk callback_walk;

void WalkInCallback() {
  callback_walk.frames.count = 0;
  callback_walk.result =
      WalkStack(CaptureContext(), callback_walk.options, Collect, &callback_walk.frames);
}

bool SawReturnInto(CodeRange range) {
  for (size_t i = 0; i < callback_walk.frames.count; ++i) {
    if (range.Contains(callback_walk.frames.frames[i].pc)) return true;
  }
  return false;
}

TEST(StackWalkerTest, HostedTextIsKnownWhileItIsInTheTable) {
  const HandMadeCode code;
  callback_walk.options = OwnStack();
  code.Call(WalkInCallback);
  EXPECT_EQ(callback_walk.result.end, WalkEnd::kUnknownCode);
  EXPECT_TRUE(code.function().Contains(callback_walk.result.last_pc));

  UnwindTable::Get().AddRegion(code.text(), {code.entry()});
  code.Call(WalkInCallback);
  EXPECT_EQ(callback_walk.result.end, WalkEnd::kComplete) << WalkEndName(callback_walk.result.end);
  EXPECT_TRUE(SawReturnInto(code.function()));

  UnwindTable::Get().RemoveRegion(code.text());
  code.Call(WalkInCallback);
  EXPECT_EQ(callback_walk.result.end, WalkEnd::kUnknownCode);
}

TEST(StackWalkerTest, T7_HostedTextWithoutAnEntryIsUnknown) {
  const HandMadeCode code;
  callback_walk.options = OwnStack();
  UnwindTable::Get().AddRegion(code.text(), {});
  code.Call(WalkInCallback);
  EXPECT_EQ(callback_walk.result.end, WalkEnd::kUnknownCode);
  UnwindTable::Get().RemoveRegion(code.text());
}

TEST(StackWalkerTest, T7_MalformedUnwindDataIsRefused) {
  HandMadeCode code;
  callback_walk.options = OwnStack();
  UnwindTable::Get().AddRegion(code.text(), {code.entry()});
  struct Damage {
    size_t offset;
    uint8_t value;
    const char* what;
  };
  const Damage damages[] = {{544, 0, "entry without length"},
                            {544, 5, "length that cuts the instructions"},
                            {512 + 8, 9, "unknown version"},
                            {512 + 9, 'q', "unknown augmentation"},
                            {512 + 14, 5, "return address in another register"},
                            {512 + 18, 40, "CFA from a vector register"},
                            {512 + 18, 0, "CFA from a register that no callee preserves"},
                            {561, 0x3f, "unknown instruction"},
                            {561, 0x0b, "restore without remember"}};
  for (const Damage& damage : damages) {
    uint8_t* const byte = code.at(damage.offset);
    const uint8_t original = *byte;
    *byte = damage.value;
    code.Call(WalkInCallback);
    EXPECT_EQ(callback_walk.result.end, WalkEnd::kBadUnwindData) << damage.what;
    *byte = original;
  }
  code.Call(WalkInCallback);
  EXPECT_EQ(callback_walk.result.end, WalkEnd::kComplete);
  UnwindTable::Get().RemoveRegion(code.text());
}

TEST(StackWalkerTest, StubHasItsReturnAddressOnTop) {
  const HandMadeCode code;
  uintptr_t stack[4] = {0, 0, reinterpret_cast<uintptr_t>(&WalkInCallback), 0};
  UnwindTable::Get().AddStubRegion(code.text());
  WalkOptions options;
  options.stack = {reinterpret_cast<uintptr_t>(stack), reinterpret_cast<uintptr_t>(stack + 4)};
  options.base_cfa = reinterpret_cast<uintptr_t>(stack + 2);
  RegisterContext from;
  from.rsp = reinterpret_cast<uintptr_t>(stack + 1);
  for (size_t offset = 0; offset < 64; ++offset) {
    from.rip = code.text().begin.value + offset;
    Frames frames;
    EXPECT_EQ(WalkStack(from, options, Collect, &frames).end, WalkEnd::kComplete);
  }
  UnwindTable::Get().RemoveRegion(code.text());
}

// --- other threads ---

struct Parked {
  std::atomic<bool> published{false};
  RegisterContext anchor;
  WalkOptions options;
  void* returns[3];
  int pipe_read;
};

[[gnu::noinline]] void Park(Parked* parked) {
  parked->returns[0] = __builtin_return_address(0);
  char byte;
  // The anchor is this function's own frame, which stays as it is below the call.
  parked->anchor = CaptureContext();
  parked->published.store(true, std::memory_order_release);
  EXPECT_EQ(read(parked->pipe_read, &byte, 1), 1);
}

int CompareInPark(const void*, const void*, void* argument) {
  auto* parked = static_cast<Parked*>(argument);
  if (!parked->published.load(std::memory_order_relaxed)) Park(parked);
  return 0;
}

TEST(StackWalkerTest, BlockedThreadIsWalkedFromItsAnchor) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  Parked parked;
  parked.pipe_read = fds[0];
  std::thread thread([&parked] {
    parked.options = OwnStack();
    int values[] = {3, 1, 2};
    qsort_r(values, 3, sizeof(int), CompareInPark, &parked);
  });
  while (!parked.published.load(std::memory_order_acquire)) std::this_thread::yield();
  for (int i = 0; i < 10000; ++i) {
    Frames frames;
    const WalkResult result = WalkStack(parked.anchor, parked.options, Collect, &frames);
    ASSERT_EQ(result.end, WalkEnd::kComplete) << WalkEndName(result.end);
    ASSERT_GT(frames.count, 6u);
    ASSERT_EQ(frames.frames[1].pc.value, reinterpret_cast<uintptr_t>(parked.returns[0]));
  }
  ASSERT_EQ(write(fds[1], "x", 1), 1);
  thread.join();
  close(fds[0]);
  close(fds[1]);
}

// --- a million walks ---

// A thread that blocks in one place after the other, each time with the chain of return addresses
// that libgcc's unwinder finds. The walker may look while `turn` is odd.
struct Wanderer {
  std::atomic<unsigned> turn{0};
  std::atomic<bool> go_on{false};
  RegisterContext anchor;
  WalkOptions options;
  void* chain[Frames::kMax];
  size_t chain_size = 0;
};

_Unwind_Reason_Code AddToChain(_Unwind_Context* context, void* argument) {
  auto* const wanderer = static_cast<Wanderer*>(argument);
  if (wanderer->chain_size == Frames::kMax) return _URC_END_OF_STACK;
  wanderer->chain[wanderer->chain_size++] = reinterpret_cast<void*>(_Unwind_GetIP(context));
  return _URC_NO_REASON;
}

[[gnu::noinline]] void Halt(Wanderer* wanderer) {
  wanderer->chain_size = 0;
  // Not backtrace: ThreadSanitizer puts a frame of its own before that. As there, an outermost
  // frame of nobody does not count.
  _Unwind_Backtrace(AddToChain, wanderer);
  if (wanderer->chain[wanderer->chain_size - 1] == nullptr) --wanderer->chain_size;
  wanderer->anchor = CaptureContext();
  // The frame stays as it is until the walker has seen enough.
  wanderer->turn.fetch_add(1, std::memory_order_release);
  while (!wanderer->go_on.exchange(false, std::memory_order_acquire)) usleep(50);
  wanderer->turn.fetch_add(1, std::memory_order_release);
}

thread_local Wanderer* wandering;
thread_local bool has_halted;  // in the present place

[[gnu::noinline]] void HaltInRecursion(int depth) {
  if (depth == 0) return Halt(wandering);
  HaltInRecursion(depth - 1);
  __asm__ volatile("");
}
[[gnu::noinline]] void HaltWithAlloca(size_t size) {
  auto* const memory = static_cast<volatile char*>(__builtin_alloca(size));
  memory[0] = 1;
  alignas(64) volatile char wide[64] = {};
  HaltInRecursion(2);
  memory[size - 1] = wide[5];
}
int HaltInComparison(const void*, const void*, void*) {
  if (!has_halted) HaltWithAlloca(100);
  has_halted = true;
  return 0;
}
void HaltOnce() { HaltInRecursion(1); }
void HaltInHandler(int) { HaltWithAlloca(3000); }

void VisitPlace(unsigned place) {
  int values[] = {3, 1, 2};
  pthread_once_t once = PTHREAD_ONCE_INIT;
  has_halted = false;
  switch (place % 5) {
    case 0:
      return HaltInRecursion(static_cast<int>(place % 30));
    case 1:
      return HaltWithAlloca(place * 16 + 1);
    case 2:
      qsort_r(values, 3, sizeof(int), HaltInComparison, nullptr);
      return;
    case 3:
      pthread_once(&once, HaltOnce);
      return;
    default:
      raise(SIGUSR2);
  }
}

constexpr int kPlaces = 100;

void Wander(Wanderer* wanderer) {
  wandering = wanderer;
  wanderer->options = OwnStack();
  for (unsigned place = 0; place < kPlaces; ++place) VisitPlace(place);
}

bool IsChain(const Frames& frames, const Wanderer& wanderer) {
  // Both begin in Halt, at different instructions. The oldest frame is in no chain of libgcc's.
  if (frames.count > wanderer.chain_size + 1 || frames.count < wanderer.chain_size) return false;
  for (size_t i = 1; i < wanderer.chain_size; ++i) {
    if (frames.frames[i].pc.value != reinterpret_cast<uintptr_t>(wanderer.chain[i])) return false;
  }
  return true;
}

TEST(StackWalkerTest, AMillionWalksOfBlockedThreads) {
  constexpr int kThreads = 4;
  constexpr int kWalks = 2500;
  signal(SIGUSR2, HaltInHandler);
  Wanderer wanderers[kThreads];
  std::vector<std::thread> threads;
  for (Wanderer& wanderer : wanderers) {
    threads.emplace_back([&wanderer] { RunOnFencedStack([&wanderer] { Wander(&wanderer); }); });
  }
  size_t walks = 0, wrong = 0;
  for (int place = 0; place < kPlaces; ++place) {
    for (Wanderer& wanderer : wanderers) {
      while (wanderer.turn.load(std::memory_order_acquire) % 2 == 0) usleep(10);
      for (int i = 0; i < kWalks; ++i, ++walks) {
        Frames frames;
        const WalkResult result = WalkStack(wanderer.anchor, wanderer.options, Collect, &frames);
        if (result.end != WalkEnd::kComplete || !IsChain(frames, wanderer)) ++wrong;
      }
      const unsigned turn = wanderer.turn.load(std::memory_order_relaxed);
      wanderer.go_on.store(true, std::memory_order_release);
      while (wanderer.turn.load(std::memory_order_acquire) == turn) usleep(10);
    }
  }
  for (std::thread& thread : threads) thread.join();
  signal(SIGUSR2, SIG_DFL);
  EXPECT_EQ(walks, 1'000'000u);
  EXPECT_EQ(wrong, 0u);
}

// --- memory that cannot be trusted ---

// A stack of random words between two pages that may not be touched.
class FencedStack {
 public:
  static constexpr size_t kWords = 512;

  FencedStack() {
    memory_ = static_cast<uint8_t*>(
        mmap(nullptr, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(memory_ + 4096, 4096, PROT_READ | PROT_WRITE);
  }
  ~FencedStack() { munmap(memory_, 3 * 4096); }
  FencedStack(const FencedStack&) = delete;
  FencedStack& operator=(const FencedStack&) = delete;

  uintptr_t* words() { return reinterpret_cast<uintptr_t*>(memory_ + 4096); }
  StackBounds bounds() {
    const auto low = reinterpret_cast<uintptr_t>(words());
    return {low, low + 4096};
  }

 private:
  uint8_t* memory_;
};

TEST(StackWalkerTest, T7_RandomStacksAndRegistersNeverFault) {
  const std::vector<FdeEntry> entries[] = {
      EntriesOfObjectWith(reinterpret_cast<void*>(&WalkInCallback))};
  std::vector<uintptr_t> code;
  for (const FdeEntry& entry : entries[0]) {
    for (uintptr_t at = entry.function.begin.value; at < entry.function.end.value; at += 13) {
      code.push_back(at);
    }
  }
  // Some of libc: signal frames, PLT, hand-written assembler.
  for (const auto function :
       {reinterpret_cast<uintptr_t>(&qsort), reinterpret_cast<uintptr_t>(&memcpy),
        reinterpret_cast<uintptr_t>(&pthread_once)}) {
    for (uintptr_t at = function - 4000; at < function + 4000; at += 7) code.push_back(at);
  }
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  FencedStack stack;
  const StackBounds bounds = stack.bounds();
  const auto word = [&]() -> uintptr_t {
    switch (random() % 4) {
      case 0:
        return random();
      case 1:
        return bounds.low - 64 + random() % (4096 + 128);
      default:
        return code[random() % code.size()];
    }
  };
  size_t ends[8] = {};
  for (int round = 0; round < 300000; ++round) {
    if (round % 64 == 0) {
      for (size_t i = 0; i < FencedStack::kWords; ++i) stack.words()[i] = word();
    }
    RegisterContext from{.rip = code[random() % code.size()],
                         .rsp = bounds.low + random() % 4097,
                         .rbp = word(),
                         .rbx = word(),
                         .r12 = word(),
                         .r13 = word(),
                         .r14 = word(),
                         .r15 = word()};
    WalkOptions options;
    options.stack = bounds;
    options.base_cfa = bounds.high;
    Frames frames;
    const WalkResult result = WalkStack(from, options, Collect, &frames);
    ++ends[static_cast<size_t>(result.end)];
  }
  EXPECT_GT(ends[static_cast<size_t>(WalkEnd::kOutOfBounds)], 1000u);
  EXPECT_GT(ends[static_cast<size_t>(WalkEnd::kUnknownCode)], 1000u);
}

TEST(StackWalkerTest, EveryEndHasAName) {
  for (int end = 0; end <= static_cast<int>(WalkEnd::kTooDeep); ++end) {
    EXPECT_STRNE(WalkEndName(static_cast<WalkEnd>(end)), "unknown");
  }
}

}  // namespace
}  // namespace mend
