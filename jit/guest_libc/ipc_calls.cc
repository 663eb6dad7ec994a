// Calls that wait for messages and semaphores of System V and POSIX queues.
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include "jit/guest_libc/blocking.h"

// clang-format off
MEND_BLOCKING_RESTARTING(ssize_t, msgrcv, (int queue, void* message, size_t size, long type, int flags), (queue, message, size, type, flags))
MEND_BLOCKING_RESTARTING(int, msgsnd, (int queue, const void* message, size_t size, int flags), (queue, message, size, flags))
MEND_BLOCKING_RESTARTING(int, semop, (int set, sembuf* operations, size_t count), (set, operations, count))

MEND_BLOCKING_RESTARTING(ssize_t, mq_receive, (mqd_t queue, char* message, size_t size, unsigned* priority), (queue, message, size, priority))
MEND_BLOCKING_RESTARTING(ssize_t, mq_timedreceive, (mqd_t queue, char* message, size_t size, unsigned* priority, const timespec* until), (queue, message, size, priority, until))
MEND_BLOCKING_RESTARTING(int, mq_send, (mqd_t queue, const char* message, size_t size, unsigned priority), (queue, message, size, priority))
MEND_BLOCKING_RESTARTING(int, mq_timedsend, (mqd_t queue, const char* message, size_t size, unsigned priority, const timespec* until), (queue, message, size, priority, until))
// clang-format on

MEND_NEXT(int, semtimedop, int, sembuf*, size_t, const timespec*);
MEND_INTERPOSE(int, semtimedop, int set, sembuf* operations, size_t count,
               const timespec* timeout) {
  return mend::jit::CallRestartingFor("semtimedop", timeout, [&](const timespec* left) {
    return next_semtimedop(set, operations, count, left);
  });
}
