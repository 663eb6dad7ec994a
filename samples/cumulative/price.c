/* Prices: reads net amounts in cents and answers with tax, shipping and total. */
#include <stdio.h>
#include <stdlib.h>

static long asked;

__attribute__((noinline)) long tax(long net) { return net * 19 / 100; }

__attribute__((noinline)) long shipping(long net) { return net > 5000 ? 0 : 490; }

/* Not inlined into main, which never returns. */
__attribute__((noinline)) void answer(long net) {
  asked++;
  printf("net %ld tax %ld shipping %ld total %ld (#%ld)\n", net, tax(net), shipping(net),
         net + tax(net) + shipping(net), asked);
  fflush(stdout);
}

int main(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) answer(strtol(line, NULL, 10));
  return 0;
}
