# Programs that execute themselves anew, for a connection (sshd) or to be reconfigured (haproxy's master):
# the new image has the options of the old one, so that what `--persist` kept is in it before main. Other
# programs are started without.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >serve.c <<'SOURCE'
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

__attribute__((noinline)) int answer(void) { return 1; }

static void again(const char* how, char* name) {
  char* arguments[] = {name, "again", NULL};
  char* own[] = {"KEPT=yes", NULL};
  char* set[] = {"MEND_OPTIONS=--name chosen", NULL};
  if (strcmp(how, "execv") == 0) execv("/proc/self/exe", arguments);
  if (strcmp(how, "execve") == 0) execve(name, arguments, own);
  if (strcmp(how, "execl") == 0) execl(name, name, "again", NULL);
  if (strcmp(how, "execvp") == 0) execvp(name, arguments);
  if (strcmp(how, "in_path") == 0) execlp("serve", "serve", "again", NULL);
  if (strcmp(how, "fexecve") == 0) fexecve(open(name, O_RDONLY | O_CLOEXEC), arguments, environ);
  if (strcmp(how, "execveat") == 0) execveat(AT_FDCWD, name, arguments, environ, 0);
  if (strcmp(how, "chosen") == 0) execve(name, arguments, set);
  if (strcmp(how, "env") == 0) execlp("sh", "sh", "-c", "echo ${MEND_OPTIONS-none}", NULL);
  exit(5);
}

static void run(const char* how, char* name, pid_t child) {
  if (child == 0) again(how, name);
  waitpid(child, NULL, 0);
}

int main(int argc, char** argv) {
  char line[64], how[32] = "";
  setvbuf(stdin, NULL, _IONBF, 0);
  if (getenv("MEND_OPTIONS") != NULL) return 6;
  if (argc > 1) {
    printf("%d%s\n", answer(), getenv("KEPT") == NULL ? "" : " kept");
    fflush(stdout);
    if (getenv("KEPT") != NULL || getppid() == atoi(getenv("SERVER") == NULL ? "0" : getenv("SERVER"))) return 0;
  }
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "exec %31s", how) == 1) again(how, argv[0]);
    if (sscanf(line, "fork %31s", how) == 1) {
      snprintf(line, sizeof line, "%d", (int)getpid());
      setenv("SERVER", line, 1);
      run(how, argv[0], fork());
    }
    if (sscanf(line, "vfork %31s", how) == 1) {
      snprintf(line, sizeof line, "%d", (int)getpid());
      setenv("SERVER", line, 1);
      pid_t child = vfork();
      if (child == 0) again(how, argv[0]);
      waitpid(child, NULL, 0);
    }
    if (strcmp(line, "go\n") == 0) printf("%d\n", answer());
    fflush(stdout);
  }
  return 0;
}
SOURCE
"$patchc" cc -O1 serve.c -o serve
mkdir edited patches && sed 's/return 1;/return 2;/' serve.c >edited/serve.c
export PATH=$work:$PATH

start_server() {
  MEND_OPTIONS="--log $work/events.log --patch-dir $work/patches --name again --socket $work/own.sock" \
    launch ./serve
}
start_server
ask go 1
expect_code 0 "$patchc" apply --persist --name fix edited/serve.c --to "$work/own.sock"
ask go 2

# Children that execute themselves; the server keeps its socket.
for how in execv execl execvp in_path fexecve execveat; do
  ask "fork $how" 2
  ask go 2
done
ask "vfork execv" 2
# execve's environment is of one variable.
say "fork execve"
hear
expect "a child with an environment of its own" "2 kept" "$answer"
say "fork env"
hear
expect "the options as another program sees them" none "$answer"
expect_code 0 "$mend" status "$work/own.sock"

# The server itself, under its own socket.
for how in execv in_path fexecve; do
  ask "exec $how" 2
  ask go 2
  expect_code 0 "$mend" status "$work/own.sock"
  expect_match "the program's name" "again \(pid $hosted_pid," "$output"
  expect_match "the patch" "fix" "$output"
done
# Options that the program sets itself are not touched.
ask "exec chosen" 1
expect_code 0 "$mend" ps
expect_match "the program's name" "^$hosted_pid +chosen " "$output"
finish
