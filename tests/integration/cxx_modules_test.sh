# C++20 modules: such a program is hosted; its implementation units take patches; an edit of what an
# interface was compiled from is refused, since units have that without including it.
. "$(dirname "$0")/lib.sh"
cd "$work"
mkdir edited

cat >counter.cppm <<'SOURCE'
module;
#include "step.h"
export module counter;
static int calls = 0;
export template <class T> T Twice(T x) { return x + x; }
export int Count(int x) { return ++calls * STEP + x * 0; }
export int More(int x);
SOURCE
echo '#define STEP 1' >step.h
cat >more.cc <<'SOURCE'
module counter;
static int extra = 5;
int More(int x) { return x + extra++; }
SOURCE
cat >main.cc <<'SOURCE'
#include <cstdio>
import counter;
__attribute__((noinline)) int Answer(int x) { return Twice(x) + More(x); }
int main() {
  for (int x; std::scanf("%d", &x) == 1;) {
    std::printf("%d %d\n", Answer(x), Count(x));
    std::fflush(stdout);
  }
  return 0;
}
SOURCE
sed 's/extra++/100 + extra/' more.cc >edited/more.cc
sed 's/return x + x/return x * 3/' counter.cppm >edited/counter.cppm
echo '#define STEP 10' >edited/step.h

# refused PATTERN FILE: an edit is refused as one of a module's interface.
refused() {
  expect_code 3 "$patchc" check --base program "$2"
  expect_match "an edit of $2" "MEND-E0011: $1" "$output"
  expect_match "the way out" "way out: .*implementation unit" "$output"
}

# The interface beside the object, then one that is compiled by itself; with debug information, for
# which Clang reads sources that it does not need otherwise.
for flags in one-step "one-step -g" two-step "two-step -g"; do
  options="-std=c++20 -O2 ${flags#*-step}"
  if [[ $flags == one-step* ]]; then
    "$patchc" c++ $options -c counter.cppm -fmodule-output=counter.pcm -o counter.o
    import=-fprebuilt-module-path=.
  else
    "$patchc" c++ $options --precompile counter.cppm -o counter.pcm
    "$patchc" c++ $options -c counter.pcm -o counter.o
    import=-fmodule-file=counter=counter.pcm
  fi
  "$patchc" c++ $options "$import" -c main.cc more.cc
  "$patchc" c++ main.o more.o counter.o -o program
  start ./program
  await_target
  ask 2 "11 1"
  ask 2 "12 2"
  expect_code 0 "$patchc" apply edited/more.cc --to "$hosted_pid" --name fix
  ask 2 "113 3"
  expect_code 0 "$mend" disable "$hosted_pid" fix
  ask 2 "13 4"
  kill -KILL "$hosted_pid"

  cp counter.pcm kept.pcm
  touch -r counter.pcm kept.pcm
  refused '(main|more).cc imports a module that was compiled from .*/counter.cppm' edited/counter.cppm
  refused '(main|more).cc imports a module that was compiled from .*/step.h' edited/step.h
  cmp counter.pcm kept.pcm
  [ ! counter.pcm -nt kept.pcm ] || fail "patchc check has written an interface"

  # One that was made anew, of an edited source, is not the program's.
  cp counter.cppm original.cppm
  cp edited/counter.cppm counter.cppm
  "$patchc" c++ $options --precompile counter.cppm -o counter.pcm
  cp original.cppm counter.cppm
  refused "more.cc was compiled with another interface of module 'counter'" edited/more.cc
done
