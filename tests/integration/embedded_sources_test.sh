# What a program carries of its sources: main sources come with the objects, headers are taken in once
# when the program is linked, from where the units found them.
. "$(dirname "$0")/lib.sh"
cd "$work"

# fresh FLAG...: the project, its objects compiled with these flags.
fresh() {
  rm -rf project
  mkdir -p project/include
  cat >project/include/common.h <<'SOURCE'
static inline int scale(int x) { return x * 3 + 1; }
int first(int x);
int second(int x);
SOURCE
  for name in first second; do
    printf '#include "common.h"\nint %s(int x) { return scale(x); }\n' $name >project/$name.c
  done
  cat >project/main.c <<'SOURCE'
#include <stdio.h>
#include "common.h"
int main(void) {
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    printf("%d %d\n", first(1), second(2));
    fflush(stdout);
  }
}
SOURCE
  for name in first second main; do
    (cd project && "$patchc" cc -O2 "$@" -Iinclude -c $name.c -o $name.o)
  done
}
link() { expect_code 0 "$patchc" cc project/*.o -o serve "$@"; }
cat >header.diff <<'DIFF'
--- a/include/common.h
+++ b/include/common.h
@@ -1,3 +1,3 @@
-static inline int scale(int x) { return x * 3 + 1; }
+static inline int scale(int x) { return x * 3 + 2; }
 int first(int x);
 int second(int x);
DIFF
build() { expect_code "$1" "$patchc" build -o fix.mendpatch --base ./serve --diff header.diff "${@:2}"; }

# The sources may be gone once the program is linked; a header is in it once.
fresh
link
expect "a link that finds its headers says" "" "$output"
at_terminal=$(script -qec "$patchc cc project/*.o -o serve" /dev/null </dev/null)
expect_match "at a terminal it says" "note: 4 sources are embedded, [0-9]+ KiB" "$at_terminal"
rm -r project
expect_match "inspect" "^program of 3 objects; 4 sources embedded, [0-9]+ bytes in [0-9]+$" "$("$patchc" inspect serve)"
build 0
expect_match "what follows from the header" "2 function\(s\) replaced in 2 unit\(s\)" "$output"
start ./serve
ask go "4 7"
expect_code 0 "$patchc" apply --diff header.diff --to "$hosted_pid"
ask go "5 8"
expect_code 0 "$mend" disable "$hosted_pid" header
ask go "4 7"

"$patchc" strip serve
expect_match "inspect of the stripped program" "; 0 sources embedded" "$("$patchc" inspect serve)"
for command in inspect strip; do
  expect_code 3 "$patchc" "$command" "$work"
  expect_match "$command of a directory" "cannot read '$work': Is a directory" "$output"
done
build 3
expect_match "a stripped program" "MEND-E0003.*common.h is gone, and the program does not embed it" "$output"
ask go "4 7"

# One that changed since the units were compiled, or that is gone, is told when they are linked.
fresh
echo "/* later */" >>project/include/common.h
link
expect_match "a changed header" \
  "warning: .*/include/common.h is no longer what it was when .*\.c was compiled: .*-fmend-embed-headers" "$output"
build 3
expect_match "a diff for it" "MEND-E0003.*common.h is not what the program was built from" "$output"
rm project/include/common.h
link
expect_match "a header that is gone" "warning: .*/include/common.h is gone when .*was compiled" "$output"

# Objects that outlive their headers.
fresh -fno-mend-embed-sources -fmend-embed-headers
rm -r project/include project/*.c
link
expect "objects that have their headers say" "" "$output"
build 0

# Without sources: they are needed when a patch is built.
fresh -fmend-embed-headers -fno-mend-embed-sources
link
expect_match "inspect of a program without" "; 0 sources embedded" "$("$patchc" inspect serve)"
expect_match "inspect of an object without" "not embedded" "$("$patchc" inspect project/main.o)"
build 0
rm -r project/include
link
expect "objects that are to be without say" "" "$output"
build 3
# What is recorded is how a unit was compiled, not what was kept of it.
grep -q mend-embed <<<"$("$patchc" inspect --json project/main.o)" && fail "the unit's arguments have mend's own options"

# One object out of several, and a guest module.
fresh
(cd project && "$patchc" cc -r first.o second.o -o both.o && rm first.o second.o)
link
rm -r project
build 0
expect_match "units of an object made of several" "in 2 unit\(s\)" "$output"

fresh
printf 'int main(void) { return 0; }\n' >project/main.c
(cd project && "$patchc" cc -O2 main.c -o ../serve && "$patchc" cc -shared first.o second.o -o ../guest.so)
rm -r project
expect_match "inspect of a module" "^guest module of 2 objects; 3 sources embedded" "$("$patchc" inspect guest.so)"
build 0 --base-module guest.so
expect_match "units of a module" "in 2 unit\(s\)" "$output"

# Folders of headers that the environment named when a unit was compiled are in its command, and those
# that it names now are not.
mkdir now
echo 'static inline int scale(int x) { return x * 5; }' >now/common.h
for variable in CPATH C_INCLUDE_PATH; do
  fresh
  cp project/main.c main.c
  sed -i '/include "common.h"/d; s/first(1), second(2)/scale(1), scale(2)/; 1i #include <common.h>' project/main.c
  (cd project && env $variable=nowhere:include "$patchc" cc -O2 main.c -o ../serve)
  sed 's/scale(2)/scale(3)/' project/main.c >main.c
  expect_code 0 env $variable="$work/now" "$patchc" check --base serve main.c
  expect_match "what changed with $variable" 'replaces +main ' "$output"
  sed 's/scale(2)/scale((2))/' project/main.c >main.c
  expect_code 0 env $variable="$work/now" "$patchc" check --base serve main.c
  expect_match "what changed with another $variable" '^no change: 1 unit' "$output"
done
