#!/bin/sh
# check_rules.sh itself: a tree in which all is right passes, and each planted gap is named.
set -eu
check=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Anew: two rules with tests in code, one with a variant, one with a reason.
plant() {
  rm -rf "$work/tree"
  mkdir -p "$work/tree/tests/conformance" "$work/tree/docs"
  printf '# numbers\nR1 one\nR10 two\nB1b three\nV7 four\n' > "$work/tree/tests/conformance/rules.txt"
  printf 'TEST_F(SomeTest, R1_R10_WhatItShows) {\n' > "$work/tree/tests/some_test.cc"
  printf '# Rule B1b: it is late.\nvariant()\n' > "$work/tree/tests/variants.cmake"
  printf '### Without a counterpart\n| | why |\n|---|---|\n| V7 | it is history |\n## Next\n| R1 | no row |\n' \
    > "$work/tree/docs/consistency_model.md"
}
plant
sh "$check" "$work/tree" || { echo 'a tree without gaps was refused'; exit 1; }

# expect WORDS: the check fails, with these.
expect() {
  if out=$(sh "$check" "$work/tree"); then
    echo "not found: $1"
    exit 1
  fi
  case $out in
    *"$1"*) ;;
    *) echo "'$1' is not said: $out"; exit 1 ;;
  esac
  plant
}

echo 'R2 five' >> "$work/tree/tests/conformance/rules.txt"
expect 'rule R2: has neither'
echo 'R1 again' >> "$work/tree/tests/conformance/rules.txt"
expect 'rule R1: is twice'
echo 'TEST(SomeTest, R11_Slip) {' >> "$work/tree/tests/some_test.cc"
expect 'rule R11: is carried by a test'
echo 'TEST(SomeTest, V7_After) {' >> "$work/tree/tests/some_test.cc"
expect 'rule V7: has a test, and a reason'
sed -i 's/it is history//' "$work/tree/docs/consistency_model.md"
expect 'rule V7: has neither'
sed -i 's/R1_R10_WhatItShows/R1_WhatItShows/' "$work/tree/tests/some_test.cc"
expect 'rule R10: has neither'
: > "$work/tree/tests/variants.cmake"
expect 'rule B1b: has neither'
: > "$work/tree/tests/conformance/rules.txt"
expect 'has no numbers'
