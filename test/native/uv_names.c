/*
 * What native/uv_names.h declares by itself, held against libuv's own header: a function that differs does not compile,
 * nor does a number.
 */
#include <uv.h>

#define VIADUCT_ASYNC 1
#define VIADUCT_POLL 8
#define VIADUCT_TIMER 13

#include "../../native/uv_names.h"

_Static_assert((int)UV_ASYNC == VIADUCT_ASYNC, "UV_ASYNC");
_Static_assert((int)UV_POLL == VIADUCT_POLL, "UV_POLL");
_Static_assert((int)UV_TIMER == VIADUCT_TIMER, "UV_TIMER");
_Static_assert((int)UV_READABLE == 1 && (int)UV_WRITABLE == 2, "events");
