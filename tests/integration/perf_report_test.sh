# perf record and report name hosted functions, versions apart (mend run --perf).
. "$(dirname "$0")/lib.sh"

skip() { echo "skipped: $*"; exit 77; }
command -v perf >/dev/null || skip "perf is not installed"
perf record -q -o "$work/probe.data" true >"$work/probe.txt" 2>&1 ||
  skip "perf cannot record here: $(tail -n 1 "$work/probe.txt")"

cat >"$work/hot.c" <<'C'
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
__attribute__((noinline)) long spin(long n) {
  volatile long sum = 0;
  for (long i = 0; i < n; i++) sum += i;
  return sum;
}
int main(void) {
  char text[64];
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("%d\n", getpid());
  while (fgets(text, sizeof text, stdin)) {
    double end = now() + 0.5;
    long last = 0;
    while (now() < end) last = spin(10000);
    printf("%ld\n", last);
  }
}
C
sed 's/sum += i;/sum += i + 1;/' "$work/hot.c" >"$work/hotter.c"
(cd "$work" && "$patchc" cc -O2 hot.c -o hot && { diff -u hot.c hotter.c >fix.patch || true; })

start perf record -q -F 500 -o "$work/perf.data" "$mend" run --perf --log "$work/hot.log" "$work/hot"
# The program is perf's child.
hear
pid=$answer
remove_map() {
  local code=$?
  rm -f "/tmp/perf-$pid.map"
  return "$code"
}
trap 'remove_map; on_exit' EXIT
ask a 49995000
expect_code 0 "$patchc" apply --diff "$work/fix.patch" --name fix --to "$pid"
ask b 50005000
finish
report=$(perf report -i "$work/perf.data" --stdio -F sample,symbol 2>/dev/null)
# Half a second each at 500 samples a second; a tenth of them shows that both have their names.
for name in spin spin@fix; do
  samples=$(awk -v name="$name" '$3 == name { print $1 }' <<<"$report")
  [ "${samples:-0}" -ge 25 ] || fail "only '${samples:-0}' samples of $name in: $report"
done
echo ok
