#!/usr/bin/env bash
# Servers that confine themselves before anybody has called them, as Dovecot's login processes do: by another
# root, in which there is nothing of mend's, and by a limit to the user's threads. They are operated as others.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" -eq 0 ] || { echo "skipped: it takes root to change the root"; exit 77; }

cat >"$work/serve.c" <<'SOURCE'
#define _GNU_SOURCE
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

__attribute__((noinline)) int version(void) { return 1; }

int main(int argc, char **argv) {
  for (int i = 1; i < argc; ++i) {
    const struct rlimit one = {1, 1};
    if (argv[i][0] == '/' && (chdir(argv[i]) != 0 || chroot(".") != 0)) return 4;
    if (strcmp(argv[i], "limit") == 0 && setrlimit(RLIMIT_NPROC, &one) != 0) return 5;
  }
  if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0) return 6;
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    printf("%d\n", version());
    fflush(stdout);
  }
  return 0;
}
SOURCE
mkdir "$work/new" "$work/empty"
chmod 755 "$work" "$work/empty"
sed 's/return 1;/return 2;/' "$work/serve.c" >"$work/new/serve.c"
"$patchc" cc -O1 "$work/serve.c" -o "$work/serve"
"$patchc" build -o "$work/fix.mendpatch" --name fix --base "$work/serve" "$work/new/serve.c" >/dev/null

for confinement in "$work/empty" limit "$work/empty limit"; do
  # shellcheck disable=SC2086  # words
  start "$work/serve" $confinement
  ask go 1
  await_target
  expect_code 0 "$patchc" apply "$work/fix.mendpatch" --to "$hosted_pid"
  ask go 2
  expect_code 0 "$mend" status "$hosted_pid"
  expect_code 0 "$mend" disable "$hosted_pid" fix
  ask go 1
  finish
done
