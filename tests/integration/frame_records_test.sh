# A record that only frames of changed functions have may change its layout, while threads are in those frames:
# `check` says so, the patch is applied and taken off, and no answer is of two layouts. With its address in a
# global it is refused, with the place.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >resolve.c <<'SOURCE'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct context {
  int first;
  int second;
  char text[16];
};

static __attribute__((noinline)) void prepare(struct context* context, int number) {
  memset(context, 0, sizeof(*context));
  context->first = number;
  context->second = 3 * number;
}

static __attribute__((noinline)) int sum(const struct context* context) {
  return context->first + context->second + context->text[0];
}

/* Reads a line with the context on its stack: whoever patches it meets it there. */
__attribute__((noinline)) int resolve(int number) {
  struct context context;
  prepare(&context, number);
  if (fgets(context.text, sizeof(context.text), stdin) == NULL) exit(0);
  context.text[0] = 0;
  return sum(&context);
}

int main(void) {
  for (;;) {
    printf("answer %d\n", resolve(10));
    fflush(stdout);
  }
}
SOURCE
"$patchc" cc -O2 resolve.c -o resolve
cp resolve.c original.c
sed -i 's/^  int first;/  long before[3];\n  int first;/; s/= 3 \* number;/= 4 * number;\n  context->before[1] = number;/
  s/return context->first/return (int)context->before[1] + context->first/' resolve.c

expect_code 0 "$patchc" check --base resolve resolve.c
expect_match "what changed" "struct context: member 'before' was added at offset 0" "$output"
expect_match "that it is fine" "fine: only in frames of changed functions \(resolve\)" "$output"
expect_code 0 "$patchc" check --json --base resolve resolve.c
expect_match "the same for scripts" '"frame_records":\[{"change":"struct context: .*"functions":\["resolve"\]' "$output"

start ./resolve
await_target
ask x "answer 40"
# The program is in resolve() by now, or about to be: with an old context, it ends as it began.
"$patchc" apply resolve.c --to "$hosted_pid" --name wider --timeout 300 >report 2>&1 &
apply=$!
started+=("$apply")
await "the transition runs" says wider "$mend" status "$hosted_pid"
# Each answer is of one layout, whichever.
for tries in $(seq 400); do
  say x
  hear
  expect_match "an answer" '^answer (40|60)$' "$answer"
  kill -0 "$apply" 2>/dev/null || break
  sleep 0.05
done
code=0
wait "$apply" || code=$?
[ "$code" = 0 ] || fail "apply: exit code $code: $(cat report)"
ask x "answer 60"

# Beside it nothing that knows the record by the program's layout.
sed 's/"answer %d/"Answer %d/' original.c >resolve.c
expect_code 3 "$patchc" apply resolve.c --to "$hosted_pid" --name beside --no-replace
expect_match "why" "patch 'wider' changes the layout of 'context', and 'beside' beside it" "$output"
ask x "answer 60"

cp original.c resolve.c
sed -i 's/^  int first;/  long before;\n  int first;/; s/^static __attribute__/static void* last;\n&/; 0,/  memset/s//  last = context;\n  memset/' resolve.c
expect_code 3 "$patchc" check --base resolve resolve.c
expect_match "where it goes" "not only in frames of changed functions: a 'struct context \*' is converted to 'void \*' \(.*resolve.c:[0-9]+\)" "$output"
finish
