#include "jit/guest_libc/executed_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include <cstdint>

#include "runtime/base/raw_syscall.h"
#include "runtime/format/program_image.h"

namespace mend::jit {
namespace {

// As many scripts as may be each other's interpreters.
constexpr int kScriptsMax = 5;

bool ReadAt(int file, uint64_t offset, void* to, size_t size) {
  return RawSyscall(SYS_pread64, file, reinterpret_cast<long>(to), static_cast<long>(size),
                    static_cast<long>(offset)) == static_cast<long>(size);
}

bool HasProgram(int file) {
  Elf64_Ehdr header;
  if (!ReadAt(file, 0, &header, sizeof header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_shentsize != sizeof(Elf64_Shdr)) {
    return false;
  }
  const auto section = [&](size_t number, Elf64_Shdr* to) {
    return ReadAt(file, header.e_shoff + number * sizeof *to, to, sizeof *to);
  };
  Elf64_Shdr names, entry;
  if (!section(header.e_shstrndx, &names)) return false;
  for (size_t i = 0; i < header.e_shnum && section(i, &entry); ++i) {
    char name[sizeof kProgramSection];
    if (ReadAt(file, names.sh_offset + entry.sh_name, name, sizeof name) &&
        memcmp(name, kProgramSection, sizeof name) == 0) {
      return true;
    }
  }
  return false;
}

// The interpreter that a script names; false for what is no script.
bool ReadInterpreter(int file, char (&path)[PATH_MAX]) {
  char line[256] = {};
  RawSyscall(SYS_pread64, file, reinterpret_cast<long>(line), sizeof line - 1, 0);
  if (line[0] != '#' || line[1] != '!') return false;
  const char* const begin = line + 2 + strspn(line + 2, " \t");
  const size_t size = strcspn(begin, " \t\n");
  memcpy(path, begin, size);
  path[size] = '\0';
  return true;
}

ExecutedFile Look(int folder, const char* path, int flags) {
  char interpreter[PATH_MAX];
  for (int scripts = 0; scripts < kScriptsMax; ++scripts) {
    struct stat status;
    if (fstatat(folder, path, &status, flags) != 0 || !S_ISREG(status.st_mode) ||
        (status.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0) {
      return ExecutedFile::kNone;
    }
    const bool is_open = path[0] == '\0';
    const auto file =
        is_open ? folder
                : static_cast<int>(RawSyscall(SYS_openat, folder, reinterpret_cast<long>(path),
                                              O_RDONLY | O_CLOEXEC));
    // Nor could a hosted program read itself.
    if (file < 0) return ExecutedFile::kOther;
    const bool is_script = ReadInterpreter(file, interpreter);
    const bool is_hosted = !is_script && HasProgram(file);
    if (!is_open) RawSyscall(SYS_close, file);
    if (!is_script) return is_hosted ? ExecutedFile::kHosted : ExecutedFile::kOther;
    folder = AT_FDCWD;
    path = interpreter;
    flags = 0;
  }
  return ExecutedFile::kNone;
}

}  // namespace

ExecutedFile LookAtFile(int folder, const char* path, int flags) {
  const int saved_errno = errno;
  const ExecutedFile file = Look(folder, path, flags);
  errno = saved_errno;
  return file;
}

}  // namespace mend::jit
