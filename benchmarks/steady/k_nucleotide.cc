// k-nucleotide: how often each word of DNA occurs; std::unordered_map of strings and of integers,
// sorting. Usage: k_nucleotide LENGTH.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sequence.h"

namespace {

void PrintFrequencies(const std::string& sequence, std::size_t width) {
  std::unordered_map<std::string, unsigned> counts;
  for (std::size_t i = 0; i + width <= sequence.size(); ++i) ++counts[sequence.substr(i, width)];
  std::vector<std::pair<std::string, unsigned>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  for (const auto& [word, count] : sorted) {
    std::printf("%s %.3f\n", word.c_str(), 100.0 * count / static_cast<double>(sequence.size()));
  }
}

std::uint64_t Code(char base) { return (static_cast<std::uint64_t>(base) >> 1) & 3; }

unsigned CountWord(const std::string& sequence, const std::string& word) {
  std::unordered_map<std::uint64_t, unsigned> counts;
  const std::uint64_t mask = (std::uint64_t{1} << (2 * word.size())) - 1;
  std::uint64_t key = 0, wanted = 0;
  for (std::size_t i = 0; i < sequence.size(); ++i) {
    key = ((key << 2) | Code(sequence[i])) & mask;
    if (i + 1 >= word.size()) ++counts[key];
  }
  for (const char base : word) wanted = (wanted << 2) | Code(base);
  return counts[wanted];
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t length = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10000;
  const std::string sequence = MakeSequence(length);
  PrintFrequencies(sequence, 1);
  PrintFrequencies(sequence, 2);
  for (const char* word : {"ggt", "ggta", "ggtatt", "ggtattttaatt", "ggtattttaatttatagt"}) {
    std::printf("%u %s\n", CountWord(sequence, word), word);
  }
  return 0;
}
