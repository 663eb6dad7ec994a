// fannkuch: how many times the first n cards of a permutation of n must be turned until the first
// is 1, the most over all permutations; small arrays, branches that no predictor knows. Usage:
// fannkuch CARDS.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kCardsMax = 16 };

static int CountFlips(const unsigned char* permutation, int cards) {
  unsigned char deck[kCardsMax];
  memcpy(deck, permutation, (size_t)cards);
  int flips = 0;
  for (int first = deck[0]; first != 0; first = deck[0]) {
    for (int low = 0, high = first; low < high; ++low, --high) {
      const unsigned char card = deck[low];
      deck[low] = deck[high];
      deck[high] = card;
    }
    ++flips;
  }
  return flips;
}

// The next permutation in the order that rotates ever longer prefixes; 0 when there is none.
static int Next(unsigned char* permutation, int* rotations, int cards) {
  for (int length = 1; length < cards; ++length) {
    const unsigned char first = permutation[0];
    memmove(permutation, permutation + 1, (size_t)length);
    permutation[length] = first;
    if (++rotations[length] <= length) return 1;
    rotations[length] = 0;
  }
  return 0;
}

int main(int argc, char** argv) {
  const int cards = argc > 1 ? atoi(argv[1]) : 7;
  if (cards < 2 || cards > kCardsMax) return 2;
  unsigned char permutation[kCardsMax];
  int rotations[kCardsMax] = {0};
  for (int i = 0; i < cards; ++i) permutation[i] = (unsigned char)i;
  int most = 0, checksum = 0, sign = 1;
  do {
    const int flips = CountFlips(permutation, cards);
    if (flips > most) most = flips;
    checksum += sign * flips;
    sign = -sign;
  } while (Next(permutation, rotations, cards));
  printf("%d %d\n", checksum, most);
  return 0;
}
