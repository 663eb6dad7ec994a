#include "runtime/safepoint/unwind_table.h"

#include <time.h>

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/base/check.h"
#include "runtime/base/clock.h"

namespace mend {
namespace {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kReaderWait = 1000 * kMillisecond;
constexpr int64_t kReaderWaitOnceStuck = 10 * kMillisecond;
// Adding does not wait for readers each time: it lets this many old snapshots gather first.
constexpr size_t kRetiredSnapshotsMax = 16;

// How often this thread is counted in each counter: what is left of the counters after a fork.
// Initial-exec, like all TLS that a signal handler touches.
thread_local constinit int tls_read_depth[2] __attribute__((tls_model("initial-exec"))) = {};

[[clang::no_destroy]] constinit UnwindTable process_table;

}  // namespace

struct UnwindTable::Region {
  CodeRange text;
  bool stubs = false;
  std::vector<FdeEntry> entries;  // sorted by address
};

struct UnwindTable::Snapshot {
  struct Row {
    CodeRange text;
    const Region* region;
  };
  std::vector<Row> rows;  // sorted by address

  // The row that a region beginning at `begin` has or would go before.
  std::vector<Row>::const_iterator LowerBound(CodeAddress begin) const {
    return std::lower_bound(rows.begin(), rows.end(), begin,
                            [](const Row& row, CodeAddress key) { return row.text.begin < key; });
  }
};

UnwindTable& UnwindTable::Get() noexcept [[clang::nonblocking]] { return process_table; }

UnwindTable::~UnwindTable() {
  MutexLock lock(&mu_);
  const Snapshot* const current = snapshot_.load(std::memory_order_relaxed);
  if (current != nullptr) {
    for (const Snapshot::Row& row : current->rows) delete row.region;
  }
  delete current;
  ReclaimRetired();
}

void UnwindTable::AddRegion(CodeRange text, std::vector<FdeEntry> entries) {
  std::sort(entries.begin(), entries.end(), [](const FdeEntry& left, const FdeEntry& right) {
    return left.function.begin < right.function.begin;
  });
  Insert(std::make_unique<Region>(Region{text, false, std::move(entries)}));
}

void UnwindTable::AddStubRegion(CodeRange text) {
  Insert(std::make_unique<Region>(Region{text, true, {}}));
}

void UnwindTable::Insert(std::unique_ptr<Region> region) {
  const CodeRange text = region->text;
  if (text.empty()) return;
  MutexLock lock(&mu_);
  // ORDER: written under mu_ only, which is held.
  const Snapshot* const current = snapshot_.load(std::memory_order_relaxed);
  auto next = std::make_unique<Snapshot>();
  if (current != nullptr) next->rows.reserve(current->rows.size() + 1);
  if (current != nullptr) next->rows = current->rows;
  const auto place = next->LowerBound(text.begin);
  MEND_CHECK(place == next->rows.end() || text.end <= place->text.begin,
             "regions of hosted text overlap");
  MEND_CHECK(place == next->rows.begin() || std::prev(place)->text.end <= text.begin,
             "regions of hosted text overlap");
  next->rows.insert(place, Snapshot::Row{text, region.release()});
  Publish(next.release());
  if (retired_snapshots_.size() >= kRetiredSnapshotsMax) ReclaimRetired();
}

void UnwindTable::RemoveRegion(CodeRange text) {
  if (text.empty()) return;
  MutexLock lock(&mu_);
  const Snapshot* const current = snapshot_.load(std::memory_order_relaxed);
  MEND_CHECK(current != nullptr, "a region of hosted text is removed that was never added");
  const auto place = current->LowerBound(text.begin);
  MEND_CHECK(place != current->rows.end() && place->text.begin == text.begin,
             "a region of hosted text is removed that was never added");
  retired_regions_.push_back(place->region);
  auto next = std::make_unique<Snapshot>(*current);
  next->rows.erase(next->rows.begin() + (place - current->rows.begin()));
  Publish(next.release());
  ReclaimRetired();
}

void UnwindTable::Publish(const Snapshot* next) {
  // ORDER[T21]: snapshot_ before the reads of readers_ in WaitForPhase; pairs with
  // UnwindTable::ReadScope::ReadScope (counts itself, then loads snapshot_). Sequentially
  // consistent: a reader whom the writer does not see counted sees the new snapshot.
  const Snapshot* const old = snapshot_.exchange(next, std::memory_order_seq_cst);
  if (old != nullptr) retired_snapshots_.push_back(old);
}

void UnwindTable::ReclaimRetired() {
  reader_stuck_ = !WaitForReaders();
  if (reader_stuck_) return;
  for (const Snapshot* snapshot : retired_snapshots_) delete snapshot;
  for (const Region* region : retired_regions_) delete region;
  retired_snapshots_.clear();
  retired_regions_.clear();
}

bool UnwindTable::WaitForReaders() {
  const int64_t deadline = MonotonicNs() + (reader_stuck_ ? kReaderWaitOnceStuck : kReaderWait);
  // Each counter must be seen at zero once. Readers are sent to the one that is not waited for, so
  // that new ones cannot keep it up.
  for (int round = 0; round < 2; ++round) {
    const unsigned phase = phase_.load(std::memory_order_relaxed);
    phase_.store(phase ^ 1, std::memory_order_relaxed);
    if (!WaitForPhase(phase, deadline)) return false;
  }
  return true;
}

bool UnwindTable::WaitForPhase(unsigned phase, int64_t deadline_ns) {
  // ORDER[T21]: see Publish. The acquire half: the reader's last look at the snapshot happens
  // before it is freed; pairs with UnwindTable::ReadScope::~ReadScope.
  while (readers_[phase].load(std::memory_order_seq_cst) != 0) {
    if (MonotonicNs() > deadline_ns) return false;
    constexpr timespec kPause = {.tv_sec = 0, .tv_nsec = 20'000};
    nanosleep(&kPause, nullptr);
  }
  return true;
}

void UnwindTable::ChildAfterFork() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  // The mutex may be held by a thread that is gone. The lists may be cut off in the middle of a
  // change; the published snapshot never is (invariant 1).
  mu_.ResetAfterFork();
  new (&retired_snapshots_) std::vector<const Snapshot*>;
  new (&retired_regions_) std::vector<const Region*>;
  reader_stuck_ = false;
  for (unsigned phase = 0; phase < 2; ++phase) {
    readers_[phase].store(tls_read_depth[phase], std::memory_order_relaxed);
  }
}

// The effect analysis objects to every thread-local, since some are initialised lazily; this one is
// initial-exec and constant-initialised.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wfunction-effects"

UnwindTable::ReadScope::ReadScope(const UnwindTable& table) noexcept [[clang::nonblocking]]
    : table_(table),
      phase_(table.phase_.load(std::memory_order_relaxed)) {
  ++tls_read_depth[phase_];
  // ORDER[T21]: readers_ before snapshot_ (in Find); pairs with UnwindTable::Publish.
  table_.readers_[phase_].fetch_add(1, std::memory_order_seq_cst);
}

UnwindTable::ReadScope::~ReadScope() [[clang::nonblocking]] {
  // ORDER[T21]: all use of the snapshot before the counter; pairs with UnwindTable::WaitForPhase.
  table_.readers_[phase_].fetch_sub(1, std::memory_order_release);
  --tls_read_depth[phase_];
}

#pragma clang diagnostic pop

UnwindTable::Lookup UnwindTable::ReadScope::Find(CodeAddress pc, FdeEntry* entry) const noexcept {
  // ORDER[T21]: see the constructor; also acquires the snapshot's contents.
  const Snapshot* const snapshot = table_.snapshot_.load(std::memory_order_seq_cst);
  if (snapshot == nullptr) return Lookup::kUnknown;
  const auto next = std::upper_bound(
      snapshot->rows.begin(), snapshot->rows.end(), pc,
      [](CodeAddress key, const Snapshot::Row& row) { return key < row.text.begin; });
  if (next == snapshot->rows.begin() || !std::prev(next)->text.Contains(pc)) {
    return Lookup::kUnknown;
  }
  const Region& region = *std::prev(next)->region;
  if (region.stubs) return Lookup::kStub;
  const auto after = std::upper_bound(
      region.entries.begin(), region.entries.end(), pc,
      [](CodeAddress key, const FdeEntry& candidate) { return key < candidate.function.begin; });
  if (after == region.entries.begin() || !std::prev(after)->function.Contains(pc)) {
    return Lookup::kNoFde;
  }
  *entry = *std::prev(after);
  return Lookup::kFde;
}

UnwindTable::Lookup UnwindTable::Find(CodeAddress pc, FdeEntry* entry) const noexcept {
  const ReadScope scope(*this);
  return scope.Find(pc, entry);
}

}  // namespace mend
