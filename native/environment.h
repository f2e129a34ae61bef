/*
 * What belongs to one environment: the main thread or one worker thread that has loaded the addon. There is no other
 * state: everything here hangs on the instance data, and is taken down with the environment.
 */
#ifndef VIADUCT_ENVIRONMENT_H
#define VIADUCT_ENVIRONMENT_H

#include <node_api.h>
#include <pthread.h>
#include <stdbool.h>

#include "uv_names.h"

/* Something that must end before the environment may: a receiver, a running exchange, a pending connect. */
struct activity {
  struct activity *next;
  struct activity **link;
  /* Ends it as soon as it can; it then calls activity_ended(). Never calls JavaScript. */
  void (*stop)(struct activity *activity);
};

/* Work of another thread, handed back to the thread of the environment. */
struct completion {
  struct completion *next;
  /* On the environment's thread, in a handle scope. */
  void (*complete)(struct completion *completion);
};

struct environment {
  napi_env env;
  uv_loop_t *loop;
  /* The environment is going: no JavaScript may be called any more. */
  bool ending;
  struct activity *activities;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  /*
   * Descriptors that JavaScript holds as bare numbers, one bit for each. A worker may be ended at any statement and runs
   * no `finally` then: those still set are closed with the environment.
   */
  uint64_t *lent;
  size_t lent_words;

  /* Other threads hand over here. */
  pthread_mutex_t lock;
  struct completion *completions;
  uv_async_t *wake;
  /* Completions that are still to come; they keep the loop alive. */
  unsigned awaited;

  /* See worker.h. */
  struct worker *idle_workers;
  unsigned idle_count;
};

/* Makes the instance data; false with an exception pending. */
bool environment_create(napi_env env);
struct environment *environment_of(napi_env env);

/* A descriptor is lent to JavaScript from here on; false if memory lacks. */
bool descriptor_lent(struct environment *environment, int fd);
/* It is closed, or belongs to somebody else: its number may soon be another's. Nothing if it was not lent. */
void descriptor_returned(struct environment *environment, int fd);

void activity_started(struct environment *environment, struct activity *activity);
void activity_ended(struct environment *environment, struct activity *activity);

/* A thread that was started is going to call environment_complete() once; the loop stays alive until then. */
void environment_await(struct environment *environment);
/* From any thread. The environment lives at least until `complete` was called. */
void environment_complete(struct environment *environment, struct completion *completion);

/*
 * Calls a function from the event loop, with the microtasks after it. What it throws becomes an uncaughtException.
 * Does nothing if the environment is ending.
 */
void environment_call(struct environment *environment, napi_async_context context, napi_ref function, size_t count,
                      const napi_value *arguments);

#endif
