// Calls on descriptors that may sleep: files, pipes, terminals, sockets.
//
// On a socket with a time-out each of them ends with EINTR whatever the handler's flags say, so all
// restart. The names with _chk are what headers make of a call under _FORTIFY_SOURCE.
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "jit/guest_libc/blocking.h"

// clang-format off
MEND_BLOCKING_RESTARTING(ssize_t, read, (int fd, void* buffer, size_t size), (fd, buffer, size))
MEND_BLOCKING_RESTARTING(ssize_t, __read, (int fd, void* buffer, size_t size), (fd, buffer, size))
MEND_BLOCKING_RESTARTING(ssize_t, __read_chk, (int fd, void* buffer, size_t size, size_t room), (fd, buffer, size, room))
MEND_BLOCKING_RESTARTING(ssize_t, pread, (int fd, void* buffer, size_t size, off_t at), (fd, buffer, size, at))
MEND_BLOCKING_RESTARTING(ssize_t, pread64, (int fd, void* buffer, size_t size, off_t at), (fd, buffer, size, at))
MEND_BLOCKING_RESTARTING(ssize_t, __pread64, (int fd, void* buffer, size_t size, off_t at), (fd, buffer, size, at))
MEND_BLOCKING_RESTARTING(ssize_t, __pread_chk, (int fd, void* buffer, size_t size, off_t at, size_t room), (fd, buffer, size, at, room))
MEND_BLOCKING_RESTARTING(ssize_t, __pread64_chk, (int fd, void* buffer, size_t size, off_t at, size_t room), (fd, buffer, size, at, room))
MEND_BLOCKING_RESTARTING(ssize_t, readv, (int fd, const iovec* vectors, int count), (fd, vectors, count))
MEND_BLOCKING_RESTARTING(ssize_t, preadv, (int fd, const iovec* vectors, int count, off_t at), (fd, vectors, count, at))
MEND_BLOCKING_RESTARTING(ssize_t, preadv64, (int fd, const iovec* vectors, int count, off_t at), (fd, vectors, count, at))
MEND_BLOCKING_RESTARTING(ssize_t, preadv2, (int fd, const iovec* vectors, int count, off_t at, int flags), (fd, vectors, count, at, flags))
MEND_BLOCKING_RESTARTING(ssize_t, preadv64v2, (int fd, const iovec* vectors, int count, off_t at, int flags), (fd, vectors, count, at, flags))

MEND_BLOCKING_RESTARTING(ssize_t, write, (int fd, const void* buffer, size_t size), (fd, buffer, size))
MEND_BLOCKING_RESTARTING(ssize_t, __write, (int fd, const void* buffer, size_t size), (fd, buffer, size))
MEND_BLOCKING_RESTARTING(ssize_t, pwrite, (int fd, const void* buffer, size_t size, off_t at), (fd, buffer, size, at))
MEND_BLOCKING_RESTARTING(ssize_t, pwrite64, (int fd, const void* buffer, size_t size, off_t at), (fd, buffer, size, at))
MEND_BLOCKING_RESTARTING(ssize_t, __pwrite64, (int fd, const void* buffer, size_t size, off_t at), (fd, buffer, size, at))
MEND_BLOCKING_RESTARTING(ssize_t, writev, (int fd, const iovec* vectors, int count), (fd, vectors, count))
MEND_BLOCKING_RESTARTING(ssize_t, pwritev, (int fd, const iovec* vectors, int count, off_t at), (fd, vectors, count, at))
MEND_BLOCKING_RESTARTING(ssize_t, pwritev64, (int fd, const iovec* vectors, int count, off_t at), (fd, vectors, count, at))
MEND_BLOCKING_RESTARTING(ssize_t, pwritev2, (int fd, const iovec* vectors, int count, off_t at, int flags), (fd, vectors, count, at, flags))
MEND_BLOCKING_RESTARTING(ssize_t, pwritev64v2, (int fd, const iovec* vectors, int count, off_t at, int flags), (fd, vectors, count, at, flags))

MEND_BLOCKING_RESTARTING(ssize_t, sendfile, (int out, int in, off_t* at, size_t size), (out, in, at, size))
MEND_BLOCKING_RESTARTING(ssize_t, sendfile64, (int out, int in, off_t* at, size_t size), (out, in, at, size))
MEND_BLOCKING_RESTARTING(ssize_t, splice, (int in, off_t* in_at, int out, off_t* out_at, size_t size, unsigned flags), (in, in_at, out, out_at, size, flags))
MEND_BLOCKING_RESTARTING(ssize_t, tee, (int in, int out, size_t size, unsigned flags), (in, out, size, flags))
MEND_BLOCKING_RESTARTING(ssize_t, vmsplice, (int fd, const iovec* vectors, size_t count, unsigned flags), (fd, vectors, count, flags))
MEND_BLOCKING_RESTARTING(ssize_t, copy_file_range, (int in, off_t* in_at, int out, off_t* out_at, size_t size, unsigned flags), (in, in_at, out, out_at, size, flags))

MEND_BLOCKING(int, close, (int fd), (fd))
MEND_BLOCKING(int, fsync, (int fd), (fd))
MEND_BLOCKING(int, fdatasync, (int fd), (fd))
MEND_BLOCKING(int, tcdrain, (int fd), (fd))
MEND_BLOCKING_RESTARTING(int, flock, (int fd, int operation), (fd, operation))
MEND_BLOCKING_RESTARTING(int, lockf, (int fd, int command, off_t size), (fd, command, size))
MEND_BLOCKING_RESTARTING(int, lockf64, (int fd, int command, off_t size), (fd, command, size))

MEND_BLOCKING_RESTARTING(int, accept, (int fd, sockaddr* address, socklen_t* size), (fd, address, size))
MEND_BLOCKING_RESTARTING(int, accept4, (int fd, sockaddr* address, socklen_t* size, int flags), (fd, address, size, flags))
// Not made again: a second connect would find the first one under way.
MEND_BLOCKING(int, connect, (int fd, const sockaddr* address, socklen_t size), (fd, address, size))
MEND_BLOCKING(int, __connect, (int fd, const sockaddr* address, socklen_t size), (fd, address, size))
MEND_BLOCKING_RESTARTING(ssize_t, send, (int fd, const void* buffer, size_t size, int flags), (fd, buffer, size, flags))
MEND_BLOCKING_RESTARTING(ssize_t, __send, (int fd, const void* buffer, size_t size, int flags), (fd, buffer, size, flags))
MEND_BLOCKING_RESTARTING(ssize_t, sendto, (int fd, const void* buffer, size_t size, int flags, const sockaddr* to, socklen_t to_size), (fd, buffer, size, flags, to, to_size))
MEND_BLOCKING_RESTARTING(ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags))
MEND_BLOCKING_RESTARTING(int, sendmmsg, (int fd, mmsghdr* messages, unsigned count, int flags), (fd, messages, count, flags))
MEND_BLOCKING_RESTARTING(ssize_t, recv, (int fd, void* buffer, size_t size, int flags), (fd, buffer, size, flags))
MEND_BLOCKING_RESTARTING(ssize_t, __recv_chk, (int fd, void* buffer, size_t size, size_t room, int flags), (fd, buffer, size, room, flags))
MEND_BLOCKING_RESTARTING(ssize_t, recvfrom, (int fd, void* buffer, size_t size, int flags, sockaddr* from, socklen_t* from_size), (fd, buffer, size, flags, from, from_size))
MEND_BLOCKING_RESTARTING(ssize_t, __recvfrom_chk, (int fd, void* buffer, size_t size, size_t room, int flags, sockaddr* from, socklen_t* from_size), (fd, buffer, size, room, flags, from, from_size))
MEND_BLOCKING_RESTARTING(ssize_t, recvmsg, (int fd, msghdr* message, int flags), (fd, message, flags))
MEND_BLOCKING_RESTARTING(int, recvmmsg, (int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout), (fd, messages, count, flags, timeout))

// Resolvers sleep in poll and recv inside libc.
MEND_BLOCKING(int, getaddrinfo, (const char* node, const char* service, const addrinfo* hints, addrinfo** result), (node, service, hints, result))
MEND_BLOCKING(int, getnameinfo, (const sockaddr* address, socklen_t size, char* host, socklen_t host_size, char* service, socklen_t service_size, int flags), (address, size, host, host_size, service, service_size, flags))
MEND_BLOCKING(hostent*, gethostbyname, (const char* name), (name))
MEND_BLOCKING(hostent*, gethostbyname2, (const char* name, int family), (name, family))
MEND_BLOCKING(hostent*, gethostbyaddr, (const void* address, socklen_t size, int family), (address, size, family))
MEND_BLOCKING(int, gethostbyname_r, (const char* name, hostent* entry, char* buffer, size_t size, hostent** result, int* error), (name, entry, buffer, size, result, error))
MEND_BLOCKING(int, gethostbyname2_r, (const char* name, int family, hostent* entry, char* buffer, size_t size, hostent** result, int* error), (name, family, entry, buffer, size, result, error))
MEND_BLOCKING(int, gethostbyaddr_r, (const void* address, socklen_t address_size, int family, hostent* entry, char* buffer, size_t size, hostent** result, int* error), (address, address_size, family, entry, buffer, size, result, error))

// Variadic functions of which the rest is one word: it travels in the same register either way, so
// they are defined with a fixed parameter, read whether or not it was passed.
// Opening a FIFO or a terminal waits for the other side.
MEND_BLOCKING_RESTARTING(int, open, (const char* path, int flags, mode_t mode), (path, flags, mode))
MEND_BLOCKING_RESTARTING(int, open64, (const char* path, int flags, mode_t mode), (path, flags, mode))
MEND_BLOCKING_RESTARTING(int, __open, (const char* path, int flags, mode_t mode), (path, flags, mode))
MEND_BLOCKING_RESTARTING(int, __open64, (const char* path, int flags, mode_t mode), (path, flags, mode))
MEND_BLOCKING_RESTARTING(int, openat, (int folder, const char* path, int flags, mode_t mode), (folder, path, flags, mode))
MEND_BLOCKING_RESTARTING(int, openat64, (int folder, const char* path, int flags, mode_t mode), (folder, path, flags, mode))
MEND_BLOCKING_RESTARTING(int, __open_2, (const char* path, int flags), (path, flags))
MEND_BLOCKING_RESTARTING(int, __open64_2, (const char* path, int flags), (path, flags))
MEND_BLOCKING_RESTARTING(int, __openat_2, (int folder, const char* path, int flags), (folder, path, flags))
MEND_BLOCKING_RESTARTING(int, __openat64_2, (int folder, const char* path, int flags), (folder, path, flags))
MEND_BLOCKING_RESTARTING(int, creat, (const char* path, mode_t mode), (path, mode))
MEND_BLOCKING_RESTARTING(int, creat64, (const char* path, mode_t mode), (path, mode))
MEND_BLOCKING(int, ioctl, (int fd, unsigned long request, void* argument), (fd, request, argument))
// clang-format on

namespace mend::jit {
namespace {

bool WaitsForLock(int command) { return command == F_SETLKW || command == F_OFD_SETLKW; }

}  // namespace
}  // namespace mend::jit

// Nearly all commands return at once; programs use them often.
MEND_NEXT(int, fcntl, int, int, void*);
MEND_INTERPOSE(int, fcntl, int fd, int command, void* argument) {
  if (!mend::jit::WaitsForLock(command)) return next_fcntl(fd, command, argument);
  return mend::jit::CallRestarting("fcntl", [&] { return next_fcntl(fd, command, argument); });
}

MEND_NEXT(int, fcntl64, int, int, void*);
MEND_INTERPOSE(int, fcntl64, int fd, int command, void* argument) {
  if (!mend::jit::WaitsForLock(command)) return next_fcntl64(fd, command, argument);
  return mend::jit::CallRestarting("fcntl", [&] { return next_fcntl64(fd, command, argument); });
}
