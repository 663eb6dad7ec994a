#include "jit/link/literals.h"

#include <algorithm>

#include "jit/link/graph_editor.h"
#include "llvm/ExecutionEngine/JITLink/x86_64.h"

namespace mend::jit {
namespace {

using llvm::jitlink::Block;
using llvm::jitlink::Edge;
namespace x86_64 = llvm::jitlink::x86_64;

// A 32-bit displacement counts from the byte behind it.
constexpr int64_t kDisplacementSize = 4;

bool IsEnd(std::string_view section, size_t width, size_t at) {
  const std::string_view character = section.substr(at, width);
  return std::all_of(character.begin(), character.end(), [](char c) { return c == '\0'; });
}

}  // namespace

size_t LiteralWidth(std::string_view section) {
  constexpr std::string_view kPrefix = ".rodata.str";
  if (!section.starts_with(kPrefix) || section.size() < kPrefix.size() + 2) return 0;
  const char width = section[kPrefix.size()];
  if (section[kPrefix.size() + 1] != '.' || (width != '1' && width != '2' && width != '4')) {
    return 0;
  }
  return static_cast<size_t>(width - '0');
}

std::optional<std::pair<size_t, size_t>> LiteralAt(std::string_view section, size_t width,
                                                   size_t offset) {
  if (offset >= section.size() || section.size() % width != 0) return std::nullopt;
  size_t begin = offset - offset % width;
  size_t end = begin;
  while (begin > 0 && !IsEnd(section, width, begin - width)) begin -= width;
  while (end < section.size() && !IsEnd(section, width, end)) end += width;
  if (end == section.size()) return std::nullopt;
  return std::make_pair(begin, end + width);
}

std::string LiteralKey(std::string_view section, std::string_view literal) {
  return std::string(section).append("|").append(literal);
}

std::map<std::string, uintptr_t> LiteralsOf(const std::vector<LiteralSection>& sections) {
  std::map<std::string, uintptr_t> literals;
  for (const LiteralSection& section : sections) {
    const size_t width = LiteralWidth(section.name);
    for (size_t at = 0; at < section.bytes.size();) {
      const auto literal = LiteralAt(section.bytes, width, at);
      if (!literal) break;
      const std::string_view bytes = section.bytes.substr(at, literal->second - at);
      literals.try_emplace(LiteralKey(section.name, bytes),
                           reinterpret_cast<uintptr_t>(bytes.data()));
      at = literal->second;
    }
  }
  return literals;
}

bool TakesAddress(const Block& from, const Edge& edge) {
  if (!IsExecutable(from.getSection())) return edge.getKind() == x86_64::Pointer64;
  if (edge.getKind() != x86_64::Delta32 || edge.getOffset() < 3) return false;
  // lea disp32(%rip), %r64: a prefix for 64 bits, the opcode, registers.
  const auto* const at =
      reinterpret_cast<const uint8_t*>(from.getContent().data()) + edge.getOffset();
  return (at[-3] & 0xf8) == 0x48 && at[-2] == 0x8d && (at[-1] & 0xc7) == 0x05;
}

int64_t PlaceInLiteral(const Block& from, const Edge& edge) {
  const auto symbol = static_cast<int64_t>(edge.getTarget().getOffset());
  // The assembler goes by the section only where an address is that of the literal itself.
  if (edge.getTarget().hasName()) return symbol;
  const int64_t target = symbol + edge.getAddend();
  return IsExecutable(from.getSection()) ? target + kDisplacementSize : target;
}

}  // namespace mend::jit
