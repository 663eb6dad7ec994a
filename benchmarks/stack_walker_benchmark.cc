// Walking a stack: ours beside libgcc's _Unwind_Backtrace, on the same frames. "Frames" reports how
// many a walk saw, "per_frame" the time for each.
#include <dlfcn.h>
#include <pthread.h>
#include <unwind.h>

#include <cstdint>

#include "benchmark/benchmark.h"
#include "runtime/safepoint/stack_walker.h"
#include "runtime/safepoint/unwind_table.h"
#include "tests/runtime/safepoint/own_unwind_data.h"

namespace mend {
namespace {

using Walk = size_t (*)();

StackBounds own_stack;

[[gnu::noinline]] StackBounds FindOwnStack() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t size = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  return {reinterpret_cast<uintptr_t>(low), reinterpret_cast<uintptr_t>(low) + size};
}

bool Accept(const WalkFrame& frame, void* argument) noexcept [[clang::nonblocking]] {
  *static_cast<uintptr_t*>(argument) ^= frame.pc.value;
  return true;
}

[[gnu::noinline]] size_t WalkOurs() {
  RegisterContext context;
  __asm__ volatile(
      "leaq 0(%%rip), %%rax\n\tmovq %%rax, 0(%0)\n\tmovq %%rsp, 8(%0)\n\tmovq %%rbp, 16(%0)\n\t"
      "movq %%rbx, 24(%0)\n\tmovq %%r12, 32(%0)\n\tmovq %%r13, 40(%0)\n\tmovq %%r14, 48(%0)\n\t"
      "movq %%r15, 56(%0)\n\t" ::"r"(&context)
      : "rax", "memory");
  WalkOptions options;
  options.stack = own_stack;
  uintptr_t sum = 0;
  const WalkResult result = WalkStack(context, options, Accept, &sum);
  benchmark::DoNotOptimize(sum);
  return result.end == WalkEnd::kComplete ? result.frames : 0;
}

_Unwind_Reason_Code AcceptLibgcc(struct _Unwind_Context* context, void* argument) {
  *static_cast<size_t*>(argument) += 1;
  benchmark::DoNotOptimize(_Unwind_GetIP(context));
  return _URC_NO_REASON;
}

[[gnu::noinline]] size_t WalkLibgcc() {
  size_t frames = 0;
  _Unwind_Backtrace(AcceptLibgcc, &frames);
  return frames;
}

[[gnu::noinline]] size_t Recurse(int depth, Walk walk) {
  if (depth == 0) return walk();
  const size_t frames = Recurse(depth - 1, walk);
  __asm__ volatile("");  // not a tail call
  return frames;
}

struct QsortState {
  Walk walk;
  size_t frames;
};

int CompareAndWalk(const void*, const void*, void* argument) {
  auto* state = static_cast<QsortState*>(argument);
  state->frames = state->walk();
  return 0;
}

size_t WalkUnderQsort(Walk walk) {
  int values[] = {2, 1};
  QsortState state = {walk, 0};
  qsort_r(values, 2, sizeof(int), CompareAndWalk, &state);
  return state.frames;
}

void Report(benchmark::State& state, size_t frames) {
  if (frames == 0) state.SkipWithError("the walk was not complete");
  state.counters["frames"] = static_cast<double>(frames);
  state.counters["per_frame"] =
      benchmark::Counter(static_cast<double>(frames) * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_RecursionOurs(benchmark::State& state) {
  size_t frames = 0;
  for (auto _ : state) frames = Recurse(static_cast<int>(state.range(0)), WalkOurs);
  Report(state, frames);
}
BENCHMARK(BM_RecursionOurs)->Arg(10)->Arg(120);

// The same frames as hosted text: found through the UnwindTable.
void BM_RecursionOursHosted(benchmark::State& state) {
  const HostedForTest hosted(reinterpret_cast<void*>(&Recurse));
  size_t frames = 0;
  for (auto _ : state) frames = Recurse(static_cast<int>(state.range(0)), WalkOurs);
  Report(state, frames);
}
BENCHMARK(BM_RecursionOursHosted)->Arg(10)->Arg(120);

void BM_RecursionLibgcc(benchmark::State& state) {
  size_t frames = 0;
  for (auto _ : state) frames = Recurse(static_cast<int>(state.range(0)), WalkLibgcc);
  Report(state, frames);
}
BENCHMARK(BM_RecursionLibgcc)->Arg(10)->Arg(120);

void BM_UnderQsortOurs(benchmark::State& state) {
  size_t frames = 0;
  for (auto _ : state) frames = WalkUnderQsort(WalkOurs);
  Report(state, frames);
}
BENCHMARK(BM_UnderQsortOurs);

void BM_UnderQsortLibgcc(benchmark::State& state) {
  size_t frames = 0;
  for (auto _ : state) frames = WalkUnderQsort(WalkLibgcc);
  Report(state, frames);
}
BENCHMARK(BM_UnderQsortLibgcc);

// One lookup: ours in hosted text beside glibc's for a loaded object.
void BM_FindOurs(benchmark::State& state) {
  const HostedForTest hosted(reinterpret_cast<void*>(&Recurse));
  const CodeAddress pc{reinterpret_cast<uintptr_t>(&Recurse)};
  FdeEntry entry;
  for (auto _ : state) benchmark::DoNotOptimize(UnwindTable::Get().Find(pc, &entry));
}
BENCHMARK(BM_FindOurs);

void BM_FindLoadedObject(benchmark::State& state) {
  dl_find_object object;
  for (auto _ : state) {
    benchmark::DoNotOptimize(_dl_find_object(reinterpret_cast<void*>(&Recurse), &object));
  }
}
BENCHMARK(BM_FindLoadedObject);

}  // namespace
}  // namespace mend

int main(int argc, char** argv) {
  mend::own_stack = mend::FindOwnStack();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
