// Whether descriptor 2 is the program's standard error, where lines for people go. A program may
// close it, and get the number again for a file or connection of its own, which lines would spoil.
//
// Thread safety: all functions are thread-safe, safe in signal handlers, and keep errno.
#ifndef MEND_RUNTIME_BASE_STANDARD_ERROR_H_
#define MEND_RUNTIME_BASE_STANDARD_ERROR_H_

namespace mend {

// What descriptor 2 is now is standard error, also if nothing is there. To be called at the start.
void NoteStandardError();

// The program has put something at descriptor 2 by its number (dup2, freopen), such as its own log.
// Makes no system call: it may be confined.
void StandardErrorReplaced() noexcept;

// True until NoteStandardError has been called.
bool IsStandardError() noexcept;

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_STANDARD_ERROR_H_
