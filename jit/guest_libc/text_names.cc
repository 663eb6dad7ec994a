// dladdr and backtrace_symbols: hosted functions have names, too.
#include "jit/guest_libc/text_names.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "jit/guest_libc/next_function.h"

namespace mend::jit {
namespace {

// Set once, before the program runs.
constinit std::atomic<TextNameHook> text_name_hook{nullptr};

}  // namespace

void SetTextNameHook(TextNameHook hook) { text_name_hook.store(hook, std::memory_order_relaxed); }

bool FindTextName(uintptr_t address, TextName* name) {
  const TextNameHook hook = text_name_hook.load(std::memory_order_relaxed);
  return hook != nullptr && hook(address, name);
}

namespace {

// As glibc writes it: FILE(SYMBOL+0xOFFSET) [0xADDRESS]; with the patch whose version it is.
std::string HostedLine(uintptr_t address, const TextName& name) {
  char line[512];
  snprintf(line, sizeof line, "%s(%s%s%s+0x%lx) [0x%lx]", program_invocation_name, name.symbol,
           name.patch == nullptr ? "" : "@", name.patch == nullptr ? "" : name.patch,
           static_cast<unsigned long>(address - name.begin), static_cast<unsigned long>(address));
  return line;
}

}  // namespace
}  // namespace mend::jit

MEND_NEXT(int, dladdr, const void*, Dl_info*);
MEND_INTERPOSE(int, dladdr, const void* address, Dl_info* info) {
  mend::jit::TextName name;
  if (!mend::jit::FindTextName(reinterpret_cast<uintptr_t>(address), &name)) {
    return next_dladdr(address, info);
  }
  // Hosted code belongs to the executable, which glibc calls as it was started.
  info->dli_fname = program_invocation_name;
  info->dli_fbase = reinterpret_cast<void*>(name.base);
  info->dli_sname = name.symbol;
  info->dli_saddr = reinterpret_cast<void*>(name.begin);
  return 1;
}

MEND_NEXT(char**, backtrace_symbols, void* const*, int);
MEND_INTERPOSE(char**, backtrace_symbols, void* const* addresses, int count) {
  std::vector<std::string> lines;
  size_t bytes = 0;
  for (int i = 0; i < count; ++i) {
    mend::jit::TextName name;
    const auto address = reinterpret_cast<uintptr_t>(addresses[i]);
    if (mend::jit::FindTextName(address, &name)) {
      lines.push_back(mend::jit::HostedLine(address, name));
    } else {
      char** const line = next_backtrace_symbols(&addresses[i], 1);
      if (line == nullptr) return nullptr;
      lines.emplace_back(line[0]);
      free(line);
    }
    bytes += sizeof(char*) + lines.back().size() + 1;
  }
  // One block, which the caller frees: the pointers, then the lines.
  auto** const result = static_cast<char**>(malloc(std::max<size_t>(bytes, 1)));
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
    mend::jit::TextName name;
    const auto address = reinterpret_cast<uintptr_t>(addresses[i]);
    if (mend::jit::FindTextName(address, &name)) {
      dprintf(fd, "%s\n", mend::jit::HostedLine(address, name).c_str());
    } else {
      next_backtrace_symbols_fd(&addresses[i], 1, fd);
    }
  }
}
