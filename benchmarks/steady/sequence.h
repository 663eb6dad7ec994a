// Pseudo-random DNA, the same in every run.
#ifndef MEND_BENCHMARKS_STEADY_SEQUENCE_H_
#define MEND_BENCHMARKS_STEADY_SEQUENCE_H_

#include <cstddef>
#include <cstdint>
#include <string>

inline std::string MakeSequence(std::size_t length) {
  static constexpr char kBases[] = "acgt";
  std::string sequence(length, '\0');
  std::uint64_t state = 42;
  for (char& base : sequence) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    base = kBases[state >> 62];
  }
  return sequence;
}

#endif  // MEND_BENCHMARKS_STEADY_SEQUENCE_H_
