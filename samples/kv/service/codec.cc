#include "codec.h"

#include <cstdint>
#include <cstdio>

namespace kv {

std::string Encode(const std::string& value) { return "p:" + value; }

std::string Checksum(const std::string& value) {
  uint8_t sum = 0;
  for (const char c : value) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(c));
  char text[8];
  std::snprintf(text, sizeof text, "s:%02x", sum);
  return text;
}

}  // namespace kv
