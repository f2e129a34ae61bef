/* Threads that no signal of Node's reaches. */
#ifndef VIADUCT_THREAD_H
#define VIADUCT_THREAD_H

#include <pthread.h>

/* Both return a number of errno.h, 0 for none. */
int start_thread(pthread_t *thread, void *(*run)(void *), void *argument);
/* Runs a function on a thread of its own and waits for its end. */
int run_on_thread(void *(*run)(void *), void *argument);

#endif
