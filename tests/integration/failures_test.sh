# What goes wrong around a hosted program: clients that are killed in mid-apply, full disks, targets that end
# (and memory_limits_test.sh). The program runs on as before, the error says what failed, and a retry succeeds.
. "$(dirname "$0")/lib.sh"

cat >"$work/serve.c" <<'SOURCE'
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((noinline)) int version(void) { return 1; }

/* Replaced, and left only when a line comes. */
__attribute__((noinline)) void stay(char* line, int size) {
  printf("in %d\n", version());
  fflush(stdout);
  if (fgets(line, size, stdin)) printf("out %d\n", version());
  fflush(stdout);
}

int main(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    if (strcmp(line, "stay\n") == 0) {
      stay(line, sizeof line);
    } else {
      printf("%d\n", version());
      fflush(stdout);
    }
  }
  return 0;
}
SOURCE
mkdir "$work/new" "$work/patches"
sed 's/return 1;/return 2;/; s/"in %d/"In %d/' "$work/serve.c" >"$work/new/serve.c"
"$patchc" cc -O1 "$work/serve.c" -o "$work/serve"
"$patchc" build -o "$work/fix.mendpatch" --name fix --base "$work/serve" "$work/new/serve.c" >/dev/null

# await_status PATTERN: `mend status` comes to say so.
await_status() { await "the status is '$1'" says "$1" "$mend" status "$hosted_pid"; }

expect_code 126 env MEND_OPTIONS="--failpoint nowhere" "$work/serve"
expect_match "no such failpoint" "no failpoint 'nowhere'|test builds only" "$output"

# A standard error that is a full pipe, and that nobody reads: mend's own lines hold nothing up.
python3 - "$work/serve" "$patchc" "$work/fix.mendpatch" "$work/full.sock" <<'SCRIPT' || fail "a full pipe for standard error"
import os, subprocess, sys
serve, patchc, module, socket = sys.argv[1:]
reader, writer = os.pipe()
os.set_blocking(writer, False)
try:
    while True:
        os.write(writer, bytes(4096))
except BlockingIOError:
    os.set_blocking(writer, True)
program = subprocess.Popen([serve], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writer,
                           env=dict(os.environ, MEND_OPTIONS="--socket " + socket))
def ask():
    program.stdin.write(b"go\n")
    program.stdin.flush()
    return program.stdout.readline()
assert ask() == b"1\n"
subprocess.run([patchc, "apply", module, "--to", socket], check=True, timeout=100)
assert ask() == b"2\n"
program.stdin.close()
sys.exit(program.wait())
SCRIPT

start "$work/serve"
await_target
ask go 1

# A client that is killed while its transition waits: the target keeps to the client's time-out.
ask stay "in 1"
"$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --timeout 2 >"$work/killed.log" 2>&1 &
client=$!
await_status "transition: patching 'fix'"
kill -KILL "$client"
wait "$client" 2>/dev/null || true
await_status "last transition: unpatching 'fix', reversed"
ask on "out 1"
goes_in_and_out
# One that is told to end says that the target goes on, and before that what it waits for.
ask stay "in 1"
"$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --timeout 3 >"$work/ended.out" 2>"$work/ended.log" &
client=$!
await "apply says what it waits for" grep "1 thread left; serve ($hosted_pid) is in stay" "$work/ended.log"
kill -TERM "$client"
expect_end "the end of a client that is told to end" 143 "$client"
expect_match "what it leaves" "interrupted; the target goes on" "$(cat "$work/ended.log")"
await_status "last transition: unpatching 'fix', reversed"
ask on "out 1"
goes_in_and_out
# One that is killed while it compiles, at no moment in particular.
for delay in 0.005 0.02 0.05; do
  "$patchc" apply "$work/new/serve.c" --name fix --to "$hosted_pid" --timeout 1 >"$work/killed.log" 2>&1 &
  client=$!
  sleep "$delay"
  kill -KILL "$client" 2>/dev/null || true
  wait "$client" 2>/dev/null || true
  expect_code 0 "$mend" wait "$hosted_pid"
  expect_code 0 "$mend" ls "$hosted_pid" livepatch
  if [ -n "$output" ]; then expect_code 0 "$mend" disable "$hosted_pid" fix; fi
  ask go 1
done
goes_in_and_out

# A full disk, by a limit to the size of files: the error has a reason, an old module stays, nothing is left over.
cat >"$work/full.sh" <<'FULL'
# full.sh KIB COMMAND...: no file of the command's grows beyond that.
trap '' XFSZ
ulimit -f "$1"
shift
exec "$@"
FULL
mkdir "$work/disk"
echo old >"$work/disk/serve.o"
expect_code 1 bash "$work/full.sh" 1 "$patchc" cc -g -c "$work/serve.c" -o "$work/disk/serve.o"
expect_match "the object cannot be written" "cannot write .*serve.o: File too large" "$output"
# As clang does it, so that make does not take an old object for the new one.
[ ! -e "$work/disk/serve.o" ] || fail "the old object is left"
echo old >"$work/disk/fix.mendpatch"
expect_code 1 bash "$work/full.sh" 1 "$patchc" build -o "$work/disk/fix.mendpatch" --base "$work/serve" "$work/new/serve.c"
expect_match "the module cannot be written" "cannot write .*fix.mendpatch: File too large" "$output"
expect "the old module" old "$(cat "$work/disk/fix.mendpatch")"
expect "what is left over" "fix.mendpatch" "$(ls "$work/disk" | tr '\n' ' ' | sed 's/ $//')"
# Devices stay devices, and full ones are told of.
expect_code 0 "$patchc" build -o /dev/null --base "$work/serve" "$work/new/serve.c"
expect_code 1 "$patchc" build -o /dev/full --base "$work/serve" "$work/new/serve.c"
expect_match "a full device" "cannot write /dev/full: No space left on device" "$output"
[ -c /dev/null ] && [ -c /dev/full ] || fail "a device was replaced by a file"
# So it is with what is printed, and a closed standard output is none that anything is written to.
for command in "explain" "explain --json" "inspect $work/serve" "check --base $work/serve $work/new/serve.c" --help; do
  expect_code 1 sh -c '"$@" >/dev/full' sh "$patchc" $command
  expect_match "what '$command' says" "cannot write to standard output: No space left" "$output"
  expect_code 1 sh -c '"$@" >&-' sh "$patchc" $command
done
"$patchc" cc -c "$work/serve.c" -o "$work/closed.o"
mv "$work/closed.o" "$work/open.o"
expect_code 0 sh -c '"$@" <&- >&- 2>&-' sh "$patchc" cc -c "$work/serve.c" -o "$work/closed.o"
cmp "$work/open.o" "$work/closed.o"
rm "$work/open.o" "$work/closed.o"
# A working directory that is gone.
mkdir "$work/removed"
for verb in "check --base $work/serve" "build -o $work/removed.mendpatch --base $work/serve"; do
  expect_code 0 sh -c 'cd "$0" && mkdir here && cd here && rmdir ../here && exec "$@"' "$work/removed" "$patchc" $verb "$work/new/serve.c"
done
rmdir "$work/removed"

# Names that patches, and links, cannot have.
for name in 'a b' .a a/b "$(printf '%0129d' 0)" $'a\nb'; do
  expect_code 2 "$patchc" build -o "$work/named.mendpatch" --name "$name" --base "$work/serve" "$work/new/serve.c"
done
(cd "$work" && diff -u serve.c new/serve.c >'the fix~2 (é).patch') || true
expect_code 0 "$patchc" check --json --base "$work/serve" --diff "$work/the fix~2 (é).patch"
expect_match "the name" '"patch":"the_fix-2_\(__\)"' "$output"
cp "$work/serve.c" "$work/"$'two\nlines.c'
expect_code 1 "$patchc" cc "$work/"$'two\nlines.c' -o "$work/lines"
expect_match "its message" "line break in its name cannot be linked" "$output"

goes_in_and_out
finish

# A log and a patch directory that take nothing.
MEND_OPTIONS="--log /dev/full --patch-dir $work/patches" launch "$work/serve"
await_target
ask go 1
goes_in_and_out
rmdir "$work/patches"
expect_code 3 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --persist
expect_match "what cannot be kept" "applied, but cannot be kept as .*No such file" "$output"
ask go 2
mkdir "$work/patches"
expect_code 0 "$mend" disable "$hosted_pid" fix
expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" --persist
[ -s "$work/patches/fix.mendpatch" ] || fail "the patch was not kept"
expect_code 0 "$mend" disable "$hosted_pid" fix

# A target that ends while a client waits for it.
ask stay "in 1"
"$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid" >"$work/ended.log" 2>&1 &
client=$!
await_status "transition: patching 'fix'"
kill -KILL "$hosted_pid"
expect_end "exit code of the client whose target ended" 6 "$client"
expect_match "its message" "did not answer: it ended meanwhile" "$(cat "$work/ended.log")"
wait "$hosted_pid" 2>/dev/null || true
expect_code 6 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
exec 7>&- 8>&-

# A target that is stopped while so many clients wait that its queue is full: whoever asks is told.
cat >"$work/crowd.c" <<'SOURCE'
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char** argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, argv[1]);
  while (connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr*)&address, sizeof address) == 0) {
  }
  puts("full");
  fflush(stdout);
  pause();
}
SOURCE
"$patchc" cc "$work/crowd.c" -o "$work/crowd"
start "$work/serve"
await_target
kill -STOP "$hosted_pid"
MEND_OPTIONS=--no-socket "$work/crowd" "$XDG_RUNTIME_DIR/mend/$hosted_pid.sock" >"$work/crowd.out" &
started+=("$!")
await "the crowd is there" test -s "$work/crowd.out"
expect "the queue" full "$(cat "$work/crowd.out")"
expect_code 6 "$mend" status "$hosted_pid"
expect_match "its message" "does not take connections" "$output"
expect_code 0 "$mend" ps
kill -CONT "$hosted_pid"
kill -KILL "$hosted_pid"
