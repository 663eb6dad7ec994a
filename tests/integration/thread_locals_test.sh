# A patch adds thread-locals: threads that ran before it have their own, with the initial value, as have
# threads that start later; a following patch finds the values; constructors run when a thread first
# reaches the variable and destructors when it ends.
. "$(dirname "$0")/lib.sh"

cat >"$work/workers.cc" <<'SOURCE'
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

struct Worker {
  std::mutex mutex;
  std::condition_variable wake;
  int requests = 0;
  bool ends = false;
  std::thread thread;
};

thread_local int answers;

__attribute__((noinline)) std::string Answer(int number) {
  return "worker " + std::to_string(number) + " answer " + std::to_string(++answers);
}

void Run(Worker* worker, int number) {
  std::unique_lock<std::mutex> lock(worker->mutex);
  while (true) {
    worker->wake.wait(lock, [worker] { return worker->requests > 0 || worker->ends; });
    if (worker->ends) return;
    --worker->requests;
    std::puts(Answer(number).c_str());
    std::fflush(stdout);
  }
}

int main() {
  std::vector<std::unique_ptr<Worker>> workers;
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    if (std::strncmp(line, "new", 3) == 0) {
      workers.push_back(std::make_unique<Worker>());
      Worker* worker = workers.back().get();
      worker->thread = std::thread(Run, worker, static_cast<int>(workers.size()) - 1);
      continue;
    }
    Worker& worker = *workers[static_cast<size_t>(line[std::strlen(line) - 2] - '0')];
    {
      std::lock_guard<std::mutex> lock(worker.mutex);
      worker.ends = line[0] == 'e';
      worker.requests += line[0] == 'e' ? 0 : 1;
    }
    worker.wake.notify_one();
    if (worker.ends) worker.thread.join();
  }
  for (auto& worker : workers) {
    if (!worker->thread.joinable()) continue;
    {
      std::lock_guard<std::mutex> lock(worker->mutex);
      worker->ends = true;
    }
    worker->wake.notify_one();
    worker->thread.join();
  }
}
SOURCE
"$patchc" c++ -std=c++20 -O2 -pthread "$work/workers.cc" -o "$work/workers"
cp "$work/workers.cc" "$work/original.cc"
start "$work/workers"
await_target
say new
say new
ask 0 "worker 0 answer 1"
ask 1 "worker 1 answer 1"
ask 1 "worker 1 answer 2"

# edit SCRIPT: the source from the original by a sed script.
edit() {
  sed "$1" "$work/original.cc" >"$work/workers.cc"
  cmp -s "$work/original.cc" "$work/workers.cc" && fail "the edit '$1' edits nothing"
  return 0
}

# Three kinds: at file level with an initial value, static in a function, with a constructor.
declared='s/^thread_local int answers;/&\
thread_local long tickets = 100;\
struct Note { std::string text = "note"; ~Note() { std::printf("%s ends\\n", text.c_str()); std::fflush(stdout); } };/'
edit "$declared"'
s/  return "worker "/  static thread_local int visits = 7; static thread_local Note note; note.text += std::to_string(number);\
  return "visit " + std::to_string(++visits) + " ticket " + std::to_string(++tickets) + " " + note.text + ": worker "/'
expect_code 0 "$patchc" apply "$work/workers.cc" --to "$hosted_pid" --name first
ask 0 "visit 8 ticket 101 note0: worker 0 answer 2"
ask 1 "visit 8 ticket 101 note1: worker 1 answer 3"
ask 1 "visit 9 ticket 102 note11: worker 1 answer 4"
say new
ask 2 "visit 8 ticket 101 note2: worker 2 answer 1"

# The next patch, cumulative, finds the values of the first one.
edit "$declared"'
s/  return "worker "/  static thread_local int visits = 7; static thread_local Note note; note.text += std::to_string(number);\
  return "VISIT " + std::to_string(++visits) + " ticket " + std::to_string(++tickets) + " " + note.text + ": worker "/'
expect_code 0 "$patchc" apply "$work/workers.cc" --to "$hosted_pid" --name second
ask 1 "VISIT 10 ticket 103 note111: worker 1 answer 5"
ask 0 "VISIT 9 ticket 102 note00: worker 0 answer 3"
say "end 1"
hear
expect "the destructor runs when its thread ends" "note111 ends" "$answer"

# Back to the original, and once more: the values are still there.
expect_code 0 "$mend" disable "$hosted_pid" second
ask 0 "worker 0 answer 4"
expect_code 0 "$patchc" apply "$work/workers.cc" --to "$hosted_pid" --name third
ask 0 "VISIT 10 ticket 103 note000: worker 0 answer 5"
ask 2 "VISIT 9 ticket 102 note22: worker 2 answer 2"

# More than the pool has is refused, and changes nothing.
edit 's/^thread_local int answers;/&\
thread_local char much[100000];/
s/  return "worker "/  much[number] = 1; return "worker "/'
expect_code 3 "$patchc" apply "$work/workers.cc" --to "$hosted_pid" --name much
expect_match "what is too large" 'thread-local.*exceed' "$output"
ask 0 "VISIT 11 ticket 104 note0000: worker 0 answer 6"
exec 7>&-
expect_end "the program's exit code" 0

# A unit's thread-locals with constructors at file level share one guard, which is set already.
cat >"$work/shared.cc" <<'SOURCE'
#include <cstdio>
#include <string>
thread_local std::string first = "first";
__attribute__((noinline)) void Show() { std::puts(first.c_str()); }
int main() { Show(); }
SOURCE
"$patchc" c++ -O1 "$work/shared.cc" -o "$work/shared"
sed -i 's/^thread_local.*/&\nthread_local std::string second = "second";/; s/first.c_str()/(first + second).c_str()/' \
  "$work/shared.cc"
expect_code 3 "$patchc" check --base "$work/shared" "$work/shared.cc"
expect_match "the shared guard" MEND-E0114 "$output"
