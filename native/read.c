/*
 * A file below /proc is handed out a page or so at a time (fs/seq_file.c), whatever is asked for: read here until a
 * large piece is full, with one hop to a thread and back for all of it.
 */
#include "read.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "environment.h"
#include "promise.h"
#include "support.h"
#include "worker.h"

struct reading {
  struct completion completion;
  struct activity activity;
  struct environment *environment;
  struct promise promise;
  struct worker *worker;
  int fd;
  atomic_bool cancelled;
  int error;
  uint8_t *bytes;
  size_t length;
  size_t capacity;
};

static void run(void *argument) {
  struct reading *reading = argument;
  while (reading->length < reading->capacity && !atomic_load(&reading->cancelled)) {
    ssize_t count = read(reading->fd, reading->bytes + reading->length, reading->capacity - reading->length);
    if (count > 0) {
      reading->length += (size_t)count;
    } else if (count == 0) {
      break;
    } else if (errno != EINTR) {
      reading->error = errno;
      break;
    }
  }
  environment_complete(reading->environment, &reading->completion);
}

static void complete(struct completion *completion) {
  struct reading *reading = (struct reading *)((char *)completion - offsetof(struct reading, completion));
  struct environment *environment = reading->environment;
  worker_idle(environment, reading->worker);
  bool failed = reading->error != 0;
  napi_value value = NULL;
  if (!environment->ending) {
    /* What was read before an error is not told: whoever reads again from the start misses nothing. */
    if (failed) {
      value = make_error(environment->env, reading->error, "read");
    } else {
      value = adopt_bytes(environment->env, reading->bytes, reading->length);
      reading->bytes = NULL;
    }
    if (value == NULL) {
      failed = true;
      if (napi_get_and_clear_last_exception(environment->env, &value) != napi_ok) value = NULL;
    }
  }
  promise_settle(environment, &reading->promise, value, !failed);
  activity_ended(environment, &reading->activity);
  free(reading->bytes);
  free(reading);
}

static void stop(struct activity *activity) {
  struct reading *reading = (struct reading *)((char *)activity - offsetof(struct reading, activity));
  atomic_store(&reading->cancelled, true);
}

napi_value read_some(napi_env env, napi_callback_info info) {
  napi_value arguments[2], promise;
  int64_t fd, capacity;
  if (!read_arguments(env, info, arguments, COUNT(arguments)) || !read_integer(env, arguments[0], 0, INT_MAX, &fd) ||
      !read_integer(env, arguments[1], 1, 1 << 30, &capacity)) {
    return NULL;
  }
  /* Of a pipe or a socket it might wait for ever, and with it the end of the environment. */
  struct stat status;
  if (fstat((int)fd, &status) != 0) return throw_error(env, errno, "fstat");
  if (!S_ISREG(status.st_mode)) return throw_error(env, EINVAL, "read");
  struct environment *environment = environment_of(env);
  struct reading *reading = calloc(1, sizeof(*reading));
  uint8_t *bytes = malloc((size_t)capacity);
  if (reading == NULL || bytes == NULL) {
    free(reading);
    free(bytes);
    return throw_error(env, ENOMEM, "malloc");
  }
  reading->completion.complete = complete;
  reading->activity.stop = stop;
  reading->environment = environment;
  reading->fd = (int)fd;
  reading->bytes = bytes;
  reading->capacity = (size_t)capacity;
  promise = promise_create(env, &reading->promise);
  int error = promise == NULL ? 0 : worker_run(environment, run, reading, &reading->worker);
  if (promise != NULL && error == 0) {
    environment_await(environment);
    activity_started(environment, &reading->activity);
    return promise;
  }
  if (promise != NULL) {
    promise_settle(environment, &reading->promise, make_error(env, error, "pthread_create"), false);
  }
  free(bytes);
  free(reading);
  return promise;
}
