# The runtime's descriptors are none of the program's business: a daemon that closes all that it does
# not know stays a target, sees no more of them than natively, and callbacks use the program's.
. "$(dirname "$0")/lib.sh"

cat >"$work/daemon.c" <<'C'
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int report = -1;

static int count(void) {
  int entries = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != NULL) entries++;
  closedir(folder);
  return entries - 3;  // ".", "..", and the folder itself
}

static void close_by(const char* how) {
  if (strcmp(how, "loop") == 0) {
    for (int number = 3; number < 4096; number++) close(number);
  } else if (strcmp(how, "range") == 0) {
    close_range(3, ~0u, 0);
  } else if (strcmp(how, "from") == 0) {
    closefrom(3);
  } else {
    DIR* folder = opendir("/proc/self/fd");
    for (struct dirent* entry; (entry = readdir(folder)) != NULL;) {
      const int number = atoi(entry->d_name);
      if (number > 2 && number != dirfd(folder)) close(number);
    }
    closedir(folder);
  }
}

__attribute__((noinline)) static int answer(void) { return 1; }

int main(int argc, char** argv) {
  char line[64];
  setvbuf(stdout, NULL, _IOLBF, 0);
  close_by(argv[1]);
  report = open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0600);
  printf("%d open, report is %d\n", count(), report);
  for (int number = 512; number < 520; number++) dup2(report, number);
  while (fgets(line, sizeof line, stdin)) printf("%d\n", answer());
}
C
sed 's/return 1;/return 2;/' "$work/daemon.c" >"$work/fixed.c"
(cd "$work" && "$patchc" cc -O2 daemon.c -o daemon && clang-22 -O2 daemon.c -o native)
(cd "$work" && diff -u daemon.c fixed.c >fix.patch) || true

# A callback that writes to a descriptor of the program.
cat >"$work/tell.c" <<'C'
#include <mend/livepatch.h>
#include <unistd.h>
extern int report;
static int pre_patch(struct mend_object* object) {
  (void)object;
  return write(report, "patched\n", 8) == 8 ? 0 : -5;
}
static const struct mend_func none[] = {MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(0, none, pre_patch, 0, 0, 0), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, 0, false};
MEND_LIVEPATCH(patch);
C
expect_code 0 "$patchc" build -o "$work/tell.mendpatch" --explicit "$work/tell.c" -- -Wall

for how in loop range from folder; do
  "$work/native" "$how" "$work/report.native" </dev/null >"$work/native.out"
  start "$work/daemon" "$how" "$work/report.$how"
  hear
  expect "descriptors by $how" "$(cat "$work/native.out")" "$answer"
  ask "" 1
  expect_code 0 "$patchc" apply --diff "$work/fix.patch" --name fix --to "$hosted_pid"
  ask "" 2
  expect_code 0 "$patchc" apply "$work/tell.mendpatch" --to "$hosted_pid"
  expect_code 0 "$mend" revert "$hosted_pid"
  ask "" 2
  # The log went on, though its descriptor was the program's by then; and the program's file has
  # nothing but what the callback wrote.
  expect_match "the log after $how" "livepatch: 'tell': starting patching transition" \
    "$(cat "$work/events.log")"
  expect "the program's file after $how" patched "$(cat "$work/report.$how")"
  kill -TERM "$hosted_pid"
  wait "$hosted_pid" || true
done

# A forked child gets its socket while its program runs, and may put a descriptor where it knows that none is
# (ProFTPD's sessions do so with their connection): it stays there.
cat >"$work/children.c" <<'C'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

// Until the child has its socket: how often the descriptor was gone.
static int Lost(int descriptor, int lowest_free) {
  char path[300];
  int lost = 0;
  snprintf(path, sizeof path, "%s/mend/%d.sock", getenv("XDG_RUNTIME_DIR"), (int)getpid());
  alarm(20);
  while (access(path, F_OK) != 0) {
    dup2(descriptor, lowest_free);
    lost += fcntl(lowest_free, F_GETFD) < 0;
    close(lowest_free);
  }
  return lost < 100 ? lost : 100;
}

int main(void) {
  const int descriptor = open("/dev/null", O_RDWR);
  const int lowest_free = dup(descriptor);
  close(lowest_free);
  int lost = 0;
  for (int i = 0; i < 100; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(Lost(descriptor, lowest_free));
    int status = 0;
    waitpid(child, &status, 0);
    lost += WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
  }
  printf("%d\n", lost);
  return 0;
}
C
"$patchc" cc -O2 "$work/children.c" -o "$work/children"
start "$work/children"
hear
expect "descriptors that children lost" 0 "$answer"

# Patches come and go while a program takes the lowest free number, and puts a descriptor where it knows that none
# is: the number is free each time, and what it put there stays.
cat >"$work/lowest.c" <<'C'
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((noinline)) int answer(void) {
  __asm__ volatile("");
  return 1;
}
static atomic_int stop, answers, taken, lost;

static void* Work(void* descriptor) {
  const int fd = *(int*)descriptor;
  const int lowest_free = dup(fd);
  close(lowest_free);
  while (!stop) {
    const int got = dup(fd);
    taken += got != lowest_free;
    close(got);
    dup2(fd, lowest_free);
    lost += fcntl(lowest_free, F_GETFD) < 0;
    close(lowest_free);
    answers = answer();
  }
  return NULL;
}

int main(void) {
  char line[64];
  pthread_t thread;
  int fd = open("/dev/null", O_RDWR);
  setvbuf(stdout, NULL, _IOLBF, 0);
  pthread_create(&thread, NULL, Work, &fd);
  puts("running");
  while (fgets(line, sizeof line, stdin)) {
    if (line[0] == '?') {
      printf("%d\n", (int)answers);
    } else {
      stop = 1;
      pthread_join(thread, NULL);
      printf("taken %d, lost %d\n", (int)taken, (int)lost);
    }
  }
}
C
sed 's/return 1;/return 2;/' "$work/lowest.c" >"$work/fixed.c"
(cd "$work" && "$patchc" cc -O2 lowest.c -o lowest && diff -u lowest.c fixed.c >lowest.patch) || true
expect_code 0 "$patchc" build -o "$work/lowest.mendpatch" --name lowest --base "$work/lowest" \
  --diff "$work/lowest.patch"
# take_lowest ROUNDS [OPTION...]: of MEND_OPTIONS.
take_lowest() {
  local rounds=$1 round
  start env MEND_OPTIONS="--log $work/events.log ${*:2}" "$work/lowest"
  hear
  for round in $(seq "$rounds"); do
    expect_code 0 "$patchc" apply "$work/lowest.mendpatch" --to "$hosted_pid"
    expect_code 0 "$mend" status "$hosted_pid"
    [ "$round" = "$rounds" ] || expect_code 0 "$mend" revert "$hosted_pid"
  done
  ask "?" 2
  ask "end" "taken 0, lost 0"
  exec 7>&- 8>&-
  wait "$hosted_pid"
}
take_lowest 30
# Nor when the thread that opens the runtime's files comes to run only after it was asked to.
take_lowest 2 --failpoint apart_thread/late

# Lines of the event log go to standard error, not to what has its number instead; unless the program has put that there.
cat >"$work/errors.c" <<'C'
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
__attribute__((noinline)) int version(void) { return 1; }
int main(int argc, char** argv) {
  char line[16];
  if (argc < 3) return 1;
  if (strcmp(argv[1], "freopen") == 0) {
    if (freopen(argv[2], "a", stderr) == NULL) return 1;
  } else {
    int file = -1;
    if (strcmp(argv[1], "open") == 0) close(2);
    file = open(argv[2], O_WRONLY | O_CREAT, 0600);
    if (strcmp(argv[1], "dup2") == 0) dup2(file, 2);
    if (strcmp(argv[1], "open") == 0 && file != 2) return 1;
  }
  while (fgets(line, sizeof line, stdin)) {
    printf("%d\n", version());
    fflush(stdout);
  }
  return 0;
}
C
mkdir "$work/errors"
sed 's/return 1; }/return 2; }/' "$work/errors.c" >"$work/errors/errors.c"
"$patchc" cc -O1 "$work/errors.c" -o "$work/errors_program"
"$patchc" build -o "$work/errors.mendpatch" --base "$work/errors_program" "$work/errors/errors.c" >/dev/null
for how in open dup2 freopen; do
  launch "$work/errors_program" "$how" "$work/errors.$how"
  await_target
  ask go 1
  expect_code 0 "$patchc" apply "$work/errors.mendpatch" --to "$hosted_pid"
  ask go 2
  finish
  expect "the first standard error, $how" "" "$(cat "$work/program.err")"
  lines=$(grep -c '^livepatch: ' "$work/errors.$how" || true)
  if [ "$how" = open ]; then expect "lines in a file of the program's" 0 "$lines"; else [ "$lines" -gt 3 ] || fail "$how: $lines lines"; fi
done
