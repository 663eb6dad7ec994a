#include "runtime/safepoint/unwind_table.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace mend {
namespace {

using Lookup = UnwindTable::Lookup;

CodeRange Range(uintptr_t begin, uintptr_t end) { return {{begin}, {end}}; }

const uint8_t fde_bytes[4] = {};

std::vector<FdeEntry> Entries(std::initializer_list<CodeRange> functions) {
  std::vector<FdeEntry> entries;
  for (const CodeRange function : functions) {
    entries.push_back({function, fde_bytes + entries.size() % 4});
  }
  return entries;
}

TEST(UnwindTableTest, EmptyTableKnowsNothing) {
  const UnwindTable table;
  FdeEntry entry;
  EXPECT_EQ(table.Find({0x1000}, &entry), Lookup::kUnknown);
}

TEST(UnwindTableTest, FindsTheEntryThatCoversAnAddress) {
  UnwindTable table;
  // Unsorted, with a gap.
  table.AddRegion(Range(0x1000, 0x2000),
                  Entries({Range(0x1800, 0x1900), Range(0x1000, 0x1010), Range(0x1010, 0x1020)}));
  FdeEntry entry;
  EXPECT_EQ(table.Find({0xfff}, &entry), Lookup::kUnknown);
  ASSERT_EQ(table.Find({0x1000}, &entry), Lookup::kFde);
  EXPECT_EQ(entry.function, Range(0x1000, 0x1010));
  EXPECT_EQ(entry.fde, fde_bytes + 1);
  ASSERT_EQ(table.Find({0x100f}, &entry), Lookup::kFde);
  EXPECT_EQ(entry.function, Range(0x1000, 0x1010));
  ASSERT_EQ(table.Find({0x1010}, &entry), Lookup::kFde);
  EXPECT_EQ(entry.function, Range(0x1010, 0x1020));
  EXPECT_EQ(table.Find({0x1020}, &entry), Lookup::kNoFde);
  ASSERT_EQ(table.Find({0x18ff}, &entry), Lookup::kFde);
  EXPECT_EQ(entry.function, Range(0x1800, 0x1900));
  EXPECT_EQ(table.Find({0x1fff}, &entry), Lookup::kNoFde);
  EXPECT_EQ(table.Find({0x2000}, &entry), Lookup::kUnknown);
}

TEST(UnwindTableTest, StubsHaveNoEntries) {
  UnwindTable table;
  table.AddStubRegion(Range(0x3000, 0x3100));
  FdeEntry entry;
  EXPECT_EQ(table.Find({0x3000}, &entry), Lookup::kStub);
  EXPECT_EQ(table.Find({0x30ff}, &entry), Lookup::kStub);
  EXPECT_EQ(table.Find({0x3100}, &entry), Lookup::kUnknown);
}

TEST(UnwindTableTest, RemovedRegionIsForgotten) {
  UnwindTable table;
  table.AddRegion(Range(0x1000, 0x2000), Entries({Range(0x1000, 0x1100)}));
  table.AddRegion(Range(0x2000, 0x3000), Entries({Range(0x2000, 0x2100)}));
  table.RemoveRegion(Range(0x1000, 0x2000));
  FdeEntry entry;
  EXPECT_EQ(table.Find({0x1000}, &entry), Lookup::kUnknown);
  EXPECT_EQ(table.Find({0x2000}, &entry), Lookup::kFde);
  // The place is free again.
  table.AddStubRegion(Range(0x1000, 0x2000));
  EXPECT_EQ(table.Find({0x1000}, &entry), Lookup::kStub);
}

TEST(UnwindTableTest, EmptyRegionIsNothing) {
  UnwindTable table;
  table.AddRegion(Range(0x1000, 0x1000), {});
  table.RemoveRegion(Range(0x1000, 0x1000));
  FdeEntry entry;
  EXPECT_EQ(table.Find({0x1000}, &entry), Lookup::kUnknown);
}

TEST(UnwindTableDeathTest, OverlapIsABrokenInvariant) {
  UnwindTable table;
  table.AddStubRegion(Range(0x1000, 0x2000));
  EXPECT_DEATH(table.AddStubRegion(Range(0x1fff, 0x3000)), "overlap");
  EXPECT_DEATH(table.AddStubRegion(Range(0x800, 0x1001)), "overlap");
  EXPECT_DEATH(table.RemoveRegion(Range(0x800, 0x1001)), "never added");
}

TEST(UnwindTableTest, ManyRegionsAgreeWithALinearModel) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  UnwindTable table;
  bool present[64] = {};
  const auto region = [](size_t i) {
    const uintptr_t begin = 0x10000 + i * 0x100;
    return Range(begin, begin + 0x80);
  };
  for (int step = 0; step < 2000; ++step) {
    const size_t i = random() % 64;
    if (present[i]) {
      table.RemoveRegion(region(i));
    } else {
      table.AddRegion(region(i), Entries({region(i)}));
    }
    present[i] = !present[i];
    const size_t probe = random() % 64;
    FdeEntry entry;
    const uintptr_t pc = region(probe).begin.value + random() % 0x100;
    const bool covered = present[probe] && region(probe).Contains({pc});
    ASSERT_EQ(table.Find({pc}, &entry), covered ? Lookup::kFde : Lookup::kUnknown);
  }
}

TEST(UnwindTableTest, RemovalWaitsForAReader) {
  UnwindTable table;
  table.AddStubRegion(Range(0x1000, 0x2000));
  std::atomic<bool> removed{false};
  std::thread remover;
  {
    const UnwindTable::ReadScope scope(table);
    remover = std::thread([&] {
      table.RemoveRegion(Range(0x1000, 0x2000));
      removed.store(true);
    });
    FdeEntry entry;
    while (table.Find({0x1000}, &entry) == Lookup::kStub) std::this_thread::yield();
    // Unpublished by now; the remover must be waiting for this scope. A wrong implementation has
    // 30 ms to get past it.
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    EXPECT_FALSE(removed.load());
  }
  remover.join();
  EXPECT_TRUE(removed.load());
}

// The program's handler may leave a reader by longjmp: then a removal is late, once, and no more.
TEST(UnwindTableTest, ReaderThatNeverLeavesDelaysRemovalOnce) {
  UnwindTable table;
  alignas(UnwindTable::ReadScope) static char storage[sizeof(UnwindTable::ReadScope)];
  for (uintptr_t i = 1; i <= 20; ++i) table.AddStubRegion(Range(i << 12, (i << 12) + 16));
  auto* const stuck = new (storage) UnwindTable::ReadScope(table);
  const auto start = std::chrono::steady_clock::now();
  for (uintptr_t i = 1; i <= 10; ++i) table.RemoveRegion(Range(i << 12, (i << 12) + 16));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  FdeEntry entry;
  EXPECT_EQ(table.Find({1 << 12}, &entry), Lookup::kUnknown);
  EXPECT_EQ(table.Find({11 << 12}, &entry), Lookup::kStub);
  stuck->~ReadScope();
  // It left after all: everything is reclaimed (the leak checker of the sanitizer build looks).
  for (uintptr_t i = 11; i <= 20; ++i) table.RemoveRegion(Range(i << 12, (i << 12) + 16));
}

TEST(UnwindTableTest, ReadersAgainstAWriter) {
  UnwindTable table;
  table.AddRegion(Range(0x100000, 0x200000), Entries({Range(0x100000, 0x200000)}));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        FdeEntry entry;
        // Always there.
        if (table.Find({0x180000}, &entry) != Lookup::kFde) ++wrong;
        // Comes and goes; must be itself when it is there.
        const Lookup lookup = table.Find({0x1040}, &entry);
        if (lookup == Lookup::kFde && entry.function != Range(0x1000, 0x1080)) ++wrong;
        if (lookup == Lookup::kStub || lookup == Lookup::kNoFde) ++wrong;
      }
    });
  }
  for (int i = 0; i < 2000; ++i) {
    table.AddRegion(Range(0x1000, 0x2000), Entries({Range(0x1000, 0x1080)}));
    table.RemoveRegion(Range(0x1000, 0x2000));
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0u);
}

UnwindTable* signal_table;
std::atomic<uint64_t> signal_finds{0};
std::atomic<uint64_t> signal_wrong{0};

void FindInHandler(int) {
  FdeEntry entry;
  if (signal_table->Find({0x180000}, &entry) != Lookup::kStub) ++signal_wrong;
  ++signal_finds;
}

// The handler interrupts the writer itself, at any place: it must neither wait nor see half a
// table.
TEST(UnwindTableTest, SignalHandlerReadsWhileItsOwnThreadWrites) {
  UnwindTable table;
  table.AddStubRegion(Range(0x100000, 0x200000));
  signal_table = &table;
  struct sigaction action = {};
  action.sa_handler = FindInHandler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval often = {.it_interval = {.tv_sec = 0, .tv_usec = 100},
                           .it_value = {.tv_sec = 0, .tv_usec = 100}};
  setitimer(ITIMER_REAL, &often, nullptr);
  while (signal_finds.load() < 300) {
    table.AddRegion(Range(0x1000, 0x2000), Entries({Range(0x1000, 0x1080)}));
    table.RemoveRegion(Range(0x1000, 0x2000));
  }
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  signal(SIGALRM, SIG_DFL);
  EXPECT_EQ(signal_wrong.load(), 0u);
}

TEST(UnwindTableTest, ForkedChildDoesNotWaitForThreadsOfItsParent) {
  UnwindTable table;
  table.AddStubRegion(Range(0x1000, 0x2000));
  std::atomic<bool> reading{false};
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    const UnwindTable::ReadScope scope(table);
    reading.store(true);
    while (!stop.load()) std::this_thread::yield();
  });
  while (!reading.load()) std::this_thread::yield();
  // A writer that waits for the reader, and holds the table's lock meanwhile.
  table.AddStubRegion(Range(0x3000, 0x4000));
  std::thread writer([&] { table.RemoveRegion(Range(0x3000, 0x4000)); });
  FdeEntry entry;
  while (table.Find({0x3000}, &entry) != Lookup::kUnknown) std::this_thread::yield();
  const pid_t child = fork();
  if (child == 0) {
    table.ChildAfterFork();
    const auto start = std::chrono::steady_clock::now();
    table.RemoveRegion(Range(0x1000, 0x2000));
    const bool quick = std::chrono::steady_clock::now() - start < std::chrono::milliseconds(500);
    _exit(quick ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  stop.store(true);
  reader.join();
  writer.join();
  table.RemoveRegion(Range(0x1000, 0x2000));
}

}  // namespace
}  // namespace mend
