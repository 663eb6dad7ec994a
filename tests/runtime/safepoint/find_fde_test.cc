// jit/find_fde.cc: exceptions through hosted text and through host code, with one lookup for both.
#include <sys/mman.h>
#include <unwind.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
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
  const HostedForTest hosted(reinterpret_cast<void*>(&scenarios::Exceptions));
  Bases bases = {};
  const void* const fde = _Unwind_Find_FDE(reinterpret_cast<void*>(&scenarios::Exceptions), &bases);
  FdeEntry entry;
  const CodeAddress pc{reinterpret_cast<uintptr_t>(&scenarios::Exceptions)};
  ASSERT_EQ(UnwindTable::Get().Find(pc, &entry), UnwindTable::Lookup::kFde);
  EXPECT_EQ(fde, entry.fde);
  EXPECT_EQ(bases.func, reinterpret_cast<void*>(&scenarios::Exceptions));
  EXPECT_EQ(scenarios::Exceptions(), throws_before);
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
