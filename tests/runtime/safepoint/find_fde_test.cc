// jit/unwind/find_fde.cc: exceptions through hosted text and through host code, with one lookup for
// both.
#include <sys/mman.h>
#include <unwind.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "jit/unwind/fde_cache.h"
#include "runtime/safepoint/unwind_table.h"
#include "tests/runtime/safepoint/own_unwind_data.h"
#include "tests/runtime/safepoint/walk_scenarios.h"

namespace mend {
namespace {

// What libgcc calls; its definition in this program comes before libgcc_s's.
struct Bases {
  void* tbase;
  void* dbase;
  void* func;
};
extern "C" const void* _Unwind_Find_FDE(void* pc, Bases* bases);

TEST(FindFdeTest, HostCodeIsFoundThroughTheNextDefinition) {
  Bases bases = {};
  EXPECT_NE(_Unwind_Find_FDE(reinterpret_cast<void*>(&scenarios::Exceptions), &bases), nullptr);
  EXPECT_EQ(bases.func, reinterpret_cast<void*>(&scenarios::Exceptions));
  EXPECT_GT(scenarios::Exceptions(), 0);
}

TEST(FindFdeTest, HostedTextIsFoundInTheTable) {
  int throws_before = scenarios::Exceptions();
  Bases bases = {};
  // Known as not hosted before it is.
  ASSERT_NE(_Unwind_Find_FDE(reinterpret_cast<void*>(&scenarios::Exceptions), &bases), nullptr);
  const HostedForTest hosted(reinterpret_cast<void*>(&scenarios::Exceptions));
  jit::ProcessFdeCache().Forget();
  const void* const fde = _Unwind_Find_FDE(reinterpret_cast<void*>(&scenarios::Exceptions), &bases);
  FdeEntry entry;
  const CodeAddress pc{reinterpret_cast<uintptr_t>(&scenarios::Exceptions)};
  ASSERT_EQ(UnwindTable::Get().Find(pc, &entry), UnwindTable::Lookup::kFde);
  EXPECT_EQ(fde, entry.fde);
  EXPECT_EQ(bases.func, reinterpret_cast<void*>(&scenarios::Exceptions));
  EXPECT_EQ(scenarios::Exceptions(), throws_before);
}

TEST(FindFdeTest, AnAnswerCountsUntilTheTableChanges) {
  jit::FdeCache cache;
  jit::FdeCache::Answer answer;
  int fde = 0;
  int function = 0;
  EXPECT_FALSE(cache.Find(0x1234, &answer));
  cache.Put(cache.epoch(), 0x1234, {&fde, &function});
  ASSERT_TRUE(cache.Find(0x1234, &answer));
  EXPECT_EQ(answer.fde, &fde);
  EXPECT_EQ(answer.function, &function);
  EXPECT_FALSE(cache.Find(0x1235, &answer));
  const uint64_t before = cache.epoch();
  cache.Forget();
  EXPECT_FALSE(cache.Find(0x1234, &answer));
  // An answer that was looked up before the change and comes after it.
  cache.Put(before, 0x1234, {&fde, &function});
  EXPECT_FALSE(cache.Find(0x1234, &answer));
}

// Every answer is made of its address; a mixture of two would not fit.
TEST(FindFdeTest, NoReaderSeesHalfAnAnswer) {
  jit::FdeCache cache;
  constexpr uintptr_t kAddresses[] = {0x7, 0x10107, 0x20207};  // of one row
  const auto answer_for = [](uintptr_t pc, uint64_t salt) {
    return jit::FdeCache::Answer{reinterpret_cast<void*>(pc + salt),
                                 reinterpret_cast<void*>(pc + salt + 1)};
  };
  std::atomic<bool> stop{false};
  std::atomic<long> wrong{0};
  std::atomic<long> found{0};
  std::vector<std::thread> threads;
  for (int writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&] {
      for (uint64_t i = 0; !stop; ++i) {
        const uintptr_t pc = kAddresses[i % 3];
        cache.Put(cache.epoch(), pc, answer_for(pc, i << 20));
      }
    });
  }
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      for (uint64_t i = 0; !stop; ++i) {
        const uintptr_t pc = kAddresses[i % 3];
        jit::FdeCache::Answer answer;
        if (!cache.Find(pc, &answer)) continue;
        const auto fde = reinterpret_cast<uintptr_t>(answer.fde);
        if (reinterpret_cast<uintptr_t>(answer.function) != fde + 1) ++wrong;
        if (fde % (1 << 20) != pc) ++wrong;
        ++found;
      }
    });
  }
  while (found < 20000000) std::this_thread::yield();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

[[gnu::noinline]] void Throw() { throw std::runtime_error("through hosted code"); }

void CallThrough(const uint8_t* code) {
  reinterpret_cast<void (*)(void (*)())>(reinterpret_cast<uintptr_t>(code))(Throw);
}

// `push %rbx; call *%rdi; pop %rbx; ret` with unwind data that only the table knows.
TEST(FindFdeTest, ExceptionCrossesTextThatOnlyTheTableKnows) {
  auto* const memory = static_cast<uint8_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const uint8_t code[] = {0x53, 0xff, 0xd7, 0x5b, 0xc3};
  const uint8_t cie[] = {0x14, 0,    0,  0, 0,    0,    0, 0, 1,         'z', 'R', 0,
                         1,    0x78, 16, 1, 0x00, 0x0c, 7, 8, 0x80 | 16, 1,   0,   0};
  const uint8_t fde[] = {0x24, 0,    0, 0, 28, 0, 0, 0, 0, 0, 0,    0,    0,  0,    0,
                         0,    5,    0, 0, 0,  0, 0, 0, 0, 0, 0x41, 0x0e, 16, 0x83, 2,
                         0x43, 0x0e, 8, 0, 0,  0, 0, 0, 0, 0, 0,    0,    0,  0};
  memcpy(memory, code, sizeof(code));
  memcpy(memory + 512, cie, sizeof(cie));
  memcpy(memory + 512 + sizeof(cie), fde, sizeof(fde));
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  memcpy(memory + 512 + sizeof(cie) + 8, &begin, sizeof(begin));
  const CodeRange text = {{begin}, {begin + 64}};
  UnwindTable::Get().AddRegion(text, {{{{begin}, {begin + 5}}, memory + 512 + sizeof(cie)}});

  std::atomic<int> caught{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 1000; ++round) {
        try {
          CallThrough(memory);
        } catch (const std::runtime_error&) {
          ++caught;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(caught.load(), 4000);
  UnwindTable::Get().RemoveRegion(text);
  jit::ProcessFdeCache().Forget();

  // Without the table's entry nobody knows the frame: the exception cannot pass.
  EXPECT_DEATH(
      {
        try {
          CallThrough(memory);
        } catch (const std::runtime_error&) {
        }
      },
      "");
  munmap(memory, 4096);
}

}  // namespace
}  // namespace mend
