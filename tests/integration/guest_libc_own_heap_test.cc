// mend's own heap, for programs that bring a malloc.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "jit/guest_libc/own_heap.h"
#include "jit/guest_libc/stand_ins.h"

namespace mend::jit {
namespace {

bool IsFilledWith(const void* block, size_t size, unsigned char value) {
  const auto* bytes = static_cast<const unsigned char*>(block);
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != value) return false;
  }
  return true;
}

TEST(OwnHeapTest, BlocksAreAlignedApartAndKnown) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  struct Block {
    void* address;
    size_t size;
    unsigned char value;
  };
  std::vector<Block> blocks;
  for (int i = 0; i < 20000; ++i) {
    if (!blocks.empty() && random() % 2 == 0) {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      const Block& block = blocks.back();
      ASSERT_TRUE(IsFilledWith(block.address, block.size, block.value));
      OwnHeap::Free(block.address);
      blocks.pop_back();
      continue;
    }
    const size_t size = random() % (random() % 64 == 0 ? 1 << 20 : 3000);
    const size_t alignment = size_t{16} << (random() % 4 == 0 ? random() % 9 : 0);
    void* const block = OwnHeap::Allocate(size, alignment);
    ASSERT_NE(block, nullptr);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % alignment, 0U);
    ASSERT_GE(OwnHeap::UsableSize(block), size);
    ASSERT_TRUE(OwnHeap::Owns(block));
    const auto value = static_cast<unsigned char>(random());
    memset(block, value, size);
    blocks.push_back({block, size, value});
  }
  for (const Block& block : blocks) {
    ASSERT_TRUE(IsFilledWith(block.address, block.size, block.value));
    OwnHeap::Free(block.address);
  }
  int local = 0;
  EXPECT_FALSE(OwnHeap::Owns(&local));
  EXPECT_FALSE(OwnHeap::Owns(nullptr));
  EXPECT_FALSE(OwnHeap::Owns(blocks.data()));
}

TEST(OwnHeapTest, WhatIsFreedIsGivenOutAgain) {
  for (const size_t size : {1, 16, 1000, 1024, 1025, 5000, 1 << 20, 100 << 20}) {
    void* const block = OwnHeap::Allocate(size);
    ASSERT_NE(block, nullptr);
    OwnHeap::Free(block);
    EXPECT_EQ(OwnHeap::Allocate(size), block) << size;
    OwnHeap::Free(block);
  }
}

TEST(OwnHeapTest, ThreadsHandBlocksToEachOther) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 50000;
  // Each takes what another has left, checks it and frees it.
  std::atomic<unsigned char*> shelf[16] = {};
  std::atomic<int> faults{0};
  std::vector<std::thread> threads;
  for (int number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] {
      std::mt19937 random(static_cast<unsigned>(number));
      for (int i = 0; i < kRounds; ++i) {
        const size_t size = 1 + random() % 200;
        auto* block = static_cast<unsigned char*>(OwnHeap::Allocate(size));
        memset(block, static_cast<int>(size), size);
        block = shelf[random() % 16].exchange(block);
        if (block == nullptr) continue;
        if (block[0] == 0 || !IsFilledWith(block, block[0], block[0])) ++faults;
        OwnHeap::Free(block);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(faults.load(), 0);
}

bool IsResident(const void* address) {
  const uintptr_t page = reinterpret_cast<uintptr_t>(address) & ~uintptr_t{4095};
  unsigned char state = 0;
  EXPECT_EQ(mincore(reinterpret_cast<void*>(page), 4096, &state), 0);
  return (state & 1) != 0;
}

TEST(OwnHeapTest, TrimGivesFreePagesBackAndKeepsTheRest) {
  std::vector<void*> blocks;
  for (int i = 0; i < 10000; ++i) {
    blocks.push_back(OwnHeap::Allocate(200));
    memset(blocks.back(), i % 256, 200);
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % 1000 != 0) OwnHeap::Free(blocks[i]);
  }
  const void* const free = blocks[500];
  ASSERT_TRUE(IsResident(free));
  OwnHeap::Trim();
  EXPECT_FALSE(IsResident(free));
  for (size_t i = 0; i < blocks.size(); i += 1000) {
    EXPECT_TRUE(IsFilledWith(blocks[i], 200, static_cast<unsigned char>(i % 256))) << i;
    OwnHeap::Free(blocks[i]);
  }
  void* const next = OwnHeap::Allocate(200);
  ASSERT_NE(next, nullptr);
  OwnHeap::Free(next);
}

TEST(OwnHeapTest, NoMemoryIsNull) {
  EXPECT_EQ(OwnHeap::Allocate(SIZE_MAX), nullptr);
  EXPECT_EQ(OwnHeap::Allocate(16, size_t{1} << 62), nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit = {0, 0};
    setrlimit(RLIMIT_AS, &limit);
    int blocks = 0;
    while (OwnHeap::Allocate(1 << 20) != nullptr) ++blocks;
    _exit(blocks < 1000 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(StandInsTest, AnExecutableWithoutAny) {
  EXPECT_TRUE(DefinitionsForMend().empty());
  EXPECT_TRUE(TakersOfBlocks().empty());
  EXPECT_TRUE(PlacesInExecutable().empty());
  EXPECT_TRUE(NamesBoundAtStart().empty());
  EXPECT_FALSE(HasStandIn("malloc"));
  EXPECT_EQ(FindBehindProgram("malloc"), nullptr);
}

}  // namespace
}  // namespace mend::jit
