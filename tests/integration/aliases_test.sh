#!/usr/bin/env bash
# Functions of several names: constructors and destructors, whose variants share one body where there is no
# virtual base, and aliases in C. All names take a patch at once, and give it back.
. "$(dirname "$0")/lib.sh"
cd "$work"
mkdir edited

cat >shapes.h <<'SOURCE'
struct Counted {
  explicit Counted(int step);
  virtual ~Counted();
  int value;
};
struct Based : virtual Counted {
  explicit Based(int step);
  ~Based() override;
};
extern "C" int first_name(int);
extern "C" int second_name(int);
extern int ended;
SOURCE
cat >shapes.cc <<'SOURCE'
#include "shapes.h"
int ended = 0;
Counted::Counted(int step) : value(step + 1) {}
Counted::~Counted() { ended += 1; }
Based::Based(int step) : Counted(step) { value += 10; }
Based::~Based() { ended += 10; }
extern "C" __attribute__((noinline)) int first_name(int n) { return n > 3 ? first_name(n - 1) : n; }
extern "C" int second_name(int) __attribute__((alias("first_name")));
SOURCE
cat >main.cc <<'SOURCE'
#include <cstdio>
#include "shapes.h"
struct Derived : Counted { Derived() : Counted(5) {} };
int main() {
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    ended = 0;
    int made;
    {
      Derived derived;
      Counted counted(1);
      Based based(1);
      made = derived.value + counted.value * 100 + based.value * 10000;
    }
    Counted* const created = new Based(2);
    delete created;
    printf("%d %d %d %d\n", made, ended, first_name(9), second_name(9));
    fflush(stdout);
  }
}
SOURCE
# 1: every body changes. 2: again, on top of the first or in its place.
sed 's/step + 1/step + 2/; s/ended += 1;/ended += 2;/; s/value += 10/value += 20/; s/ended += 10;/ended += 20;/
  s/n > 3 ? first_name(n - 1) : n/n > 4 ? first_name(n - 1) : n/' shapes.cc >edited/shapes.cc
sed 's/step + 1/step + 3/; s/ended += 1;/ended += 3;/; s/value += 10/value += 30/; s/ended += 10;/ended += 30;/
  s/n > 3 ? first_name(n - 1) : n/n > 5 ? first_name(n - 1) : n/' shapes.cc >edited/again.cc

# 3: what was one function becomes two.
sed 's/int second_name(int) __attribute__.*/int second_name(int n) { return n + 1000; }/
  s/n > 3 ? first_name(n - 1) : n/n > 5 ? first_name(n - 1) : n/' shapes.cc >edited/parted.cc
mkdir again parted
cp edited/again.cc again/shapes.cc
cp edited/parted.cc parted/shapes.cc

for level in 0 2; do
  "$patchc" c++ -O$level main.cc shapes.cc -o "program$level"
  start "./program$level"
  await_target
  ask go "120206 24 3 3"
  expect_code 0 "$patchc" apply --name one --to "$hosted_pid" edited/shapes.cc
  ask go "230307 48 4 4"
  expect_code 0 "$patchc" apply --name two --no-replace --to "$hosted_pid" again/shapes.cc
  ask go "340408 72 5 5"
  expect_code 0 "$mend" disable "$hosted_pid" two
  ask go "230307 48 4 4"
  expect_code 0 "$patchc" apply --name three --to "$hosted_pid" again/shapes.cc
  ask go "340408 72 5 5"
  expect_code 0 "$mend" disable "$hosted_pid" three
  ask go "120206 24 3 3"
  expect_code 3 "$patchc" apply --name parted --to "$hosted_pid" parted/shapes.cc
  expect_match "the refusal" "first_name and second_name of .* are one function in the program, and two in the patch" \
    "$output"
  ask go "120206 24 3 3"
  finish
done
echo "aliases: all names of a function are patched and restored"

# 4: names that assembler outside of functions gives. A change of another function is none of theirs.
cat >named.c <<'SOURCE'
#include <stdio.h>
__attribute__((noinline)) int two(void) { return 2; }
__asm__(".globl also_two\n.set also_two, two");
int also_two(void);
__attribute__((noinline)) int ten(void) { return two() * 10; }
int main(void) {
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    printf("%d %d\n", ten(), also_two());
    fflush(stdout);
  }
}
SOURCE
"$patchc" cc -O2 named.c -o named
start ./named
await_target
ask go "20 2"
sed 's/\* 10/* 11/' named.c >edited/named.c
expect_code 0 "$patchc" apply edited/named.c --to "$hosted_pid"
ask go "22 2"
sed 's/return 2/return 3/' named.c >edited/named.c
expect_code 0 "$patchc" apply edited/named.c --to "$hosted_pid"
ask go "30 3"
expect_code 0 "$mend" disable "$hosted_pid" named
ask go "20 2"

# 5: versions of a module's symbol.
cat >versions.c <<'SOURCE'
__attribute__((noinline)) int first_version(void) { return 1; }
__attribute__((noinline)) int second_version(void) { return 2; }
__asm__(".symver first_version, versioned@V1\n.symver second_version, versioned@@V2");
__attribute__((noinline)) int other(int x) { return x * 3; }
int use(int x) { return other(x) + second_version(); }
SOURCE
echo 'V1 { global: use; versioned; local: *; }; V2 { global: versioned; } V1;' >versions.map
"$patchc" cc -O2 -fPIC -shared -Wl,--version-script=versions.map versions.c -o versions.so
sed 's/x \* 3/x * 4/' versions.c >edited/versions.c
expect_code 0 "$patchc" check --base named --base-module versions=versions.so edited/versions.c
expect_match "another function of the unit" 'replaces +other ' "$output"
sed 's/return 2/return 5/' versions.c >edited/versions.c
expect_code 0 "$patchc" check --base named --base-module versions=versions.so edited/versions.c
expect_match "a version" '2 function\(s\) replaced' "$output"
