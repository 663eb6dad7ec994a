# Processes that confine their own threads (seccomp), as OpenSSH's unprivileged children do: whoever makes
# a system call that the filter does not name is killed. Such a process is patched while it waits and
# while it computes; neither that nor its end makes a call that it would not make natively.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >serve.c <<'SOURCE'
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

__attribute__((noinline)) int answer(void) { return 1; }

#define ALLOW(name) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void apply_filter(struct sock_filter* filter, unsigned short size) {
  struct sock_fprog program = {size, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    exit(3);
}

/* No unlink, no change of the signal mask, and no return from a signal handler but where that is asked for. */
static void confine(int may_return) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, may_return ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS),
      ALLOW(read), ALLOW(write), ALLOW(close), ALLOW(futex), ALLOW(brk), ALLOW(munmap), ALLOW(getpid),
      ALLOW(gettid), ALLOW(nanosleep), ALLOW(clock_nanosleep), ALLOW(rt_sigaction), ALLOW(exit),
      ALLOW(exit_group), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  apply_filter(filter, sizeof filter / sizeof *filter);
}

/* What the program calls natively, and handlers may return. */
static void confine_to_its_own(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)), ALLOW(read), ALLOW(write),
      ALLOW(rt_sigaction), ALLOW(rt_sigreturn), ALLOW(exit_group), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  apply_filter(filter, sizeof filter / sizeof *filter);
}

/* What libc calls for a thread natively, as ntpd's filter allows it. */
static void confine_with_threads(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)), ALLOW(read), ALLOW(write), ALLOW(futex),
      ALLOW(clone), ALLOW(clone3), ALLOW(mmap), ALLOW(munmap), ALLOW(mprotect), ALLOW(madvise), ALLOW(brk), ALLOW(rseq),
      ALLOW(set_robust_list), ALLOW(rt_sigprocmask), ALLOW(rt_sigaction), ALLOW(rt_sigreturn), ALLOW(getrandom),
      ALLOW(getpid), ALLOW(gettid), ALLOW(exit), ALLOW(exit_group),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  apply_filter(filter, sizeof filter / sizeof *filter);
}

static void say(int value) {
  char line[16];
  int size = snprintf(line, sizeof line, "%d\n", value);
  if (write(1, line, size) != size) exit(3);
}

/* A second or two of calls, without a loop that polls. */
__attribute__((noinline)) unsigned compute(unsigned n) { return n < 2 ? n : compute(n - 1) + compute(n - 2); }

/* The same with one. */
__attribute__((noinline)) int spin(void) {
  for (volatile unsigned i = 0; i < 1000000000u; ++i) continue;
  return 1;
}

static void on_signal(int number) { (void)number; }

static void serve(void) {
  char line[8];
  struct sigaction action = {.sa_handler = on_signal}, before;
  if (sigaction(SIGUSR1, &action, NULL) != 0 || signal(SIGUSR1, SIG_IGN) != on_signal) exit(3);
  if (sigaction(SIGUSR1, NULL, &before) != 0 || before.sa_handler != SIG_IGN) exit(3);
  while (read(0, line, 3) == 3 && memcmp(line, "en", 2) != 0) {
    if (memcmp(line, "on", 2) == 0) say(compute(43) != 0);
    if (memcmp(line, "sp", 2) == 0) say(spin());
    if (memcmp(line, "go", 2) == 0) say(answer());
  }
}

static void* serve_in_thread(void* unused) {
  serve();
  return unused;
}

/* One thread after the other, each with a stack of another size, serves up to a line "end". */
static int serve_in_threads(void) {
  confine_with_threads();
  for (size_t size = 0; size < 4; ++size) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    if (size > 0) pthread_attr_setstacksize(&attributes, size * 100000);
    if (pthread_create(&thread, size > 0 ? &attributes : NULL, serve_in_thread, NULL) != 0) return 5;
    pthread_join(thread, NULL);
  }
  return 7;
}

/* Children that end at about the moment when their socket is made, 20 ms after the fork. */
static int end_early(void) {
  int status, failed = 0;
  for (int i = 0; i < 200; ++i) {
    pid_t child = fork();
    if (child == 0) {
      confine(0);
      struct timespec pause = {0, 15000000 + i * 50000};
      nanosleep(&pause, NULL);
      exit(7);
    }
    if (child < 0) return 4;
    if (i % 10 == 9)
      for (int left = 10; left > 0; --left) failed += wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 7;
  }
  return failed == 0 ? 7 : 8;
}

/* As OpenSSH's unprivileged child: there are descriptors for a part of what the runtime opens. */
static int end_limited(void) {
  int status;
  for (rlim_t descriptors = 0; descriptors < 8; ++descriptors) {
    pid_t child = fork();
    if (child == 0) {
      struct rlimit few = {descriptors, descriptors}, none = {0, 0};
      if (setrlimit(RLIMIT_NOFILE, &few) != 0 || setrlimit(RLIMIT_NPROC, &none) != 0) exit(3);
      confine(0);
      exit(7);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) return 4;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) return 20 + descriptors;
  }
  return 7;
}

/* The default of many filters is to kill the thread, and so the process that has one. */
static int make_forbidden_call(int by_prctl) {
  struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                 ALLOW(write), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL)};
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 3;
  if (by_prctl ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0
               : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
    return 3;
  syscall(SYS_getppid);
  return 4;
}

/* The process that is confined; its end is told. */
int main(int argc, char** argv) {
  if (argc > 1 && strncmp(argv[1], "forbidden", 9) == 0) return make_forbidden_call(strcmp(argv[1] + 9, "-prctl") == 0);
  if (argc > 1 && strcmp(argv[1], "early") == 0) return end_early();
  if (argc > 1 && strcmp(argv[1], "limited") == 0) return end_limited();
  if (argc > 1 && strcmp(argv[1], "threads") == 0) return serve_in_threads();
  if (argc > 1 && strcmp(argv[1], "own") == 0) {
    confine_to_its_own();
    serve();
    _exit(7);
  }
  if (argc > 1) {
    confine(strcmp(argv[1], "signals") == 0);
    serve();
    return 7;
  }
  pid_t child = fork();
  if (child == 0) {
    char line[8];
    if (read(0, line, 3) != 3) return 3; /* the test has seen its socket */
    confine(0);
    say(0);
    serve();
    exit(7);
  }
  int status;
  say(child);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 100 + WTERMSIG(status) : WEXITSTATUS(status);
}
SOURCE
"$patchc" cc -O1 serve.c -o serve
mkdir edited && sed 's/return 1;/return 2;/' serve.c >edited/serve.c
"$patchc" build --base serve edited/serve.c --name fix -o fix.mendpatch >/dev/null

# patch_computing ARGUMENT: the program confines itself, and is patched while it waits and computes.
patch_computing() {
  start ./serve "$1"
  await_target
  ask go 1
  goes_in_and_out
  say on
  await_running
  expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
  hear
  ask go 2
  finish 7
  expect "the socket of the confined program" "" "$(ls "$XDG_RUNTIME_DIR/mend")"
}
patch_computing plain
expect_match "how it switched when it may not be signalled" "switched +1 (poll|blocked)" "$output"
patch_computing signals
expect_match "how it switched when it may be" "switched +1 signal" "$output"

# One that may make no call but its own, when an operator calls first, and for many patches. (It leaves its socket.)
for turn in 1 2 3; do
  start ./serve own
  await_target
  say sp
  sleep 0.1
  for patched in $(seq 10); do
    expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
    expect_code 0 "$mend" disable "$hosted_pid" fix
  done
  hear
  for patched in $(seq 10); do
    say go
    expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
    hear
    ask go 2
    expect_code 0 "$mend" disable "$hosted_pid" fix
    ask go 1
  done
  finish 7
  rm "$XDG_RUNTIME_DIR/mend/$hosted_pid.sock"
done

# Threads that a confined process makes: to begin they make no call that it does not allow.
start ./serve threads
await_target
for stack in default 100000 200000 300000; do
  ask go 1
  say on
  sleep 0.1
  expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
  hear
  ask go 2
  expect_code 0 "$mend" disable "$hosted_pid" fix
  ask go 1
  say en
done
finish 7

# A child: as it is forked, its socket is made.
start ./serve
parent=$hosted_pid
hear
hosted_pid=$answer
started+=("$hosted_pid")
await_target
ask on 0
ask go 1
goes_in_and_out
hosted_pid=$parent
finish 7
expect "the socket of the confined child" "" "$(ls "$XDG_RUNTIME_DIR/mend")"

expect_code 7 ./serve early
expect_code 7 ./serve limited
expect_code 159 timeout -s KILL 60 ./serve forbidden
expect_code 159 timeout -s KILL 60 ./serve forbidden-prctl
