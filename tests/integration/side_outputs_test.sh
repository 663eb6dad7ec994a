# A patch is compiled beside the build, and leaves what that has written as it is: split debug
# information, notes of coverage, remarks, dependencies. Options that print or trace do no harm.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >unit.c <<'SOURCE'
#include <stdio.h>
__attribute__((noinline)) int step(int x) { return x + 1; }
int main(int argc, char **argv) { return printf("%d\n", step(argc)) - 2; }
SOURCE
mkdir edited
sed 's/x + 1/x + 2/' unit.c >edited/unit.c

# compiled OUTPUT OPTION...: the unit's own compilation writes OUTPUT, a patch's does not.
compiled() {
  local output_file=$1 wrote=0
  shift
  rm -rf build
  mkdir build
  cd build
  expect_code 0 "$patchc" cc -O2 -g "$@" -c ../unit.c -o unit.o
  [ -z "$output_file" ] || [ -s "$output_file" ] || fail "with $*: no $output_file in $(ls)"
  expect_code 0 "$patchc" cc --coverage unit.o -o program
  expect_code 0 ./program
  # Any write would be a later one.
  touch -d '1 hour ago' ./*
  expect_code 0 "$patchc" check --base program ../edited/unit.c
  expect_match "with $*" 'replaces +step ' "$output"
  wrote=$(find . -type f -newermt '30 minutes ago')
  expect "what a patch with $* writes" "" "$wrote"
  cd ..
}
compiled unit.su -fstack-usage
compiled unit.gcno -ftest-coverage
compiled unit.gcno --coverage
compiled unit.dwo -gsplit-dwarf
compiled unit.opt.yaml -fsave-optimization-record
compiled remarks.yaml -foptimization-record-file=remarks.yaml
compiled messages.dia --serialize-diagnostics messages.dia
compiled unit.stats -save-stats
compiled unit.d -MMD
compiled entry.json -MJ entry.json
compiled "" -fdiagnostics-format=sarif
compiled "" -ftime-report
expect_code 0 "$patchc" cc -ftime-trace -c unit.c
expect_match "a trace" "-ftime-trace is dropped: it is Clang's own command" "$output"

# Clang's modules of headers are not made, so that none is of an edited header.
echo 'module scaling { header "scaling.h" }' >module.modulemap
echo 'static inline int scaled(int x) { return x * 3; }' >scaling.h
sed 's/x + 1/scaled(x)/; s/- 2/- 4/; 1i #include "scaling.h"' unit.c >scaled.c
sed 's/x \* 3/x * 4/' scaling.h >edited/scaling.h
modular=(-fmodules -fmodules-cache-path=cache)
expect_code 0 "$patchc" cc -O2 "${modular[@]}" scaled.c -o scaled
expect "what the program prints" 3 "$(./scaled)"
expect_code 0 "$patchc" check --base scaled edited/scaling.h
expect_match "a header's edit" 'replaces +step +inlines scaled' "$output"
expect_code 0 "$patchc" cc -O2 "${modular[@]}" scaled.c -o again
expect "what it prints when it is built again" 3 "$(./again)"
