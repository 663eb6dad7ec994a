// Literals: strings of the source. The compiler puts them into sections that a unit's strings share
// (".rodata.str1.1"), where they have no names; programs compare their addresses all the same.
#ifndef MEND_JIT_LINK_LITERALS_H_
#define MEND_JIT_LINK_LITERALS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llvm/ExecutionEngine/JITLink/JITLink.h"

namespace mend::jit {

// A linked section of literals.
struct LiteralSection {
  std::string name;
  std::string_view bytes;
};

// How many bytes a character has in a section of literals of that name; 0: it is none.
size_t LiteralWidth(std::string_view section);

// Begin and end of the literal around `offset`, with the character that ends it; nullopt when it
// lies outside, or ends nowhere.
std::optional<std::pair<size_t, size_t>> LiteralAt(std::string_view section, size_t width,
                                                   size_t offset);

// By what a literal is known in its unit.
std::string LiteralKey(std::string_view section, std::string_view literal);

// Where the literals of the sections are, by LiteralKey.
std::map<std::string, uintptr_t> LiteralsOf(const std::vector<LiteralSection>& sections);

// Whether the edge is an address that the code or data takes of its target, and not an access to
// what stands there.
bool TakesAddress(const llvm::jitlink::Block& from, const llvm::jitlink::Edge& edge);

// A place in the literal that the edge means, as an offset into the block of its target; the edge
// itself may lead to the end of the literal, which is where the next one begins. REQUIRES:
// TakesAddress.
int64_t PlaceInLiteral(const llvm::jitlink::Block& from, const llvm::jitlink::Edge& edge);

}  // namespace mend::jit

#endif  // MEND_JIT_LINK_LITERALS_H_
