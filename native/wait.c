/* Waiting for a non-blocking connect: a uv_poll and a uv_timer, and a promise. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "clock.h"
#include "environment.h"
#include "promise.h"
#include "sockets.h"
#include "support.h"

struct wait {
  struct activity activity;
  struct environment *environment;
  struct promise promise;
  int fd;
  bool over;
  unsigned open_handles;
  uv_poll_t *poll;
  uv_timer_t *timer;
};

static struct wait *wait_of(struct activity *activity) {
  return (struct wait *)((char *)activity - offsetof(struct wait, activity));
}

static void handle_closed(uv_handle_t *handle) {
  struct wait *wait = uv_handle_get_data(handle);
  free(handle);
  if (--wait->open_handles > 0) return;
  promise_forget(wait->environment->env, &wait->promise);
  activity_ended(wait->environment, &wait->activity);
  free(wait);
}

static void close_handles(struct wait *wait) {
  wait->over = true;
  uv_close((uv_handle_t *)wait->poll, handle_closed);
  uv_close((uv_handle_t *)wait->timer, handle_closed);
}

/* `error` is a number of errno.h, 0 for success. */
static void settle(struct wait *wait, int error) {
  struct environment *environment = wait->environment;
  napi_env env = environment->env;
  napi_handle_scope scope;
  napi_value value = NULL;
  if (wait->over) return;
  /* The descriptor is the caller's again before it hears of it. */
  close_handles(wait);
  if (environment->ending || napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (error != 0) {
    value = make_error(env, error, "connect");
  } else {
    napi_get_undefined(env, &value);
  }
  promise_settle(environment, &wait->promise, value, error == 0);
  napi_close_handle_scope(env, scope);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct wait *wait = uv_handle_get_data((uv_handle_t *)poll);
  int error = 0;
  socklen_t size = sizeof(error);
  (void)status; /* A refused connection comes as UV_EBADF; what it was stands in SO_ERROR. */
  (void)events;
  if (getsockopt(wait->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  settle(wait, error);
}

static void on_timeout(uv_timer_t *timer) {
  settle(uv_handle_get_data((uv_handle_t *)timer), ETIMEDOUT);
}

static void stop_wait(struct activity *activity) {
  if (!wait_of(activity)->over) close_handles(wait_of(activity));
}

napi_value wait_writable(napi_env env, napi_callback_info info) {
  napi_value arguments[2], promise;
  int64_t fd;
  double timeout;
  if (!read_arguments(env, info, arguments, COUNT(arguments)) || !read_integer(env, arguments[0], 0, INT_MAX, &fd) ||
      !check(env, napi_get_value_double(env, arguments[1], &timeout))) {
    return NULL;
  }
  struct environment *environment = environment_of(env);
  struct wait *wait = calloc(1, sizeof(*wait));
  uv_poll_t *poll = malloc(uv_handle_size(UV_POLL));
  uv_timer_t *timer = malloc(uv_handle_size(UV_TIMER));
  int error = wait == NULL || poll == NULL || timer == NULL ? ENOMEM : 0;
  promise = NULL;
  if (error == 0) {
    /* Runs JavaScript, so before there is anything to cancel. */
    promise = promise_create(env, &wait->promise);
    if (promise != NULL) error = -uv_poll_init(environment->loop, poll, (int)fd);
  }
  if (promise == NULL || error != 0) {
    if (promise != NULL) promise_forget(env, &wait->promise);
    free(wait);
    free(poll);
    free(timer);
    return error == 0 ? NULL : throw_error(env, error, "uv_poll_init");
  }
  uv_timer_init(environment->loop, timer);
  uv_handle_set_data((uv_handle_t *)poll, wait);
  uv_handle_set_data((uv_handle_t *)timer, wait);
  wait->environment = environment;
  wait->fd = (int)fd;
  wait->open_handles = 2;
  wait->poll = poll;
  wait->timer = timer;
  wait->activity.stop = stop_wait;
  activity_started(environment, &wait->activity);
  uv_poll_start(poll, UV_WRITABLE, on_poll);
  /* Timers count from when the loop last looked, which may be long ago. */
  uv_update_time(environment->loop);
  uv_timer_start(timer, on_timeout, (uint64_t)(timeout_nanoseconds(timeout) / 1000000), 0);
  return promise;
}

napi_value cancel_wait(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int64_t fd;
  if (!read_arguments(env, info, arguments, COUNT(arguments)) || !read_integer(env, arguments[0], 0, INT_MAX, &fd)) {
    return NULL;
  }
  struct environment *environment = environment_of(env);
  for (struct activity *activity = environment->activities; activity != NULL; activity = activity->next) {
    if (activity->stop != stop_wait || wait_of(activity)->over || wait_of(activity)->fd != fd) continue;
    settle(wait_of(activity), ECANCELED);
    break;
  }
  return NULL;
}
