#include "jit/debug/debug_support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "jit/link/symbol_index.h"
#include "llvm/ExecutionEngine/Orc/TargetProcess/JITLoaderGDB.h"
#include "runtime/base/check.h"

// gdb's JIT interface. It finds both by name, and stops at the function to read the list. ORC
// defines them, and we use nothing of ORC that would touch the list.
extern "C" {
extern jit_descriptor __jit_debug_descriptor;
void __jit_debug_register_code();
}

namespace mend::jit {
namespace {

void Announce(jit_actions_t action, jit_code_entry* entry) {
  __jit_debug_descriptor.action_flag = action;
  __jit_debug_descriptor.relevant_entry = entry;
  __jit_debug_register_code();
  __jit_debug_descriptor.action_flag = JIT_NOACTION;
}

}  // namespace

struct DebugSupport::Listed {
  std::string file;
  jit_code_entry entry = {};
};

absl::StatusOr<std::unique_ptr<DebugSupport>> DebugSupport::Create(const Options& options) {
  std::unique_ptr<DebugSupport> support(new DebugSupport(options));
  const MutexLock lock(&support->mu_);
  if (absl::Status created = support->CreateMap(); !created.ok()) return created;
  return support;
}

DebugSupport::~DebugSupport() {
  const MutexLock lock(&mu_);
  MEND_CHECK(listed_count_ == 0, "a linked object outlives the debug support");
}

DebugSupport::Registration DebugSupport::Add(const LinkedObject& linked, std::string_view version) {
  if (options_.perf) AddToMap(linked, version);
  if (!options_.debugger) return Registration();
  absl::StatusOr<std::string> file = MakeDebugObject(linked, version);
  if (!file.ok()) return Registration();
  auto listed = std::make_unique<Listed>();
  listed->file = *std::move(file);
  jit_code_entry* const entry = &listed->entry;
  entry->symfile_addr = listed->file.data();
  entry->symfile_size = listed->file.size();
  const MutexLock lock(&mu_);
  entry->next_entry = __jit_debug_descriptor.first_entry;
  if (entry->next_entry != nullptr) entry->next_entry->prev_entry = entry;
  __jit_debug_descriptor.first_entry = entry;
  Announce(JIT_REGISTER_FN, entry);
  ++listed_count_;
  return Registration(this, listed.release());
}

void DebugSupport::Remove(void* handle) {
  const std::unique_ptr<Listed> listed(static_cast<Listed*>(handle));
  jit_code_entry* const entry = &listed->entry;
  const MutexLock lock(&mu_);
  if (entry->prev_entry != nullptr) {
    entry->prev_entry->next_entry = entry->next_entry;
  } else {
    __jit_debug_descriptor.first_entry = entry->next_entry;
  }
  if (entry->next_entry != nullptr) entry->next_entry->prev_entry = entry->prev_entry;
  Announce(JIT_UNREGISTER_FN, entry);
  --listed_count_;
}

absl::Status DebugSupport::CreateMap() {
  if (!options_.perf) return absl::OkStatus();
  map_path_ = absl::StrCat("/tmp/perf-", ::getpid(), ".map");
  // The name is known in advance and the directory is everybody's: what lies there already may be
  // somebody's link.
  ::unlink(map_path_.c_str());
  const int fd = ::open(map_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                        S_IRUSR | S_IWUSR);
  if (fd >= 0) {
    ::close(fd);
    return absl::OkStatus();
  }
  const int error = errno;
  return absl::FailedPreconditionError(absl::StrCat(
      "--perf: cannot write '", std::exchange(map_path_, ""), "': ", std::strerror(error)));
}

void DebugSupport::WriteMap(std::string_view lines) {
  if (map_path_.empty()) return;
  // Opened anew each time: the program may close every descriptor, and use the number itself.
  const int fd =
      ::open(map_path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  // The program may have changed its root or its user, and this may be somebody else's file.
  struct stat status = {};
  const bool own = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                   status.st_uid == ::geteuid() && status.st_nlink == 1;
  // A full disk costs names, nothing else.
  while (own && !lines.empty()) {
    const ssize_t size = ::write(fd, lines.data(), lines.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    lines.remove_prefix(static_cast<size_t>(size));
  }
  ::close(fd);
}

void DebugSupport::AddToMap(const LinkedObject& linked, std::string_view version) {
  std::string lines;
  for (const LinkedFunction& function : linked.functions) {
    std::string name = Demangled(function.name);
    if (!version.empty()) {
      absl::StrAppend(&name, "@", absl::string_view(version.data(), version.size()));
    }
    // A line is a function: an object may call its functions what it likes.
    std::replace(name.begin(), name.end(), '\n', '?');
    absl::StrAppend(&lines, absl::Hex(function.text.begin.value), " ",
                    absl::Hex(function.text.size()), " ", name, "\n");
  }
  const MutexLock lock(&mu_);
  map_lines_ += lines;
  WriteMap(lines);
}

void DebugSupport::ChildAfterFork() {
  if (CreateMap().ok()) WriteMap(map_lines_);
  mu_.Unlock();
}

}  // namespace mend::jit
