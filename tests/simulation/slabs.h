// Memory in which the same allocations have the same addresses, whatever was allocated and freed
// before: a block is the first free one of its size, and is zero.
#ifndef MEND_TESTS_SIMULATION_SLABS_H_
#define MEND_TESTS_SIMULATION_SLABS_H_

#include <sys/mman.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace mend::simulation {

class Slabs {
 public:
  // What is allocated from different regions does not depend on each other's order.
  static constexpr size_t kRegions = 5;

  // Everything is free.
  void Begin() {
    if (begin_ == nullptr) {
      begin_ = static_cast<char*>(mmap(reinterpret_cast<void*>(0x10'0000'0000), kBytes,
                                       PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
      if (begin_ == MAP_FAILED) abort();
    }
    memset(used_, 0, sizeof used_);
  }

  void* Allocate(size_t size, size_t region) {
    const size_t bytes = (size + 7) / 8 * 8;
    size_t shelf = 0;
    while ((kSmallest << shelf) < bytes + kHeader) ++shelf;
    if (shelf >= kShelves) abort();
    for (size_t word = 0; word < kWords; ++word) {
      uint64_t& used = used_[region][shelf][word];
      if (used == ~uint64_t{0}) continue;
      const auto bit = static_cast<size_t>(std::countr_one(used));
      used |= uint64_t{1} << bit;
      const size_t index = word * 64 + bit;
      char* const block = BlockAt(region, shelf, index);
      memset(block, 0, bytes + kHeader);
      *reinterpret_cast<size_t*>(block) = bytes;
      return block + kHeader;
    }
    abort();
  }
  bool Owns(const void* pointer) const {
    return static_cast<size_t>(static_cast<const char*>(pointer) - begin_) < kBytes &&
           begin_ != nullptr;
  }
  bool IsFree(const void* pointer) const {
    const Place place = PlaceOf(pointer);
    return ((used_[place.region][place.shelf][place.index / 64] >> (place.index % 64)) & 1) == 0;
  }
  void Free(void* pointer) {
    const Place place = PlaceOf(pointer);
    used_[place.region][place.shelf][place.index / 64] &= ~(uint64_t{1} << (place.index % 64));
    memset(pointer, 0xdd, *reinterpret_cast<size_t*>(static_cast<char*>(pointer) - kHeader));
  }

  // What says which blocks are in use.
  struct Use {
    const void* begin;
    size_t bytes;
  };
  Use use() const { return {used_, sizeof used_}; }

  // Calls visit(block, bytes) for what is in use, the word before it that says its size included.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    for (size_t region = 0; region < kRegions; ++region) {
      for (size_t shelf = 0; shelf < kShelves; ++shelf) {
        for (size_t word = 0; word < kWords; ++word) {
          for (uint64_t left = used_[region][shelf][word]; left != 0; left &= left - 1) {
            const size_t index = word * 64 + static_cast<size_t>(std::countr_zero(left));
            const char* const block = BlockAt(region, shelf, index);
            visit(block, kHeader + *reinterpret_cast<const size_t*>(block));
          }
        }
      }
    }
  }

 private:
  static constexpr size_t kShelves = 12;  // each for blocks twice as large
  static constexpr size_t kSmallest = 32;
  static constexpr size_t kHeader = 16;    // the size of what follows
  static constexpr size_t kBlocks = 1024;  // a shelf
  static constexpr size_t kWords = kBlocks / 64;
  static constexpr size_t kShelfBytes = kSmallest * kBlocks;  // the first
  static constexpr size_t kRegionBytes = kShelfBytes << kShelves;
  static constexpr size_t kBytes = kRegionBytes * kRegions;

  struct Place {
    size_t region, shelf, index;
  };
  // The shelves of a region lie behind one another.
  char* BlockAt(size_t region, size_t shelf, size_t index) const {
    return begin_ + region * kRegionBytes + kShelfBytes * ((size_t{1} << shelf) - 1) +
           index * (kSmallest << shelf);
  }
  Place PlaceOf(const void* pointer) const {
    const auto offset = static_cast<size_t>(static_cast<const char*>(pointer) - begin_);
    const size_t in_region = offset % kRegionBytes;
    const auto shelf = static_cast<size_t>(std::bit_width(in_region / kShelfBytes + 1)) - 1;
    const size_t in_shelf = in_region - kShelfBytes * ((size_t{1} << shelf) - 1);
    return {offset / kRegionBytes, shelf, in_shelf / (kSmallest << shelf)};
  }

  char* begin_ = nullptr;
  uint64_t used_[kRegions][kShelves][kWords] = {};
};

}  // namespace mend::simulation

#endif  // MEND_TESTS_SIMULATION_SLABS_H_
