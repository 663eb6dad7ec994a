// Little-endian words in byte strings, for the formats in this folder.
#ifndef MEND_RUNTIME_FORMAT_BYTE_ORDER_H_
#define MEND_RUNTIME_FORMAT_BYTE_ORDER_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace mend {

static_assert(std::endian::native == std::endian::little, "mend runs on x86-64 only");

// REQUIRES: at + 8 <= bytes.size(), in both functions.
inline uint64_t ReadLittleEndian64(std::string_view bytes, size_t at) {
  uint64_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

inline void WriteLittleEndian64(std::string& bytes, size_t at, uint64_t value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

}  // namespace mend

#endif  // MEND_RUNTIME_FORMAT_BYTE_ORDER_H_
