#include "runtime/base/check.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace mend {
namespace {

void WriteText(const char* text) noexcept {
  size_t left = std::strlen(text);
  while (left > 0) {
    const ssize_t written = ::write(STDERR_FILENO, text, left);
    if (written <= 0) return;
    text += written;
    left -= static_cast<size_t>(written);
  }
}

void WriteDecimal(int value) noexcept {
  char digits[12];
  char* at = digits + sizeof digits;
  *--at = '\0';
  do {
    *--at = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value > 0 && at > digits);
  WriteText(at);
}

}  // namespace

void CheckFailed(const char* message, const char* file, int line) noexcept {
  WriteText("mend: broken invariant: ");
  WriteText(message);
  WriteText(" (");
  WriteText(file);
  WriteText(":");
  WriteDecimal(line);
  WriteText(")\n");
  std::abort();
}

}  // namespace mend
