// Threads and processes that end by the system call, past libc: no destructor runs, and the process
// ends with its last thread, with the status of that.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void Say(const char* text) {
  fputs(text, stdout);
  fflush(stdout);
}

static void Last(void) { Say("an exit handler\n"); }

static void* Leave(void* status) {
  syscall(SYS_exit, (int)(long)status);
  return NULL;
}

static void* LeaveLate(void* status) {
  usleep(50000);
  return Leave(status);
}

static void* Return(void* unused) {
  usleep(50000);
  return unused;
}

// The status of a child that does this.
static int StatusOf(void (*child)(void)) {
  int status;
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(20);
    child();
    _exit(99);
  }
  waitpid(pid, &status, 0);
  return status;
}

static void Alone(void) { syscall(SYS_exit, 7); }

static void FirstThenOther(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, LeaveLate, (void*)5L);
  syscall(SYS_exit, 3);
}

static void FirstThenOtherReturns(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, Return, NULL);
  syscall(SYS_exit, 3);
}

static void OthersOnly(void) {
  for (int i = 0; i < 50; ++i) {
    pthread_t thread;
    pthread_create(&thread, NULL, Leave, (void*)5L);
    pthread_join(thread, NULL);
  }
  Say("all have left\n");
  exit(4);
}

static void ByVfork(void) {
  int status;
  const pid_t pid = vfork();
  if (pid == 0) syscall(SYS_exit, 6);
  waitpid(pid, &status, 0);
  printf("the child of a vfork: %d\n", WEXITSTATUS(status));
  exit(8);
}

int main(void) {
  atexit(Last);
  printf("alone %x\n", StatusOf(Alone));
  printf("first, then the other %x\n", StatusOf(FirstThenOther));
  printf("first, then the other returns %x\n", StatusOf(FirstThenOtherReturns));
  fflush(stdout);
  printf("others only %x\n", StatusOf(OthersOnly));
  fflush(stdout);
  printf("in the child of a vfork %x\n", StatusOf(ByVfork));
  fflush(stdout);
  syscall(SYS_exit, 9);
  return 0;
}
