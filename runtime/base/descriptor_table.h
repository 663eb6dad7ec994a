// A table of file descriptors of the control server's own.
//
// Daemons close every descriptor that they do not know, count the open ones, expect the lowest
// numbers, and get by with a low RLIMIT_NOFILE. So the threads that serve the control socket leave
// the table that they share with the program: neither sees the other's descriptors, and a forked
// child inherits none.
//
// Linux keeps one table for a process only by convention: unshare(2), CLONE_FILES. POSIX record
// locks stay the program's, since they belong to its table.
#ifndef MEND_RUNTIME_BASE_DESCRIPTOR_TABLE_H_
#define MEND_RUNTIME_BASE_DESCRIPTOR_TABLE_H_

#include <initializer_list>

namespace mend {

// Gives the calling thread, and those that it starts from now on, a table with nothing but `kept`,
// under the same numbers. False when the system refuses (a seccomp filter): then the thread goes on
// sharing the table that it had, which is unchanged.
bool LeaveSharedDescriptorTable(std::initializer_list<int> kept);

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_DESCRIPTOR_TABLE_H_
