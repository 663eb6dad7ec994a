// regex: variants of a DNA pattern are counted, then some are replaced; std::regex, whose matcher
// is a template in the program itself: virtual calls, std::function, recursion. Usage: regex
// LENGTH.
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <regex>
#include <string>

#include "sequence.h"

int main(int argc, char** argv) {
  const std::size_t length = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10000;
  std::string sequence = MakeSequence(length);
  const char* const patterns[] = {"agggtaaa|tttaccct", "[cgt]gggtaaa|tttaccc[acg]",
                                  "a[act]ggtaaa|tttacc[agt]t", "agg[act]taaa|ttta[agt]cct",
                                  "agggta[cgt]a|t[acg]taccct"};
  for (const char* pattern : patterns) {
    const std::regex compiled(pattern, std::regex::optimize);
    const std::sregex_iterator begin(sequence.begin(), sequence.end(), compiled);
    std::printf("%s %ld\n", pattern,
                static_cast<long>(std::distance(begin, std::sregex_iterator())));
  }
  sequence = std::regex_replace(sequence, std::regex("tha[Nt]|aND|a[cg]t"), "<4>");
  std::printf("%zu\n", sequence.size());
  return 0;
}
