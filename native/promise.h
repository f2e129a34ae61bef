/*
 * Promises that can be forgotten: a napi_deferred is only freed by settling it, which an environment that ends does not
 * permit any more (js_native_api_v8.cc, ConcludeDeferred). These keep references to the promise's own functions.
 */
#ifndef VIADUCT_PROMISE_H
#define VIADUCT_PROMISE_H

#include "environment.h"

struct promise {
  napi_ref resolve;
  napi_ref reject;
};

/* The promise as JavaScript has it; NULL with an exception pending. */
napi_value promise_create(napi_env env, struct promise *promise);

/* From the event loop, or from within a call of JavaScript's. Forgets it thereby; does no more if the environment ends. */
void promise_settle(struct environment *environment, struct promise *promise, napi_value value, bool resolved);

void promise_forget(napi_env env, struct promise *promise);

#endif
