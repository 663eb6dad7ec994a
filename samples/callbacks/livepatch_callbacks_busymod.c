/* A guest module whose thread stands in busymod_work_func for `sleep_secs`: a patch of that
 * function cannot complete before. Unloading the module wakes the thread. */
#include <mend/livepatch.h>

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#define NAME "livepatch_callbacks_busymod"

static int sleep_secs;
MEND_PARAM_INT(sleep_secs);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static bool leave;
static pthread_t worker;

static void* busymod_work_func(void* unused) {
  struct timespec until;
  mend_log("%s: %s, sleeping %d seconds ...", NAME, __func__, sleep_secs);
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += sleep_secs;
  pthread_mutex_lock(&mutex);
  while (!leave && pthread_cond_timedwait(&woken, &mutex, &until) == 0) {
  }
  pthread_mutex_unlock(&mutex);
  mend_log("%s: %s exit", NAME, __func__);
  return unused;
}

static int livepatch_callbacks_mod_init(void) {
  mend_log("%s: %s", NAME, __func__);
  return -pthread_create(&worker, NULL, busymod_work_func, NULL);
}

static void livepatch_callbacks_mod_exit(void) {
  pthread_mutex_lock(&mutex);
  leave = true;
  pthread_cond_signal(&woken);
  pthread_mutex_unlock(&mutex);
  pthread_join(worker, NULL);
  mend_log("%s: %s", NAME, __func__);
}

MEND_MODULE_INIT(livepatch_callbacks_mod_init);
MEND_MODULE_EXIT(livepatch_callbacks_mod_exit);
