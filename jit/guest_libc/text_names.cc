// dladdr and backtrace_symbols: hosted functions have names, too.
#include "jit/guest_libc/text_names.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include <algorithm>
#include <string>
#include <vector>

#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/next_function.h"
#include "jit/guest_libc/stand_ins.h"

namespace mend::jit {

bool FindHostedFunction(uintptr_t address, FdeEntry* function) {
  return UnwindTable::Get().Find(CodeAddress{address}, function) == UnwindTable::Lookup::kFde &&
         function->name != nullptr;
}

namespace {

constexpr uintptr_t kPage = 4096;

// Set once, before the program runs.
const char* (*hosted_file_hook)(uintptr_t) = nullptr;

// What is no guest module's belongs to the executable, which glibc calls as it was started.
const char* FileOf(uintptr_t address) {
  const char* const file = hosted_file_hook == nullptr ? nullptr : hosted_file_hook(address);
  return file == nullptr ? program_invocation_name : file;
}

// As glibc writes it: FILE(SYMBOL+0xOFFSET) [0xADDRESS]; with the patch whose version it is, and
// without an end of the line. Allocates nothing.
class HostedLine {
 public:
  HostedLine(const char* file, uintptr_t address, const FdeEntry& function) {
    snprintf(text_, sizeof text_, "%s(%s%s%s+0x%lx) [0x%lx]", file, function.name,
             function.patch == nullptr ? "" : "@", function.patch == nullptr ? "" : function.patch,
             static_cast<unsigned long>(address - function.function.begin.value),
             static_cast<unsigned long>(address));
  }
  const char* text() const { return text_; }

 private:
  char text_[512];
};

// False for what is not hosted.
bool TellHosted(const void* address, Dl_info* info) {
  FdeEntry function;
  const auto place = reinterpret_cast<uintptr_t>(address);
  const bool named = FindHostedFunction(place, &function);
  if (!named && !IsHostedMemory(place)) return false;
  info->dli_fname = FileOf(place);
  info->dli_fbase = reinterpret_cast<void*>(getauxval(AT_PHDR) & ~(kPage - 1));
  info->dli_sname = named ? function.name : nullptr;
  info->dli_saddr = named ? reinterpret_cast<void*>(function.function.begin.value) : nullptr;
  return true;
}

}  // namespace

void SetHostedFileHook(const char* (*hook)(uintptr_t)) { hosted_file_hook = hook; }

}  // namespace mend::jit

MEND_NEXT(int, dladdr, const void*, Dl_info*);
MEND_INTERPOSE(int, dladdr, const void* address, Dl_info* info) {
  return mend::jit::TellHosted(address, info) ? 1 : next_dladdr(address, info);
}

MEND_NEXT(int, dladdr1, const void*, Dl_info*, void**, int);
MEND_INTERPOSE(int, dladdr1, const void* address, Dl_info* info, void** extra, int kind) {
  if (!mend::jit::TellHosted(address, info)) return next_dladdr1(address, info, extra, kind);
  // There is no symbol table. The executable comes first in the loader's list.
  if (kind == RTLD_DL_SYMENT) *extra = nullptr;
  if (kind == RTLD_DL_LINKMAP) *extra = _r_debug.r_map;
  return 1;
}

MEND_NEXT(char**, backtrace_symbols, void* const*, int);
MEND_INTERPOSE(char**, backtrace_symbols, void* const* addresses, int count) {
  std::vector<std::string> lines;
  size_t bytes = 0;
  for (int i = 0; i < count; ++i) {
    mend::FdeEntry function;
    const auto address = reinterpret_cast<uintptr_t>(addresses[i]);
    if (mend::jit::FindHostedFunction(address, &function)) {
      lines.emplace_back(
          mend::jit::HostedLine(mend::jit::FileOf(address), address, function).text());
    } else {
      char** const line = next_backtrace_symbols(&addresses[i], 1);
      if (line == nullptr) return nullptr;
      lines.emplace_back(line[0]);
      free(static_cast<void*>(line));
    }
    bytes += sizeof(char*) + lines.back().size() + 1;
  }
  // One block, which the caller frees: the pointers, then the lines.
  auto** const result =
      static_cast<char**>(mend::jit::AllocateForProgram(std::max<size_t>(bytes, 1)));
  if (result == nullptr) return nullptr;
  char* text = reinterpret_cast<char*>(result + lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    result[i] = text;
    memcpy(text, lines[i].c_str(), lines[i].size() + 1);
    text += lines[i].size() + 1;
  }
  return result;
}

MEND_NEXT(void, backtrace_symbols_fd, void* const*, int, int);
MEND_INTERPOSE(void, backtrace_symbols_fd, void* const* addresses, int count, int fd) {
  for (int i = 0; i < count; ++i) {
    mend::FdeEntry function;
    const auto address = reinterpret_cast<uintptr_t>(addresses[i]);
    if (mend::jit::FindHostedFunction(address, &function)) {
      // Handlers of signals call it, since it needs no malloc; nor is a lock taken to know the
      // file.
      const mend::jit::HostedLine line(program_invocation_name, address, function);
      dprintf(fd, "%s\n", line.text());
    } else {
      next_backtrace_symbols_fd(&addresses[i], 1, fd);
    }
  }
}
