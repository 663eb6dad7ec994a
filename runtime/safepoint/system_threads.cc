#include "runtime/safepoint/system_threads.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/apart_thread.h"
#include "runtime/safepoint/runtime_thread_call.h"

namespace mend {
namespace {

constexpr char kTaskFolder[] = "/proc/self/task";
// The folder's own and its parent's; the kernel adds one for each thread.
constexpr nlink_t kLinksBesideThreads = 2;

FILE* OpenOfTask(pid_t task, const char* file) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/%s", task, file);
  return fopen(path, "re");
}

// The threads as /proc names them.
std::vector<pid_t> Tasks() {
  std::vector<pid_t> tasks;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(kTaskFolder), closedir);
  if (entries == nullptr) return tasks;
  while (const dirent* const entry = readdir(entries.get())) {
    const auto task = static_cast<pid_t>(strtol(entry->d_name, nullptr, 10));
    if (task != 0) tasks.push_back(task);
  }
  return tasks;
}

// Whether /proc knows this process, and its threads, by other ids than they know themselves.
bool HasOtherIds() { return ProcessIdOutside() != getpid(); }

// The thread's own id; 0 when it is gone.
pid_t OwnId(pid_t task) {
  FILE* const file = OpenOfTask(task, "status");
  if (file == nullptr) return 0;
  char line[256];
  pid_t own = 0;
  while (own == 0 && fgets(line, sizeof line, file) != nullptr) {
    // "NSpid: ID...", from the outermost namespace to the thread's own.
    if (strncmp(line, "NSpid:", 6) != 0) continue;
    const char* const last = strrchr(line, '\t');
    if (last != nullptr) own = static_cast<pid_t>(strtol(last + 1, nullptr, 10));
  }
  fclose(file);
  return own;
}

FILE* OpenOfThread(pid_t tid, const char* file) {
  if (!HasOtherIds()) return OpenOfTask(tid, file);
  for (const pid_t task : Tasks()) {
    if (OwnId(task) == tid) return OpenOfTask(task, file);
  }
  return nullptr;
}

// Reads up to `size` bytes of a file of the thread's; returns how many.
size_t ReadOfThread(pid_t tid, const char* file, char* buffer, size_t size) {
  FILE* const stream = OpenOfThread(tid, file);
  if (stream == nullptr) return 0;
  const size_t got = fread(buffer, 1, size, stream);
  fclose(stream);
  return got;
}

std::vector<pid_t> ReadThreads() {
  std::vector<pid_t> tids = Tasks();
  if (!HasOtherIds()) return tids;
  for (pid_t& tid : tids) tid = OwnId(tid);
  std::erase(tids, 0);
  return tids;
}

bool ReadBlocksSignal(pid_t tid, int signal) {
  FILE* const file = OpenOfThread(tid, "status");
  if (file == nullptr) return true;
  char line[256];
  unsigned long long mask = 0;
  while (fgets(line, sizeof line, file) != nullptr) {
    if (sscanf(line, "SigBlk: %llx", &mask) == 1) break;
  }
  fclose(file);
  return (mask >> (signal - 1) & 1) != 0;
}

bool ReadSleeps(pid_t tid) {
  char stat[256];
  const size_t got = ReadOfThread(tid, "stat", stat, sizeof stat - 1);
  stat[got] = '\0';
  // "TID (NAME) STATE ...", and the name may hold anything.
  const char* const name_end = strrchr(stat, ')');
  return name_end != nullptr && name_end[1] == ' ' && name_end[2] != 'R';
}

StackBounds ReadMappingAround(uintptr_t address) {
  FILE* const maps = fopen("/proc/self/maps", "re");
  if (maps == nullptr) return {};
  char line[512];
  StackBounds found;
  while (fgets(line, sizeof line, maps) != nullptr) {
    unsigned long low = 0;
    unsigned long high = 0;
    if (sscanf(line, "%lx-%lx", &low, &high) != 2 || address < low || address >= high) continue;
    found = {.low = low, .high = high};
    break;
  }
  fclose(maps);
  return found;
}

}  // namespace

pid_t ProcessIdOutside() {
  char digits[16] = {};
  const ssize_t size = readlink("/proc/self", digits, sizeof digits - 1);
  const auto pid = size > 0 ? static_cast<pid_t>(strtol(digits, nullptr, 10)) : 0;
  return pid > 0 ? pid : getpid();
}

std::vector<pid_t> SystemThreads() {
  std::vector<pid_t> tids;
  RunApart([&tids] { tids = ReadThreads(); });
  return tids;
}

size_t CountSystemThreads() {
  struct stat status;
  if (stat(kTaskFolder, &status) != 0 || status.st_nlink < kLinksBesideThreads) return 0;
  return status.st_nlink - kLinksBesideThreads;
}

bool ThreadBlocksSignal(pid_t tid, int signal) {
  if (IsInRuntimePlace(tid)) return true;
  bool blocks = true;
  RunApart([&] { blocks = ReadBlocksSignal(tid, signal); });
  return blocks;
}

bool ThreadSleeps(pid_t tid) {
  bool sleeps = false;
  RunApart([&] { sleeps = ReadSleeps(tid); });
  return sleeps;
}

bool AllThreadsSleep(absl::Span<const pid_t> tids) {
  bool all = false;
  RunApart([&] {
    const auto self = static_cast<pid_t>(RawSyscall(SYS_gettid));
    all = std::all_of(tids.begin(), tids.end(),
                      [self](pid_t tid) { return tid == self || ReadSleeps(tid); });
  });
  return all;
}

std::string ThreadName(pid_t tid) {
  char name[32];
  size_t got = 0;
  RunApart([&] { got = ReadOfThread(tid, "comm", name, sizeof name); });
  while (got > 0 && name[got - 1] == '\n') --got;
  return std::string(name, got);
}

StackBounds MappingAround(uintptr_t address) {
  StackBounds found;
  RunApart([&] { found = ReadMappingAround(address); });
  return found;
}

}  // namespace mend
