// zlib-roundtrip: text of words from a small vocabulary is compressed and decompressed, and must
// come out as it went in. Usage: zlib_roundtrip BYTES.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zlib.h"

static uint64_t Random(uint64_t* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 33;
}

// Words of a vocabulary of which a few are frequent, as in any language.
static void WriteText(unsigned char* text, size_t size) {
  enum { kWords = 4096, kLongest = 12 };
  static char vocabulary[kWords][kLongest + 2];
  uint64_t state = 7;
  for (int i = 0; i < kWords; ++i) {
    const size_t length = 2 + Random(&state) % (kLongest - 2);
    for (size_t j = 0; j < length; ++j) vocabulary[i][j] = (char)('a' + Random(&state) % 26);
    vocabulary[i][length] = ' ';
  }
  for (size_t at = 0; at < size;) {
    const uint64_t rank = Random(&state) % kWords * (Random(&state) % kWords) / kWords;
    const size_t length = strlen(vocabulary[rank]);
    const size_t taken = length < size - at ? length : size - at;
    memcpy(text + at, vocabulary[rank], taken);
    at += taken;
  }
}

int main(int argc, char** argv) {
  const size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
  uLongf packed_size = compressBound(size), unpacked_size = size;
  unsigned char* text = malloc(size);
  unsigned char* packed = malloc(packed_size);
  unsigned char* unpacked = malloc(size);
  if (text == NULL || packed == NULL || unpacked == NULL) return 1;
  WriteText(text, size);
  if (compress2(packed, &packed_size, text, size, 6) != Z_OK) return 1;
  if (uncompress(unpacked, &unpacked_size, packed, packed_size) != Z_OK) return 1;
  printf("%lu %lu %08lx %s\n", (unsigned long)size, (unsigned long)packed_size,
         crc32(0, packed, (uInt)packed_size),
         memcmp(text, unpacked, size) == 0 ? "equal" : "different");
  free(text);
  free(packed);
  free(unpacked);
  return 0;
}
