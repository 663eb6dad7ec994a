// Loops of all shapes, and what lives longer than a turn of them. loops_test.sh compiles it with
// -fmend-loops=* too, and wants the same output.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair {
  int a;
  long b;
};

static int ways_out(int n) {
  int seen = 0;
  for (int i = 0;; ++i) {
    if (i == n) break;
    if (i % 3 == 1) continue;
    if (i > 20) return -seen;
    if (i == 17) goto found;
    seen += i;
  }
  return seen;
found:
  return seen * 100;
}

static int switches(const char* text) {
  int depth = 0, most = 0;
  while (*text) {
    switch (*text++) {
      case '(':
        if (++depth > most) most = depth;
        continue;
      case ')':
        --depth;
        break;
      case 'x': {
        int twice = depth * 2;
        most += twice;
        break;
      }
      case '!':
        return most;
      default:
        break;
    }
    if (depth < 0) break;
  }
  return most * 10 + depth;
}

// A variable that is declared nowhere near its first use, and keeps what it had.
static int kept(int n) {
  int last, first = 1;
  int sum = 0;
  while (n-- > 0) {
    if (first) {
      last = 5;
      first = 0;
    } else {
      last += n;
    }
    sum += last;
  }
  return sum;
}

// Labels in front of a declaration: the object is the same in all turns.
static int label_before(void) {
  int turns = 0;
  int* back = NULL;
  int sum = 0;
again:;
  int here;
  if (back != NULL) sum += *back;
  here = ++turns;
  back = &here;
  if (turns < 5) goto again;
  return sum * 10 + *back;
}

// A compound literal in the loop's own statement lasts as long as the loop does.
static int literal(void) {
  int i = 0, sum = 0;
  for (struct pair* p = &(struct pair){1, 2}; i < 4; p = &(struct pair){i, sum}, ++i) {
    sum += p->a + (int)p->b;
  }
  for (int *q = NULL, turn = 0; turn < 4; q = &(int){turn}, ++turn) {
    if (q != NULL) sum += *q;
  }
  return sum;
}

static struct pair by_value(struct pair p, int n) {
  struct pair made = {0, 0};
  do {
    struct pair turn = p;
    turn.a += n;
    made = (struct pair){made.a + turn.a, made.b + (n & 1 ? turn.b : turn.a)};
  } while (--n > 0);
  return made;
}

static int arrays(int n) {
  char text[32] = "";
  char sized[n];
  int counts[4] = {0};
  memset(sized, 'a', sizeof sized);
  for (int i = 0; i < n; ++i) {
    char turn[8];
    snprintf(turn, sizeof turn, "%d%c", i % 10, sized[i]++);
    strncat(text, turn, sizeof text - strlen(text) - 1);
    counts[i & 3] += (int)strlen(text);
    int matrix[i + 1];
    for (int j = 0; j <= i; ++j) matrix[j] = j * i;
    counts[1] += matrix[i];
  }
  printf("%s %c\n", text, sized[1]);
  return counts[0] + 10 * counts[1] + 100 * counts[2] + 1000 * counts[3];
}

static int variable(int count, ...) {
  va_list list;
  va_start(list, count);
  int sum = 0;
  while (count-- > 0) sum += va_arg(list, int);
  va_end(list);
  return sum;
}

static jmp_buf jump;
static int jumps(void) {
  volatile int turns = 0;
  if (setjmp(jump) == 3) return turns;
  for (;;) {
    turns++;
    longjmp(jump, turns);
  }
}

static void out(int turns) {
  while (turns-- > 0) {
    if (turns == 2) longjmp(jump, 7);
  }
}
static int jumped_over(void) {
  if (setjmp(jump)) return 1;
  out(5);
  return 0;
}

static int allocates(int n) {
  int *last = NULL, sum = 0;
  while (n-- > 0) {
    int* place = __builtin_alloca(sizeof(int));
    *place = last == NULL ? 1 : *last + n;
    last = place;
    sum += *last;
  }
  return sum;
}

static int computed(const unsigned char* code) {
  static const void* const labels[] = {&&add, &&twice, &&stop};
  int value = 1;
  while (1) {
    goto* labels[*code++];
  add:
    value += 3;
    continue;
  twice:
    value *= 2;
    continue;
  stop:
    return value;
  }
}

static int into_the_middle(int n) {
  int sum = 0;
  if (n > 3) goto middle;
  while (n < 10) {
    sum += n;
  middle:
    n += 2;
    sum *= 2;
  }
  return sum;
}

static int statics(void) {
  int seen = 0;
  for (int i = 0; i < 3; ++i) {
    static int calls;
    calls += i;
    seen = seen * 10 + calls;
  }
  return seen;
}

static int nested(int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      for (int k = 0;; ++k) {
        if (k > j) break;
        if (sum > 5000) goto out;
        sum += i * j + k;
      }
      if (j == i + 2) break;
    }
  }
out:
  return sum;
}

static int recursive(int n) {
  int sum = 1;
  while (n > 0) {
    int inner = --n;
    sum += recursive(inner / 2) + inner;
  }
  return sum;
}

static int ends_itself(void) {
  for (int i = 0;; ++i) {
    printf("turn %d\n", i);
    if (i == 3) exit(i + 40);
  }
}

int main(void) {
  printf("%d %d %d\n", ways_out(5), ways_out(19), ways_out(40));
  printf("%d %d %d\n", switches("(()x)"), switches("())("), switches("((!"));
  printf("%d %d %d\n", kept(7), label_before(), literal());
  const struct pair made = by_value((struct pair){3, 4}, 5);
  printf("%d %ld\n", made.a, made.b);
  printf("%d\n", arrays(9));
  printf("%d %d %d %d\n", variable(4, 1, 2, 3, 4), jumps(), jumped_over(), allocates(6));
  printf("%d %d %d\n", computed((const unsigned char[]){0, 1, 1, 0, 2}), into_the_middle(2),
         into_the_middle(5));
  printf("%d %d %d %d\n", statics(), statics(), nested(12), recursive(17));
  return ends_itself();
}
