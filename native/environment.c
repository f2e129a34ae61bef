#include "environment.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"
#include "worker.h"

static void end(napi_async_cleanup_hook_handle hook, void *data);
static void release(napi_env env, void *data, void *hint);
static void take_completions(uv_async_t *wake);

bool environment_create(napi_env env) {
  struct environment *environment = calloc(1, sizeof(*environment));
  uv_async_t *wake = malloc(uv_handle_size(UV_ASYNC));
  napi_value name;
  if (environment == NULL || wake == NULL) {
    free(environment);
    free(wake);
    napi_throw_error(env, "ENOMEM", "out of memory");
    return false;
  }
  environment->env = env;
  pthread_mutex_init(&environment->lock, NULL);
  /* The instance data is released also if the rest fails. */
  if (!check(env, napi_set_instance_data(env, environment, release, NULL))) {
    release(env, environment, NULL);
    free(wake);
    return false;
  }
  if (!check(env, napi_get_uv_event_loop(env, (struct uv_loop_s **)&environment->loop)) ||
      !check(env, napi_create_string_utf8(env, "viaduct", NAPI_AUTO_LENGTH, &name)) ||
      !check(env, napi_async_init(env, NULL, name, &environment->context)) ||
      !check(env, napi_add_async_cleanup_hook(env, end, environment, &environment->hook))) {
    free(wake);
    return false;
  }
  int error = uv_async_init(environment->loop, wake, take_completions);
  if (error != 0) {
    free(wake);
    napi_remove_async_cleanup_hook(environment->hook);
    throw_error(env, -error, "uv_async_init");
    return false;
  }
  uv_handle_set_data((uv_handle_t *)wake, environment);
  uv_unref((uv_handle_t *)wake);
  environment->wake = wake;
  return true;
}

struct environment *environment_of(napi_env env) {
  void *environment = NULL;
  napi_get_instance_data(env, &environment);
  return environment;
}

/* After all cleanup hooks. */
static void release(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct environment *environment = data;
  pthread_mutex_destroy(&environment->lock);
  free(environment->lent);
  free(environment);
}

static void wake_closed(uv_handle_t *handle) {
  struct environment *environment = uv_handle_get_data(handle);
  free(handle);
  /* Node goes on with the tear-down when the hook is removed; `environment` may be gone after this. */
  napi_remove_async_cleanup_hook(environment->hook);
}

enum { WORD_BITS = 64 };

bool descriptor_lent(struct environment *environment, int fd) {
  size_t word = (size_t)fd / WORD_BITS;
  if (word >= environment->lent_words) {
    size_t words = (word + 1) * 2;
    uint64_t *lent = realloc(environment->lent, words * sizeof(*lent));
    if (lent == NULL) return false;
    memset(lent + environment->lent_words, 0, (words - environment->lent_words) * sizeof(*lent));
    environment->lent = lent;
    environment->lent_words = words;
  }
  environment->lent[word] |= (uint64_t)1 << fd % WORD_BITS;
  return true;
}

void descriptor_returned(struct environment *environment, int fd) {
  size_t word = (size_t)fd / WORD_BITS;
  if (word < environment->lent_words) environment->lent[word] &= ~((uint64_t)1 << fd % WORD_BITS);
}

static void close_lent(struct environment *environment) {
  for (size_t fd = 0; fd < environment->lent_words * WORD_BITS; fd++) {
    if (environment->lent[fd / WORD_BITS] >> fd % WORD_BITS & 1) close((int)fd);
  }
  environment->lent_words = 0;
}

static void end_if_idle(struct environment *environment) {
  if (!environment->ending || environment->activities != NULL || environment->wake == NULL) return;
  uv_handle_t *wake = (uv_handle_t *)environment->wake;
  environment->wake = NULL;
  workers_end(environment);
  /* Not before: a thread may have been reading one, or libuv polling it. */
  close_lent(environment);
  napi_async_destroy(environment->env, environment->context);
  uv_close(wake, wake_closed);
}

/* Node runs the loop until the hook is removed, so everything can end in order. */
static void end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  struct environment *environment = data;
  environment->ending = true;
  struct activity *next;
  for (struct activity *activity = environment->activities; activity != NULL; activity = next) {
    next = activity->next;
    activity->stop(activity);
  }
  end_if_idle(environment);
}

void activity_started(struct environment *environment, struct activity *activity) {
  activity->next = environment->activities;
  activity->link = &environment->activities;
  if (activity->next != NULL) activity->next->link = &activity->next;
  environment->activities = activity;
}

void activity_ended(struct environment *environment, struct activity *activity) {
  *activity->link = activity->next;
  if (activity->next != NULL) activity->next->link = activity->link;
  end_if_idle(environment);
}

void environment_await(struct environment *environment) {
  if (environment->awaited++ == 0) uv_ref((uv_handle_t *)environment->wake);
}

void environment_complete(struct environment *environment, struct completion *completion) {
  /* Under the lock, so that the handle is not closed while this thread is still in uv_async_send. */
  pthread_mutex_lock(&environment->lock);
  completion->next = environment->completions;
  environment->completions = completion;
  uv_async_send(environment->wake);
  pthread_mutex_unlock(&environment->lock);
}

static void take_completions(uv_async_t *wake) {
  struct environment *environment = uv_handle_get_data((uv_handle_t *)wake);
  pthread_mutex_lock(&environment->lock);
  struct completion *taken = environment->completions;
  environment->completions = NULL;
  pthread_mutex_unlock(&environment->lock);

  struct completion *first = NULL;
  while (taken != NULL) {
    struct completion *next = taken->next;
    taken->next = first;
    first = taken;
    taken = next;
  }
  while (first != NULL) {
    struct completion *next = first->next;
    if (--environment->awaited == 0) uv_unref((uv_handle_t *)environment->wake);
    napi_handle_scope scope;
    bool opened = napi_open_handle_scope(environment->env, &scope) == napi_ok;
    first->complete(first);
    if (opened) napi_close_handle_scope(environment->env, scope);
    first = next;
  }
}

/* What a callback threw, in the way that Node treats what its own callbacks throw. */
static void report_exception(napi_env env) {
  bool pending = false;
  napi_value exception;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
}

void environment_call(struct environment *environment, napi_async_context context, napi_ref function, size_t count,
                      const napi_value *arguments) {
  napi_env env = environment->env;
  napi_value callee, receiver, result;
  if (environment->ending) return;
  if (napi_get_reference_value(env, function, &callee) != napi_ok || callee == NULL) return;
  /* The receiver must be an object. */
  if (napi_get_global(env, &receiver) != napi_ok) return;
  napi_make_callback(env, context, receiver, callee, count, arguments, &result);
  report_exception(env);
}
