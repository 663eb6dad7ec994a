# A header that many units include: a layout that cannot change is refused when the first of them has
# been compiled, and with any number of compilations at a time the answer is the same.
. "$(dirname "$0")/lib.sh"
cd "$work"

units=24
cat >wide.h <<'SOURCE'
struct wide { int a; int b; };
static inline int step(struct wide *w) { return ++w->b + 3; }
SOURCE
for i in $(seq "$units"); do
  printf '#include "wide.h"\nint use%d(struct wide *w) { return step(w) + w->a * %d; }\n' "$i" "$i" >"unit$i.c"
done
echo 'int main(void) { return 0; }' >main.c
"$patchc" cc -O1 main.c unit*.c -o serve
mkdir a b
sed 's/int a; int b;/int b; int a;/' wide.h >a/wide.h
sed 's/+ 3/+ 4/' wide.h >b/wide.h
for edit in a b; do diff -u --label a/wide.h --label b/wide.h wide.h $edit/wide.h >$edit.diff || true; done

expect_code 3 "$patchc" check --base ./serve --diff a.diff
expect_match "the refusal" "MEND-E0101.*struct wide" "$output"
expect_match "what was left" "$((units - 1)) of $units units that the edits reach were not compiled" "$output"
serial=$("$patchc" check -j1 --base ./serve --diff a.diff 2>&1) && fail "it is not refused"
parallel=$("$patchc" check -j4 --base ./serve --diff a.diff 2>&1) && fail "it is not refused"
expect "four at a time say" "$serial" "$parallel"
expect_code 3 "$patchc" check --json --keep-going --base ./serve --diff a.diff
expect_match "all of them" "\"units_compiled\":$units," "$output"

for jobs in 1 4; do
  expect_code 0 "$patchc" build -j$jobs -o $jobs.mendpatch --base ./serve --diff b.diff --name fix
  sed 's/; compile .*//; s/written to .*//' <<<"$output" >$jobs.said
done
cmp 1.mendpatch 4.mendpatch || fail "four at a time make another module"
cmp 1.said 4.said || fail "four at a time say something else"
expect_match "the patch" "$units function\(s\) replaced in $units unit\(s\), $units compiled" "$(cat 4.said)"
expect_code 2 "$patchc" check -j0 --base ./serve --diff b.diff
