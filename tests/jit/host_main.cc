// Hosts objects and runs their main, without anything of mend but the session: for tests of the
// loader, and to compare with native. `jit_host [--times] OBJECT... [-- ARG...]`.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "jit/session.h"

namespace {

int64_t NowUs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000LL + now.tv_nsec / 1000;
}

std::string_view MapFile(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) {
    perror(path);
    exit(2);
  }
  void* bytes = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  return {static_cast<const char*>(bytes), static_cast<size_t>(info.st_size)};
}

void PrintMemory(const char* when) {
  FILE* status = fopen("/proc/self/status", "r");
  char line[256];
  while (status != nullptr && fgets(line, sizeof(line), status) != nullptr) {
    if (strncmp(line, "VmRSS", 5) == 0 || strncmp(line, "RssAnon", 7) == 0) {
      fprintf(stderr, "%s: %s", when, line);
    }
  }
  if (status != nullptr) fclose(status);
}

extern "C" void PollNever() { abort(); }

}  // namespace

int main(int argc, char** argv, char** envp) {
  std::vector<mend::ProgramObject> objects;
  bool times = false;
  int next = 1;
  for (; next < argc && strcmp(argv[next], "--") != 0; ++next) {
    if (strcmp(argv[next], "--times") == 0) {
      times = true;
    } else {
      objects.push_back({argv[next], MapFile(argv[next])});
    }
  }
  std::vector<char*> arguments = {argv[0]};
  for (++next; next < argc; ++next) arguments.push_back(argv[next]);
  const int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);

  if (times) PrintMemory("start");
  const int64_t begin = NowUs();
  mend::jit::SessionOptions options;
  options.symbols["__mend_poll_slow"] = reinterpret_cast<void*>(&PollNever);
  auto session = mend::jit::Session::Create(options);
  if (!session.ok()) {
    fprintf(stderr, "%s\n", session.status().ToString().c_str());
    return 126;
  }
  const int64_t created = NowUs();
  absl::Status loaded = (*session)->LoadProgram("program", objects);
  if (!loaded.ok()) {
    fprintf(stderr, "%s\n", std::string(loaded.message()).c_str());
    return 126;
  }
  if (times) {
    const mend::jit::SessionUsage usage = (*session)->Usage();
    fprintf(stderr, "create %lld us, link %lld us, %zu units, %zu functions, %zu patchable\n",
            static_cast<long long>(created - begin), static_cast<long long>(NowUs() - created),
            usage.units, usage.functions, usage.patchable);
    PrintMemory("linked");
  }
  auto entry = (*session)->Lookup("main");
  if (!entry.ok()) {
    fprintf(stderr, "%s\n", entry.status().ToString().c_str());
    return 126;
  }
  // Exit handlers run hosted code: the session stays.
  mend::jit::Session* kept = session->release();
  kept->InitializeThread();
  kept->RunInitializers(count, arguments.data(), envp);
  exit(reinterpret_cast<int (*)(int, char**, char**)>(entry->value)(count, arguments.data(), envp));
}
