// fork from several threads at once, with fork handlers that take a lock, and from a thread of a
// child.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static int forks;
static void p1(void) {
  pthread_mutex_lock(&mu);
  forks++;
}
static void c1(void) { pthread_mutex_unlock(&mu); }
static void p2(void) {
  if (forks < 2) {
  }
}
static void* many(void* p) {
  long bad = 0;
  for (int i = 0; i < 25; i++) {
    pid_t k = fork();
    if (!k) {
      char* x = malloc(1000);
      memset(x, 1, 1000);
      free(x);
      pthread_mutex_lock(&mu);
      pthread_mutex_unlock(&mu);
      if (i % 3 == 0) exit(3);
      _exit(3);
    }
    int st;
    if (waitpid(k, &st, 0) != k || WEXITSTATUS(st) != 3) bad++;
  }
  return (void*)bad;
}
static void ae(void) {}
int main(void) {
  pthread_atfork(p1, c1, c1);
  pthread_atfork(p2, p2, p2);
  atexit(ae);
  fflush(stdout);
  pthread_t t[6];
  for (int i = 0; i < 6; i++) pthread_create(&t[i], 0, many, 0);
  long bad = 0;
  for (int i = 0; i < 6; i++) {
    void* r;
    pthread_join(t[i], &r);
    bad += (long)r;
  }
  printf("bad %ld forks %d\n", bad, forks);
  // nested fork from a thread in a child
  fflush(stdout);
  if (!fork()) {
    pthread_t q;
    void* r;
    pthread_create(&q, 0, many, 0);
    pthread_join(q, &r);
    printf("child bad %ld\n", (long)r);
    exit(4);
  }
  int st;
  wait(&st);
  printf("%d\n", WEXITSTATUS(st));
}
