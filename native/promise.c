#include "promise.h"

#include "support.h"

/* What `new Promise()` calls at once. */
static napi_value take_functions(napi_env env, napi_callback_info info) {
  napi_value functions[2];
  size_t count = COUNT(functions);
  void *data;
  if (!check(env, napi_get_cb_info(env, info, &count, functions, NULL, &data))) return NULL;
  struct promise *promise = data;
  if (check(env, napi_create_reference(env, functions[0], 1, &promise->resolve))) {
    check(env, napi_create_reference(env, functions[1], 1, &promise->reject));
  }
  return NULL;
}

napi_value promise_create(napi_env env, struct promise *promise) {
  napi_value global, constructor, executor, result;
  *promise = (struct promise){NULL, NULL};
  if (!check(env, napi_get_global(env, &global)) ||
      !check(env, napi_get_named_property(env, global, "Promise", &constructor)) ||
      !check(env, napi_create_function(env, NULL, 0, take_functions, promise, &executor)) ||
      !check(env, napi_new_instance(env, constructor, 1, &executor, &result))) {
    return NULL;
  }
  if (promise->resolve != NULL && promise->reject != NULL) return result;
  promise_forget(env, promise);
  napi_throw_error(env, NULL, "the promise could not be made");
  return NULL;
}

void promise_settle(struct environment *environment, struct promise *promise, napi_value value, bool resolved) {
  if (value != NULL) {
    environment_call(environment, environment->context, resolved ? promise->resolve : promise->reject, 1, &value);
  }
  promise_forget(environment->env, promise);
}

void promise_forget(napi_env env, struct promise *promise) {
  if (promise->resolve != NULL) napi_delete_reference(env, promise->resolve);
  if (promise->reject != NULL) napi_delete_reference(env, promise->reject);
  *promise = (struct promise){NULL, NULL};
}
