# -fmend-loops: a loop that runs as long as the program does takes patches on its next turn, and goes
# back on another, with the variables that live across turns where they were. What a running loop
# cannot take is said, and changes nothing. And a program means the same with the flag as without.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh" "$1"
cd "$work"

cat >server.c <<'END'
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
struct tally { int turns; long sum; };
int main(int argc, char **argv) {
  struct tally tally = {0, 0};
  char line[64];
  int scale = argc;
  (void)argv;
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct pollfd ready = {0, POLLIN, 0};
    if (poll(&ready, 1, -1) < 0) continue;
    const ssize_t size = read(0, line, sizeof line - 1);
    if (size <= 0) exit(0);
    line[size] = 0;
    tally.turns += 1;
    tally.sum += atoi(line) * scale;
    printf("%d %ld\n", tally.turns, tally.sum);
    fflush(stdout);
  }
}
END
cat >server.cc <<'END'
#include <sys/epoll.h>
#include <unistd.h>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>
class Server {
 public:
  long run();
 private:
  bool running_ = true;
  int queue_ = epoll_create1(0);
};
long Server::run() {
  std::vector<std::string> seen;
  long sum = 0;
  epoll_event wanted = {EPOLLIN, {}};
  epoll_ctl(queue_, EPOLL_CTL_ADD, 0, &wanted);
  while (running_) {
    epoll_event events[4];
    if (epoll_wait(queue_, events, 4, -1) < 1) continue;
    std::string text(64, ' ');
    const ssize_t size = read(0, text.data(), text.size());
    if (size <= 0) break;
    try {
      text.resize(size - 1);
      sum += std::stol(text);
    } catch (const std::invalid_argument&) {
      if (text == "stop") running_ = false;
    }
    seen.push_back(text);
    std::cout << seen.size() << " " << sum << std::endl;
  }
  return sum;
}
int main() {
  std::cout << "ready" << std::endl;
  Server server;
  return server.run() % 100;
}
END
# edited NAME FROM TO: $work/NAME/server.c* with FROM (for sed) replaced, where it occurs.
edited() {
  mkdir -p "$1"
  for source in server.c server.cc; do sed "s|$2|$3|" "$source" >"$1/$source"; done
}
edited body 'tally.sum += atoi\(.*\);' 'if (scale < 9) tally.sum += 100 + atoi\1;'
sed -i 's|sum += std::stol(text);|const std::string more = text + "0"; sum += std::stol(more) + seen.size();|' body/server.cc
edited variables 'char line.64.;' 'char line[64]; long errors = 0;'
sed -i 's|tally.turns += 1;|tally.turns += 2 + errors++;|' variables/server.c
sed -i -e 's|long sum = 0;|long sum = 0, errors = 0;|' -e 's|<< sum|<< sum + ++errors|' variables/server.cc

# take_turn LINE WANTED: the transition that has begun ends with this turn, which is an old one.
take_turn() {
  ask "$1" "$2"
  expect_code 0 "$mend" wait "$hosted_pid" --timeout 20
}

# The loop sleeps in its own body: a transition waits for the end of that turn and for no other.
patches_the_loop() {
  local source=$1 zero=$2
  hear
  ask 5 "1 5"
  await_sleep
  expect_code 5 "$patchc" apply "body/$source" --to "$hosted_pid" --name body --no-wait
  expect_match "the report" 'loop\.0\.' "$output"
  grep -q warning <<<"$output" && fail "a warning of what works: $output"
  take_turn 5 "2 10"
  ask 7 "3 $3"
  ask 1 "4 $4"
  await_sleep
  expect_code 5 "$mend" disable "$hosted_pid" body --no-wait
  take_turn 0 "5 $5"
  ask 3 "6 $(($5 + 3))"

  # The next patch of the same loop, and an answer to what no turn can take.
  await_sleep
  expect_code 5 "$patchc" apply "body/$source" --to "$hosted_pid" --name again --no-wait
  take_turn 1 "7 $(($5 + 4))"
  expect_code 0 "$patchc" check --base "$hosted_pid" "variables/$source"
  expect_match "the warning" "changes which variables its loop works on" "$output"
  expect_code 4 "$patchc" apply "variables/$source" --to "$hosted_pid" --timeout 0.3
  ask 0 "8 $(($5 + 4 + zero))"
}

for level in -O0 -O2; do
  "$patchc" cc "$level" -fmend-loops server.c -o "server$level"
  expect_match "how it was compiled" '-fmend-loops' "$("$patchc" inspect --json "server$level")"
  start "./server$level"
  patches_the_loop server.c 100 117 218 318
  finish

  "$patchc" c++ "$level" -fmend-loops=Server::run server.cc -o "server$level++"
  start "./server$level++"
  patches_the_loop server.cc 7 82 95 99
  # Left by its exits.
  ask stop "9 110"
  finish 10
done

# --- without the flag ---

"$patchc" cc -O2 server.c -o plain
start ./plain
hear
expect_code 0 "$patchc" check --base "$hosted_pid" body/server.c
expect_match "the warning" "'main' changed: it stays on its thread's stack until the program ends" "$output"
expect_match "the way out" "-fmend-loops=main" "$output"
expect_code 4 "$patchc" apply body/server.c --to "$hosted_pid" --timeout 0.3
ask 5 "1 5"
finish

# --- what cannot be outlined is compiled as ever, and said ---

cat >left.c <<'END'
#include <setjmp.h>
#include <stdlib.h>
static jmp_buf back;
static void again(void) { longjmp(back, 1); }
int main(void) {
  volatile int turns = 0;
  setjmp(back);
  for (;;) {
    if (++turns == 3) exit(turns);
    again();
  }
}
END
expect_code 0 "$patchc" cc -O2 -fmend-loops left.c -o left
expect_match "the note" "patchc: note: left.c:[0-9]+: the loop in 'main' takes no patches while it runs: its function calls setjmp" "$output"
expect_code 3 ./left

# --- the same meaning, in every loop of every function that can be outlined ---

export MEND_OPTIONS=--no-socket
ulimit -c 0
# outcome FILE COMMAND...: what the program prints, and how it ends.
outcome() {
  local file=$1 code=0
  shift
  # The shell's word on an abort is not the program's.
  { timeout 60 "$@" first second <<<"one" >"$file" 2>program.err || code=$?; } 2>/dev/null
  echo "exit $code" >>"$file"
}
for source in loops.c loops.cc language.c language_corners.c exceptions.cc library_corners.cc; do
  file=$source_root/tests/integration/parity/$source
  # As in parity_test.sh.
  if [ "$source" = library_corners.cc ] && [ -e "$build/lib/libmend-asan.so" ]; then continue; fi
  case $source in
    *.c) native=(clang-22 -std=gnu11) hosted=("$patchc" cc -std=gnu11) ;;
    *) native=(clang++-22 -std=c++20) hosted=("$patchc" c++ -std=c++20) ;;
  esac
  case $source in
    loops.*) levels=(-O0 -O1 -O2 -O3 -Os) ;;
    library_corners.cc) levels=(-O2) ;;
    *) levels=(-O0 -O2) ;;
  esac
  for level in "${levels[@]}"; do
    "${native[@]}" "$level" -w -pthread "$file" -o program -lm
    outcome wanted.txt ./program
    "${hosted[@]}" "$level" -g -w '-fmend-loops=*' -pthread "$file" -o program -lm 2>notes.txt ||
      fail "$source $level does not compile: $(cat notes.txt)"
    outcome got.txt ./program
    cmp -s wanted.txt got.txt || fail "$source $level: $(diff wanted.txt got.txt)"
  done
  [ "$source" != loops.c ] ||
    bodies=$("$patchc" inspect --json program | grep -o '"[a-z_]*\.loop\.[0-9]*\.[0-9a-f]*"' | sort -u | wc -l)
done
# A test of nothing would pass, too.
[ "$bodies" -ge 13 ] || fail "only $bodies loops were outlined"

echo ok
