#include "thread.h"

#include <signal.h>

#include "clock.h"

/* Node's static TLS lies on the stack too; untouched pages cost nothing. */
enum { STACK_BYTES = 512 * 1024 };
/* Reading the clock takes as long as some looks at memory. */
enum { LOOKS_BETWEEN_CLOCKS = 64 };

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

/* Leaves the core to its twin for a moment. */
static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

bool look_out(bool (*has_come)(void *), void *argument, int64_t nanoseconds) {
  int64_t until = now_nanoseconds() + nanoseconds;
  do {
    for (int look = 0; look < LOOKS_BETWEEN_CLOCKS; look++) {
      if (has_come(argument)) return true;
      relax();
    }
  } while (now_nanoseconds() < until);
  return false;
}

int run_on_thread(void *(*run)(void *), void *argument) {
  pthread_t thread;
  int error = start_thread(&thread, run, argument);
  return error != 0 ? error : pthread_join(thread, NULL);
}
