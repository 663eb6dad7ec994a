# A build in a folder of symbolic links to the sources (exim's, lndir): a diff names the sources, units were
# compiled from the links, some headers are read under both names. An edit reaches all of them.
. "$(dirname "$0")/lib.sh"
cd "$work"
mkdir -p tree/src tree/build

echo '#define STEP 1' >tree/src/step.h
echo 'ITEM(1)' >tree/src/items.h
cat >tree/src/by_link.c <<'SOURCE'
#include "step.h"
int by_link(int x) { return x + STEP; }
SOURCE
cat >tree/src/by_name.c <<'SOURCE'
#include "../src/step.h"
int by_name(int x) { return x + STEP; }
SOURCE
# Read twice in one unit, under either name.
cat >tree/src/by_both.c <<'SOURCE'
#define ITEM(n) + n
int by_both(int x) {
  return x
#include "items.h"
#include "../src/items.h"
      ;
}
SOURCE
cat >tree/src/main.c <<'SOURCE'
#include <stdio.h>
int by_link(int);
int by_name(int);
int by_both(int);
int main(void) {
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    printf("%d %d %d\n", by_link(0), by_name(0), by_both(0));
    fflush(stdout);
  }
}
SOURCE
for source in tree/src/*; do ln -s "../src/$(basename "$source")" tree/build/; done
(cd tree/build && "$patchc" cc -O2 main.c by_link.c by_name.c by_both.c -o serve)
cp tree/build/serve serve

# edit FILE SED-COMMAND: makes FILE.diff, of paths as in the tree.
edit() {
  mkdir -p edited/src
  sed "$2" "tree/src/$1" >"edited/src/$1"
  diff -u --label "a/src/$1" --label "b/src/$1" "tree/src/$1" "edited/src/$1" >"$1.diff" || true
}
edit by_link.c 's/x + STEP/x + STEP + 10/'
edit step.h 's/STEP 1/STEP 2/'
edit items.h 's/(1)/(100)/'

start ./serve
ask go "1 1 2"
expect_code 0 "$patchc" apply --diff by_link.c.diff --to "$hosted_pid"
ask go "11 1 2"
expect_code 0 "$patchc" apply --diff by_link.c.diff --source tree --name in_tree --to "$hosted_pid"
ask go "11 1 2"
expect_code 0 "$patchc" apply tree/../edited/src/by_link.c --name edited_copy --to "$hosted_pid"
ask go "11 1 2"
# With the tree there, and with what the program carries.
for round in 1 2; do
  expect_code 0 "$patchc" apply --diff step.h.diff --name "step-$round" --to "$hosted_pid"
  ask go "2 2 2"
  expect_code 0 "$patchc" apply --diff items.h.diff --name "items-$round" --to "$hosted_pid"
  ask go "1 1 200"
  rm -rf tree
done
finish
