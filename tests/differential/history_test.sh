#!/usr/bin/env bash
# The walk through a history (history.py): a made-up one, in which nothing may be missed, and what must be found.
#   history_test.sh BUILD_DIR
set -euo pipefail
for needed in python3 git make clang-22 clang++-22; do
  if ! command -v "$needed" >/dev/null; then
    echo "skipped: no $needed"
    exit 77
  fi
done
build=$1
history=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/history.py
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export PYTHONDONTWRITEBYTECODE=1 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
unset MEND_OPTIONS
mkdir "$folder/program"
cd "$folder/program"
git init -q -b master .
commit() {
  git add -A
  git commit -q -m "$1"
}

cat > Makefile <<'END'
program: main.o shapes.o
	$(CXX) -o $@ main.o shapes.o
%.o: %.c
	$(CC) -O2 -c $<
%.o: %.cc
	$(CXX) -O2 -c $<
END
cat > main.c <<'END'
#include <assert.h>
#include <stdio.h>
int area(int);
static const int factors[4] = {1, 2, 3, 4};
static int calls;
static int scale(int x) { return x * 3; }
__attribute__((noinline)) static int count(int x) { calls++; return factors[x & 3]; }
__attribute__((noinline)) int sum(int x) { assert(x > 0); return scale(x) + count(x); }
int main(int argc, char **argv) { printf("%s %d %d\n", argv[0], sum(argc), area(argc)); return 0; }
END
cat > shapes.cc <<'END'
#include <stdexcept>
template <int N> __attribute__((noinline)) int side(int x) { if (x > N) throw std::out_of_range("side"); return x + N; }
extern "C" int area(int x) { try { return side<3>(x) * side<4>(x); } catch (const std::out_of_range &) { return 0; } }
END
commit first
sed -i 's/x \* 3/x * 5/' main.c
commit "an inlined function"
sed -i 's/{1, 2, 3, 4}/{1, 2, 3, 5}/; s/^int area/\n\nint area/' main.c
commit "a constant, and lines"
sed -i 's/out_of_range &/logic_error \&/' shapes.cc
commit "an exception table alone"
sed -i 's/static int calls;/static int calls = 1;/' main.c
commit "an initial value"
sed -i 's/int calls/\/* how often *\/ int calls/' main.c
commit "a comment"

walk() {
  python3 "$history" "$build" .git --commits 9 --build 'make -s' --program program "$@" > "$folder/out"
}
fail() {
  cat "$folder/out"
  echo "history_test: $1"
  exit 1
}
walk || fail "a commit is said to be wrong"
grep -q '^patch 3, .*MEND-E0111 1.* missed 0, .* data 0, ' "$folder/out" || fail "other totals"
walk --last HEAD~2 --commits 1 --control area && fail "the control was not found"
grep -q 'missed: shapes.cc area$' "$folder/out" || fail "the control is not named"
walk --last HEAD~3 --commits 1 --control count && fail "the control was not found"
grep -q 'missed: main.c count$' "$folder/out" || fail "the reader of a constant is not named"
walk --last master --onto master~5 || fail "a commit is said to be wrong where it is tried on the first program"
grep -q ', patch 2, .* missed 0, .* data 0, ' "$folder/out" || fail "other totals where all are tried on the first program"
