// Data whose alignment is more than a page.
#include <stdint.h>
#include <stdio.h>

static char small[100] __attribute__((aligned(8192)));
static char filled[100] __attribute__((aligned(65536))) = {1};
static const char constant[100] __attribute__((aligned(16384))) = {2};
char huge[100] __attribute__((aligned(2 << 20)));

static unsigned Beyond(const volatile void* address, uintptr_t alignment) {
  return (unsigned)((uintptr_t)address % alignment);
}

int main(void) {
  printf("%u %u %u %u\n", Beyond(small, 8192), Beyond(filled, 65536), Beyond(constant, 16384),
         Beyond(huge, 2 << 20));
  return 0;
}
