// What a file is that the program is about to execute.
//
// Thread safety: all functions are thread-safe, allocate nothing, and leave errno alone; also in
// the child of a vfork.
#ifndef MEND_JIT_GUEST_LIBC_EXECUTED_FILE_H_
#define MEND_JIT_GUEST_LIBC_EXECUTED_FILE_H_

namespace mend::jit {

enum class ExecutedFile {
  kNone,    // cannot be executed
  kHosted,  // a hosted program, or a script for one
  kOther,
};

// The arguments are execveat's.
ExecutedFile LookAtFile(int folder, const char* path, int flags);

}  // namespace mend::jit

#endif  // MEND_JIT_GUEST_LIBC_EXECUTED_FILE_H_
