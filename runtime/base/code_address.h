// Code addresses of the hosted program. A type of their own, so that the address of a function's
// entry, of one of its bodies and of plain data cannot be mixed up by accident.
#ifndef MEND_RUNTIME_BASE_CODE_ADDRESS_H_
#define MEND_RUNTIME_BASE_CODE_ADDRESS_H_

#include <compare>
#include <cstddef>
#include <cstdint>

namespace mend {

// An address of machine code in this process. Zero means "none".
struct CodeAddress {
  uintptr_t value = 0;

  constexpr bool is_null() const { return value == 0; }
  constexpr auto operator<=>(const CodeAddress&) const = default;
};

constexpr CodeAddress operator+(CodeAddress address, size_t bytes) {
  return CodeAddress{address.value + bytes};
}

// The half-open range [begin, end) of machine code.
struct CodeRange {
  CodeAddress begin;
  CodeAddress end;

  constexpr size_t size() const { return end.value - begin.value; }
  constexpr bool empty() const { return begin == end; }
  constexpr bool Contains(CodeAddress address) const { return begin <= address && address < end; }
  constexpr auto operator<=>(const CodeRange&) const = default;
};

// The size of the redirection stub at every patchable entry: one 8-byte no-op while the entry is
// closed, `jmp *slot(%rip); int3; int3` while it is open. The body begins right behind it.
inline constexpr size_t kEntryStubSize = 8;
// Entries are aligned so that the 8 bytes can be replaced by one single-copy atomic store.
inline constexpr size_t kEntryAlignment = 16;

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_CODE_ADDRESS_H_
