#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "environment.h"
#include "thread.h"

/* A program has some sockets; what it does on more of them at once may wait for a thread to be made. */
enum { MOST_IDLE = 2 };

struct worker {
  struct worker *next;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  void (*run)(void *);
  void *argument;
  bool ending;
};

static void *wait_for_work(void *argument) {
  struct worker *worker = argument;
  for (;;) {
    pthread_mutex_lock(&worker->lock);
    while (worker->run == NULL && !worker->ending) pthread_cond_wait(&worker->changed, &worker->lock);
    void (*run)(void *) = worker->run;
    worker->run = NULL;
    void *work = worker->argument;
    pthread_mutex_unlock(&worker->lock);
    if (run == NULL) return NULL;
    run(work);
  }
}

static void discard(struct worker *worker) {
  pthread_cond_destroy(&worker->changed);
  pthread_mutex_destroy(&worker->lock);
  free(worker);
}

static int create(struct worker **created) {
  struct worker *worker = calloc(1, sizeof(*worker));
  if (worker == NULL) return ENOMEM;
  pthread_mutex_init(&worker->lock, NULL);
  pthread_cond_init(&worker->changed, NULL);
  int error = start_thread(&worker->thread, wait_for_work, worker);
  if (error != 0) {
    discard(worker);
    return error;
  }
  *created = worker;
  return 0;
}

int worker_run(struct environment *environment, void (*run)(void *), void *argument, struct worker **worker) {
  *worker = environment->idle_workers;
  if (*worker != NULL) {
    environment->idle_workers = (*worker)->next;
    environment->idle_count--;
  } else {
    int error = create(worker);
    if (error != 0) return error;
  }
  pthread_mutex_lock(&(*worker)->lock);
  (*worker)->argument = argument;
  (*worker)->run = run;
  pthread_cond_signal(&(*worker)->changed);
  pthread_mutex_unlock(&(*worker)->lock);
  return 0;
}

/* It may still be on its way out of environment_complete(): joining it waits for that. */
static void end(struct worker *worker) {
  pthread_mutex_lock(&worker->lock);
  worker->ending = true;
  pthread_cond_signal(&worker->changed);
  pthread_mutex_unlock(&worker->lock);
  pthread_join(worker->thread, NULL);
  discard(worker);
}

void worker_idle(struct environment *environment, struct worker *worker) {
  if (environment->idle_count == MOST_IDLE) {
    end(worker);
    return;
  }
  environment->idle_count++;
  worker->next = environment->idle_workers;
  environment->idle_workers = worker;
}

void workers_end(struct environment *environment) {
  while (environment->idle_workers != NULL) {
    struct worker *worker = environment->idle_workers;
    environment->idle_workers = worker->next;
    end(worker);
  }
  environment->idle_count = 0;
}
