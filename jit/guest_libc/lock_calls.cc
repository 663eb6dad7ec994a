// Locks, semaphores, condition variables, barriers and joins of POSIX threads and of C11.
//
// Locks are tried first, and a region is entered only for a wait: taking a free lock costs one call
// more. A try that fails in any other way than "held" has the result that the lock would have had.
#include <pthread.h>
#include <semaphore.h>
#include <threads.h>

#include "jit/guest_libc/blocking.h"

using mend::BlockedRegion;
using mend::jit::IsRegisteredThread;

MEND_NEXT(int, pthread_mutex_trylock, pthread_mutex_t*);
MEND_NEXT(int, pthread_mutex_lock, pthread_mutex_t*);
MEND_INTERPOSE(int, pthread_mutex_lock, pthread_mutex_t* mutex) {
  if (!IsRegisteredThread()) return next_pthread_mutex_lock(mutex);
  const int error = next_pthread_mutex_trylock(mutex);
  if (error != EBUSY) return error;
  const BlockedRegion region("pthread_mutex_lock");
  return next_pthread_mutex_lock(mutex);
}

MEND_NEXT(int, __pthread_mutex_lock, pthread_mutex_t*);
MEND_INTERPOSE(int, __pthread_mutex_lock, pthread_mutex_t* mutex) {
  return mend_libc_pthread_mutex_lock(mutex);
}

MEND_NEXT(int, pthread_rwlock_tryrdlock, pthread_rwlock_t*);
MEND_NEXT(int, pthread_rwlock_rdlock, pthread_rwlock_t*);
MEND_INTERPOSE(int, pthread_rwlock_rdlock, pthread_rwlock_t* lock) {
  if (!IsRegisteredThread()) return next_pthread_rwlock_rdlock(lock);
  const int error = next_pthread_rwlock_tryrdlock(lock);
  if (error != EBUSY) return error;
  const BlockedRegion region("pthread_rwlock_rdlock");
  return next_pthread_rwlock_rdlock(lock);
}

MEND_NEXT(int, pthread_rwlock_trywrlock, pthread_rwlock_t*);
MEND_NEXT(int, pthread_rwlock_wrlock, pthread_rwlock_t*);
MEND_INTERPOSE(int, pthread_rwlock_wrlock, pthread_rwlock_t* lock) {
  if (!IsRegisteredThread()) return next_pthread_rwlock_wrlock(lock);
  const int error = next_pthread_rwlock_trywrlock(lock);
  if (error != EBUSY) return error;
  const BlockedRegion region("pthread_rwlock_wrlock");
  return next_pthread_rwlock_wrlock(lock);
}

MEND_NEXT(int, sem_trywait, sem_t*);
MEND_NEXT(int, sem_wait, sem_t*);
MEND_INTERPOSE(int, sem_wait, sem_t* semaphore) {
  if (!IsRegisteredThread()) return next_sem_wait(semaphore);
  // A cancellation point also when the semaphore is free.
  pthread_testcancel();
  const int saved_errno = errno;
  if (next_sem_trywait(semaphore) == 0) return 0;
  errno = saved_errno;
  return mend::jit::CallRestarting("sem_wait", [&] { return next_sem_wait(semaphore); });
}

// clang-format off
MEND_BLOCKING_RESTARTING(int, sem_timedwait, (sem_t* semaphore, const timespec* until), (semaphore, until))
MEND_BLOCKING_RESTARTING(int, sem_clockwait, (sem_t* semaphore, clockid_t clock, const timespec* until), (semaphore, clock, until))

// Not tried first: libc checks the time before it looks at the lock.
MEND_BLOCKING(int, pthread_mutex_timedlock, (pthread_mutex_t* mutex, const timespec* until), (mutex, until))
MEND_BLOCKING(int, pthread_mutex_clocklock, (pthread_mutex_t* mutex, clockid_t clock, const timespec* until), (mutex, clock, until))
MEND_BLOCKING(int, pthread_rwlock_timedrdlock, (pthread_rwlock_t* lock, const timespec* until), (lock, until))
MEND_BLOCKING(int, pthread_rwlock_timedwrlock, (pthread_rwlock_t* lock, const timespec* until), (lock, until))
MEND_BLOCKING(int, pthread_rwlock_clockrdlock, (pthread_rwlock_t* lock, clockid_t clock, const timespec* until), (lock, clock, until))
MEND_BLOCKING(int, pthread_rwlock_clockwrlock, (pthread_rwlock_t* lock, clockid_t clock, const timespec* until), (lock, clock, until))

MEND_BLOCKING(int, pthread_barrier_wait, (pthread_barrier_t* barrier), (barrier))
MEND_BLOCKING(int, pthread_join, (pthread_t thread, void** result), (thread, result))
MEND_BLOCKING(int, pthread_timedjoin_np, (pthread_t thread, void** result, const timespec* until), (thread, result, until))
MEND_BLOCKING(int, pthread_clockjoin_np, (pthread_t thread, void** result, clockid_t clock, const timespec* until), (thread, result, clock, until))

MEND_BLOCKING(int, thrd_join, (thrd_t thread, int* result), (thread, result))
MEND_BLOCKING(int, mtx_timedlock, (mtx_t* mutex, const timespec* until), (mutex, until))
MEND_BLOCKING(int, cnd_wait, (cnd_t* condition, mtx_t* mutex), (condition, mutex))
MEND_BLOCKING(int, cnd_timedwait, (cnd_t* condition, mtx_t* mutex, const timespec* until), (condition, mutex, until))
// clang-format on

// The condition variables of before 2003 have the same names under another version, which dlsym
// returned first until glibc 2.36.
#define MEND_CONDITION_WAIT(name, version, parameters, arguments) \
  MEND_NEXT_VERSION(int, name, version, MEND_UNWRAP parameters);  \
  MEND_INTERPOSE(int, name, MEND_UNWRAP parameters) {             \
    const BlockedRegion region(#name);                            \
    return next_##name arguments;                                 \
  }
MEND_CONDITION_WAIT(pthread_cond_wait, "GLIBC_2.3.2",
                    (pthread_cond_t * condition, pthread_mutex_t* mutex), (condition, mutex))
MEND_CONDITION_WAIT(pthread_cond_timedwait, "GLIBC_2.3.2",
                    (pthread_cond_t * condition, pthread_mutex_t* mutex, const timespec* until),
                    (condition, mutex, until))
MEND_CONDITION_WAIT(pthread_cond_clockwait, nullptr,
                    (pthread_cond_t * condition, pthread_mutex_t* mutex, clockid_t clock,
                     const timespec* until),
                    (condition, mutex, clock, until))

MEND_NEXT(int, mtx_trylock, mtx_t*);
MEND_NEXT(int, mtx_lock, mtx_t*);
MEND_INTERPOSE(int, mtx_lock, mtx_t* mutex) {
  if (!IsRegisteredThread()) return next_mtx_lock(mutex);
  const int result = next_mtx_trylock(mutex);
  if (result != thrd_busy) return result;
  const BlockedRegion region("mtx_lock");
  return next_mtx_lock(mutex);
}

MEND_NEXT(int, thrd_sleep, const timespec*, timespec*);
MEND_INTERPOSE(int, thrd_sleep, const timespec* duration, timespec* remaining) {
  const BlockedRegion region("thrd_sleep");
  const mend::jit::InterruptionWatch watch;
  timespec left;
  timespec* const rest = remaining != nullptr ? remaining : &left;
  while (true) {
    // -1 says interrupted; other failures are less than that.
    const int result = next_thrd_sleep(duration, rest);
    if (!watch.ShallRestart(result == -1)) return result;
    duration = rest;
  }
}
