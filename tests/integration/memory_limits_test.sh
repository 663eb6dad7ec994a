# Limits to memory (RLIMIT_AS), of the compiler and of a target: what needs more is refused or fails, and the
# program runs on as before.
. "$(dirname "$0")/lib.sh"

if [ -e "$build/lib/libmend-asan.so" ]; then
  echo "AddressSanitizer itself does not run with a limit to addresses"
  exit 77
fi

cat >"$work/serve.c" <<'SOURCE'
#include <stdio.h>

__attribute__((noinline)) int version(void) { return 1; }

int main(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    printf("%d\n", version());
    fflush(stdout);
  }
  return 0;
}
SOURCE
mkdir "$work/new"
sed 's/return 1;/return 2;/' "$work/serve.c" >"$work/new/serve.c"
"$patchc" cc -O1 "$work/serve.c" -o "$work/serve"
"$patchc" build -o "$work/fix.mendpatch" --name fix --base "$work/serve" "$work/new/serve.c" >/dev/null

start "$work/serve"
await_target
ask go 1

# No memory for the compiler: it fails, whatever it says, and the target is as before.
for limit in 200000 400000 600000; do
  code=0
  (ulimit -v "$limit" && exec "$patchc" apply "$work/new/serve.c" --name fix --to "$hosted_pid") \
    >"$work/memory.log" 2>&1 || code=$?
  if [ "$code" -eq 0 ]; then expect_code 0 "$mend" disable "$hosted_pid" fix; fi
  expect_code 0 "$mend" wait "$hosted_pid"
  ask go 1
done

# A target that may not map what a link takes: refused, and alive.
mapped=$(awk '/^VmSize/ { print $2 }' "/proc/$hosted_pid/status")
prlimit --pid "$hosted_pid" --as="$(((mapped + 64 * 1024) * 1024)):unlimited"
expect_code 3 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
expect_match "not enough addresses" "ENOMEM: .*RLIMIT_AS" "$output"
ask go 1
prlimit --pid "$hosted_pid" --as=unlimited:unlimited
goes_in_and_out
finish

# Whether so many MiB can be mapped.
cat >"$work/fits.h" <<'SOURCE'
#include <stddef.h>
#include <sys/mman.h>

static int fits(size_t mib) {
  void *p = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p != MAP_FAILED && munmap(p, mib << 20) == 0;
}
SOURCE

# A limit that is there at the start. Where the process may raise it (root, or the soft limit alone) the program has
# what it would have natively; where not, hosted memory is smaller, and patches still go in.
cat >"$work/inherited.c" <<'SOURCE'
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fits.h"

__attribute__((noinline)) int version(void) { return 1; }

int main(void) {
  char line[64];
  struct rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  const long soft = (long)(limit.rlim_cur >> 20);
  printf("%ld %d %d\n", soft, fits((size_t)soft - 40), fits((size_t)soft + 40));
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    printf("%d\n", version());
    fflush(stdout);
  }
  return 0;
}
SOURCE
sed 's/return 1;/return 2;/' "$work/inherited.c" >"$work/new/inherited.c"
"$patchc" cc -O1 "$work/inherited.c" -o "$work/inherited"
clang-22 -O1 "$work/inherited.c" -o "$work/native"
# takes_patches_below LIMIT MAPPED COMMAND...: the latter is what to start it by, MAPPED its first line, any if empty.
takes_patches_below() {
  local limit=$1 mapped=$2
  shift 2
  start bash -c "ulimit $limit"' && exec "$@"' bash "$@" "$work/inherited"
  hear
  [ -z "$mapped" ] || expect "what may be mapped" "$mapped" "$answer"
  await_target
  ask go 1
  expect_code 0 "$patchc" apply "$work/new/inherited.c" --name fix --to "$hosted_pid"
  ask go 2
  expect_code 0 "$mend" disable "$hosted_pid" fix
  ask go 1
  finish
}
for limit in 400 1000 2000 3000; do
  natively=$(ulimit -Sv "$((limit * 1024))" && "$work/native" </dev/null)
  takes_patches_below "-Sv $((limit * 1024))" "$natively"
done
# No process of these may raise a hard limit.
if command -v setpriv >/dev/null && [ "$(id -u)" = 0 ]; then
  for limit in 1000 2000 3000; do
    takes_patches_below "-v $((limit * 1024))" "" setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource
  done
  # It runs with less.
  expect "with 150 MB" "150" "$(ulimit -v $((150 * 1024)) && setpriv --bounding-set=-sys_resource \
    --inh-caps=-sys_resource "$work/inherited" </dev/null | cut -d ' ' -f 1)"
fi

# A program that limits itself, as servers do, means what it takes itself; so does a hosted one that it executes then:
# itself, another one, and one that is a script's interpreter.
cat >"$work/limited.c" <<'SOURCE'
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

__attribute__((noinline)) int version(void) { return 1; }

int main(int argc, char **argv) {
  (void)argc;
#ifdef DATA
  const struct rlimit limit = {8 << 20, 8 << 20};
  if (setrlimit(RLIMIT_DATA, &limit) != 0) return 8;
#else
  const struct rlimit limit = {512 << 20, 512 << 20};
  if (setrlimit(RLIMIT_AS, &limit) != 0) return 8;
#endif
  char line[64];
  const char *file = getenv("EXECUTES");
  if (file != NULL) {
    unsetenv("EXECUTES");
    execl(file, argv[0], NULL);
    return 9;
  }
  while (fgets(line, sizeof line, stdin)) {
    printf("%d\n", version());
    fflush(stdout);
  }
  return 0;
}
SOURCE
sed 's/return 1;/return 2;/' "$work/limited.c" >"$work/new/limited.c"
"$patchc" cc -O1 "$work/limited.c" -o "$work/limited"
"$patchc" cc -O1 -DDATA "$work/limited.c" -o "$work/limited_data"
cp "$work/limited" "$work/other"
echo "#! $work/other" >"$work/script"
chmod +x "$work/script"
for file in "" /proc/self/exe "$work/other" "$work/script" data data:/proc/self/exe; do
  program=limited
  case $file in data*) program=limited_data file=${file#data} file=${file#:} ;; esac
  start env ${file:+EXECUTES="$file"} "$work/$program"
  await_target
  ask go 1
  expect_code 0 "$patchc" apply "$work/new/limited.c" --name fix --to "$hosted_pid"
  ask go 2
  expect_code 0 "$mend" disable "$hosted_pid" fix
  ask go 1
  finish
done

# A forked child that does so, in which the runtime has its threads yet to start: what the program may still map is
# not used up by these, nor by whoever operates it.
cat >"$work/forked.c" <<'SOURCE'
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fits.h"

__attribute__((noinline)) int version(void) { return 1; }

int main(void) {
#ifdef DATA
  const struct rlimit limit = {8 << 20, 8 << 20};
#else
  const struct rlimit limit = {200 << 20, 200 << 20};
#endif
  char line[64];
  int status;
  pid_t child = fork();
  if (child > 0) return waitpid(child, &status, 0) != child || status != 0;
  printf("%d\n", (int)getpid());
  fflush(stdout);
#ifdef DATA
  if (setrlimit(RLIMIT_DATA, &limit) != 0) return 8;
#else
  if (setrlimit(RLIMIT_AS, &limit) != 0) return 8;
#endif
  while (fgets(line, sizeof line, stdin)) {
    printf(fits(limit.rlim_cur / 4 * 3 >> 20) ? "%d\n" : "%d, and no room\n", version());
    fflush(stdout);
  }
  return 0;
}
SOURCE
sed 's/return 1;/return 2;/' "$work/forked.c" >"$work/new/forked.c"
for limited in "" -DDATA; do
  "$patchc" cc -O1 $limited "$work/forked.c" -o "$work/forked"
  start "$work/forked"
  parent=$hosted_pid
  hear
  hosted_pid=$answer
  await_target
  for turn in 1 2 3; do
    expect_code 0 "$mend" ps
    ask go 1
    expect_code 0 "$patchc" apply "$work/new/forked.c" --name fix --to "$hosted_pid"
    ask go 2
    expect_code 0 "$mend" disable "$hosted_pid" fix
    ask go 1
  done
  hosted_pid=$parent
  finish
done
