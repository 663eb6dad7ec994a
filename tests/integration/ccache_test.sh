# A compiler cache in front: a hit gives the same object and dependency file, with what the object says
# of itself, so that a program made of hits takes patches; what an included file changed is no hit.
. "$(dirname "$0")/lib.sh"
command -v ccache >/dev/null || { echo "skipped: needs ccache"; exit 77; }
cd "$work"
export CCACHE_DIR=$work/cache
unset CCACHE_BASEDIR CCACHE_NOHASHDIR CCACHE_DISABLE
mkdir one two

cat >one/answer.h <<'SOURCE'
#define ANSWER 41
SOURCE
cat >one/answer.c <<'SOURCE'
#include "answer.h"
int answer(int x) { return x + ANSWER; }
SOURCE
cat >one/main.c <<'SOURCE'
#include <stdio.h>
#include "answer.h"
int answer(int x);
int main(void) {
  char line[16];
  while (fgets(line, sizeof line, stdin)) printf("%d\n", answer(1)), fflush(stdout);
  return ANSWER - 41;
}
SOURCE
cp one/* two

# hits: how often the cache had it, so far.
hits() { ccache --print-stats | awk '/^(direct|preprocessed)_cache_hit\t/ { n += $2 } END { print n + 0 }'; }
# compile COMPILER NAME: in one/, twice; the second is a hit with the same files.
compile() {
  local before
  (cd one && ccache $1 -O2 -MD -MF answer.d -c answer.c -o answer.o && mv answer.o "$2.o" && mv answer.d "$2.d")
  before=$(hits)
  (cd one && ccache $1 -O2 -MD -MF answer.d -c answer.c -o answer.o)
  expect "hits of '$1'" $((before + 1)) "$(hits)"
  cmp "one/$2.o" one/answer.o || fail "$1: another object"
  cmp "one/$2.d" one/answer.d || fail "$1: another dependency file"
  cmp one/answer.o <(cd one && $1 -O2 -MD -c answer.c -o answer.o && cat answer.o) ||
    fail "$1: another object than without the cache"
}
compile "$build/bin/mend-cc" wrapper
compile "$patchc cc" command

# The program of the first folder, of hits only.
(cd one && ccache "$build/bin/mend-cc" -O2 -c main.c -o main.o && rm main.o answer.o &&
  ccache "$build/bin/mend-cc" -O2 -MD -MF answer.d -c answer.c -o answer.o &&
  ccache "$build/bin/mend-cc" -O2 -c main.c -o main.o &&
  ccache "$build/bin/mend-cc" main.o answer.o -o program)
start one/program
await_target
ask go 42
mkdir edited
sed 's/x + ANSWER/x - ANSWER/' one/answer.c >edited/answer.c
expect_code 0 "$patchc" apply edited/answer.c --to "$hosted_pid"
ask go -40
finish

# An edit of an included file is no hit.
sed -i 's/41/51/' one/answer.h
before=$(hits)
(cd one && ccache "$build/bin/mend-cc" -O2 -MD -MF answer.d -c answer.c -o answer.o)
expect "hits after an edit" "$before" "$(hits)"

# In another folder the cache gives the first one's object where it was not told to tell folders apart.
# Then the header has two names, and an edit of one of them must not reach half of the program.
(cd two && ccache "$build/bin/mend-cc" -O2 -MD -MF answer.d -c answer.c -o answer.o)
if "$patchc" inspect two/answer.o | grep -q "directory *$work/one"; then
  (cd two && "$build/bin/mend-cc" -O2 -c main.c && "$build/bin/mend-cc" main.o answer.o -o program)
  sed 's/41/43/' two/answer.h >edited/answer.h
  cp edited/answer.h two/answer.h
  expect_code 3 "$patchc" check --base two/program two/answer.h
  expect_match "a file of two names" "MEND-E0008.*one/answer.h too, with the same contents" "$output"
fi
