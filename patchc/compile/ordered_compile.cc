#include "patchc/compile/ordered_compile.h"

#include <llvm/Support/Threading.h>
#include <llvm/Support/thread.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace mend::patchc {
namespace {

// What Clang is used to from a process' first thread: it recurses deeply.
constexpr unsigned kStackBytes = 8u << 20;
// A large C++ unit at -O2 with -g.
constexpr size_t kUnitMemoryKb = size_t{700} * 1024;

absl::Status CompileOneByOne(const CompileOrder& order, const Compiler& compiler) {
  for (size_t i = 0; i < order.count; ++i) {
    absl::StatusOr<CompileRequest> request = order.prepare(i);
    if (!request.ok()) return request.status();
    CompileResult result = compiler(*request);
    const absl::StatusOr<AfterUnit> after = order.take(i, *std::move(request), std::move(result));
    if (!after.ok()) return after.status();
    if (*after == AfterUnit::kStop) break;
  }
  return absl::OkStatus();
}

// Each unit in a thread of its own, `jobs` of them at a time.
class SideBySide {
 public:
  SideBySide(const CompileOrder& order, size_t jobs, const Compiler& compiler)
      : order_(order), jobs_(jobs), compiler_(compiler), units_(order.count) {}
  SideBySide(const SideBySide&) = delete;
  SideBySide& operator=(const SideBySide&) = delete;
  // Blocks until those that run have been compiled: nothing can stop Clang.
  ~SideBySide() {
    for (Unit& unit : units_) {
      if (unit.thread.joinable()) unit.thread.join();
    }
  }

  absl::Status Run() {
    for (size_t i = 0; i < order_.count; ++i) {
      Unit& unit = units_[i];
      while (!IsDone(i)) StartAndWait(i);
      if (!unit.request.ok()) return unit.request.status();
      unit.thread.join();
      const absl::StatusOr<AfterUnit> after =
          order_.take(i, *std::move(unit.request), std::move(unit.result));
      if (!after.ok()) return after.status();
      if (*after == AfterUnit::kStop) break;
    }
    return absl::OkStatus();
  }

 private:
  struct Unit {
    // The thread's while it runs.
    absl::StatusOr<CompileRequest> request = CompileRequest();
    CompileResult result;
    llvm::thread thread;
    bool is_done = false;  // guarded by mu_
  };

  bool IsDone(size_t unit) {
    const absl::MutexLock lock(&mu_);
    return units_[unit].is_done;
  }

  bool CanStart() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return started_ < order_.count && running_ < jobs_;
  }

  // Starts what may run, then waits until `unit` is done or another one may be started.
  void StartAndWait(size_t unit) {
    while (true) {
      {
        const absl::MutexLock lock(&mu_);
        if (!CanStart()) break;
        ++running_;
      }
      Start(started_++);
    }
    const auto has_news = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return units_[unit].is_done || CanStart();
    };
    const absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&has_news));
  }

  void Start(size_t index) {
    Unit& unit = units_[index];
    unit.request = order_.prepare(index);
    if (!unit.request.ok()) return SetDone(unit);
    unit.thread = llvm::thread(std::optional<unsigned>(kStackBytes), [this, &unit] {
      unit.result = compiler_(*unit.request);
      SetDone(unit);
    });
  }

  void SetDone(Unit& unit) {
    const absl::MutexLock lock(&mu_);
    unit.is_done = true;
    --running_;
  }

  const CompileOrder& order_;
  const size_t jobs_;
  const Compiler& compiler_;
  size_t started_ = 0;  // the calling thread's

  absl::Mutex mu_;
  std::vector<Unit> units_;
  size_t running_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace

absl::Status CompileInOrder(const CompileOrder& order, size_t jobs, const Compiler& compiler) {
  if (jobs == 1 || order.count <= 1) return CompileOneByOne(order, compiler);
  return SideBySide(order, jobs, compiler).Run();
}

size_t DefaultCompileJobs() {
  const size_t processors = llvm::hardware_concurrency().compute_thread_count();
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    size_t available_kb = 0;
    if (word != "MemAvailable:" || !(file >> available_kb)) continue;
    return std::clamp<size_t>(available_kb / kUnitMemoryKb, 1, std::max<size_t>(processors, 1));
  }
  return std::max<size_t>(processors, 1);
}

}  // namespace mend::patchc
