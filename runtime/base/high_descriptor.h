// Descriptors of the runtime's own in the table that it shares with the program, which expects to
// get the lowest free numbers for itself.
#ifndef MEND_RUNTIME_BASE_HIGH_DESCRIPTOR_H_
#define MEND_RUNTIME_BASE_HIGH_DESCRIPTOR_H_

namespace mend {

// The same file under a number from 512 up, closed on exec; `fd` is closed. `fd` itself when it is
// negative or there is no such number (RLIMIT_NOFILE). Keeps errno of the call that made `fd`.
int MoveDescriptorUp(int fd);

// Has the kernel enlarge the table for those numbers. To be called before the process has a second
// thread: with one, the first MoveDescriptorUp would wait for an RCU grace period, which takes ten
// times as long as all else that the start of a small program does. Opens nothing that stays open.
void MakeRoomForDescriptorsUp();

}  // namespace mend

#endif  // MEND_RUNTIME_BASE_HIGH_DESCRIPTOR_H_
