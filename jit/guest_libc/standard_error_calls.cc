// Calls by which a program puts something at descriptor 2 on purpose, as daemons do with their
// logs: lines of the event log go there then.
#include <stdio.h>
#include <unistd.h>

#include "jit/guest_libc/next_function.h"
#include "runtime/base/standard_error.h"

MEND_NEXT(int, dup2, int, int);
MEND_NEXT(int, __dup2, int, int);
MEND_NEXT(int, dup3, int, int, int);
MEND_NEXT(FILE*, freopen, const char*, const char*, FILE*);
MEND_NEXT(FILE*, freopen64, const char*, const char*, FILE*);

MEND_INTERPOSE(int, dup2, int from, int to) {
  if (to == STDERR_FILENO) mend::StandardErrorReplaced();
  return next_dup2(from, to);
}

MEND_INTERPOSE(int, __dup2, int from, int to) {
  if (to == STDERR_FILENO) mend::StandardErrorReplaced();
  return next___dup2(from, to);
}

MEND_INTERPOSE(int, dup3, int from, int to, int flags) {
  if (to == STDERR_FILENO) mend::StandardErrorReplaced();
  return next_dup3(from, to, flags);
}

MEND_INTERPOSE(FILE*, freopen, const char* path, const char* mode, FILE* stream) {
  if (stream == stderr) mend::StandardErrorReplaced();
  return next_freopen(path, mode, stream);
}

MEND_INTERPOSE(FILE*, freopen64, const char* path, const char* mode, FILE* stream) {
  if (stream == stderr) mend::StandardErrorReplaced();
  return next_freopen64(path, mode, stream);
}
