#!/usr/bin/env bash
# Capabilities are a thread's own, which a program of one thread need not know (ProFTPD's mod_cap): the
# runtime's threads follow the program's, and the setuid of libc, which they take part in, has one result.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" -eq 0 ] || { echo "skipped: it takes root to give privileges up"; exit 77; }

cat >"$work/drop.c" <<'C'
#define _GNU_SOURCE
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "thread_status.h"

int capset(cap_user_header_t header, cap_user_data_t data);

static int DifferentCapabilities(void) {
  return DifferentThreads("CapPrm:") + DifferentThreads("CapEff:") + DifferentThreads("CapBnd:");
}

static int SetCapabilities(int by_number) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, by_number ? 0 : getpid()};
  struct __user_cap_data_struct data[2] = {{0}};
  data[0].effective = data[0].permitted = 1 << CAP_SETUID;
  return by_number ? (int)syscall(SYS_capset, &header, data) : capset(&header, data);
}

// 0: all went well, and no thread is different from the others.
static int Drop(int by_number) {
  if (prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0) != 0) return 1;
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return 2;
  if (setresuid(65534, 65534, 65534) != 0) return 3;
  if (SetCapabilities(by_number) != 0) return 4;
  if (DifferentCapabilities() != 0) return 5;
  // Only a thread that has kept the capability can.
  if (setresuid(-1, 0, -1) != 0) return 6;
  if (DifferentThreads("Uid:") != 0) return 7;
  if (setresuid(-1, 65534, -1) != 0) return 8;
  return DifferentCapabilities() != 0 ? 9 : 0;
}

int main(void) {
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    const int by_number = strstr(line, "number") != NULL;
    int answer = 99;
    if (strncmp(line, "drop", 4) == 0) answer = Drop(by_number);
    if (strncmp(line, "child", 5) == 0) {
      const pid_t child = fork();
      if (child == 0) _exit(Drop(by_number));
      int status = 0;
      waitpid(child, &status, 0);
      answer = WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
    }
    printf("%d\n", answer);
    fflush(stdout);
  }
  return 0;
}
C
"$patchc" cc -O2 -I"$source_root/tests/integration" "$work/drop.c" -o "$work/drop"

for before in nobody operator; do
  for how in name number; do
    start "$work/drop"
    await_target
    [ $before = nobody ] || expect_code 0 "$mend" status "$hosted_pid"
    ask "child by $how" 0
    ask "drop by $how" 0
    expect_code 0 "$mend" status "$hosted_pid"  # and they still answer
    finish
  done
done
