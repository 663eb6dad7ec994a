// The standard streams of a command: ones that are closed when it starts, and whether what it
// printed has arrived. For `mend` and `patchc`, on their main threads.
#ifndef MEND_MEND_STANDARD_STREAMS_H_
#define MEND_MEND_STANDARD_STREAMS_H_

namespace mend {

// Opens the descriptors among 0, 1 and 2 that are closed, so that no file or socket gets the number
// and, with it, what is printed. Reading from them finds nothing. Writing to standard output fails,
// as it would have, unless `discards_output`; then programs that are executed have all three, as
// clang gives them. Otherwise those find them closed.
void OpenClosedStreams(bool discards_output);

// The exit code of a command that ends with `exit_code`: another one, after a message of
// `program`'s, if what it has printed could not be written.
int FinishOutput(const char* program, int exit_code);

}  // namespace mend

#endif  // MEND_MEND_STANDARD_STREAMS_H_
