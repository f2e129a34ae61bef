#include "thread.h"

#include <signal.h>

/* Node's static TLS lies on the stack too; untouched pages cost nothing. */
enum { STACK_BYTES = 512 * 1024 };

int start_thread(pthread_t *thread, void *(*run)(void *), void *argument) {
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return error;
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  /* A new thread has the mask of the one that makes it: no signal handler of Node's is to run there. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  error = pthread_create(thread, &attributes, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error;
}

int run_on_thread(void *(*run)(void *), void *argument) {
  pthread_t thread;
  int error = start_thread(&thread, run, argument);
  return error != 0 ? error : pthread_join(thread, NULL);
}
