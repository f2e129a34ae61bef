/*
 * What the addon uses of libuv, which the Node binary exports. Declared here and not taken from <uv.h>: the package
 * node-api-headers does not hold it, and handles made through uv_handle_size() need no layout. The numbers are part of
 * libuv 1's stable ABI; test/native/uv_names.c compiles them against <uv.h>.
 */
#ifndef VIADUCT_UV_NAMES_H
#define VIADUCT_UV_NAMES_H

#include <stddef.h>
#include <stdint.h>

#ifndef UV_H
typedef struct uv_loop_s uv_loop_t;
typedef struct uv_handle_s uv_handle_t;
typedef struct uv_async_s uv_async_t;
typedef struct uv_poll_s uv_poll_t;
typedef struct uv_timer_s uv_timer_t;
typedef void (*uv_close_cb)(uv_handle_t *handle);
typedef void (*uv_async_cb)(uv_async_t *handle);
typedef void (*uv_poll_cb)(uv_poll_t *handle, int status, int events);
typedef void (*uv_timer_cb)(uv_timer_t *handle);

typedef enum { UV_ASYNC = 1, UV_POLL = 8, UV_TIMER = 13 } uv_handle_type;
enum uv_poll_event { UV_READABLE = 1, UV_WRITABLE = 2 };
#endif

size_t uv_handle_size(uv_handle_type type);
void *uv_handle_get_data(const uv_handle_t *handle);
void uv_handle_set_data(uv_handle_t *handle, void *data);
void uv_close(uv_handle_t *handle, uv_close_cb close_cb);
void uv_ref(uv_handle_t *handle);
void uv_unref(uv_handle_t *handle);

void uv_update_time(uv_loop_t *loop);

int uv_async_init(uv_loop_t *loop, uv_async_t *async, uv_async_cb async_cb);
int uv_async_send(uv_async_t *async);

int uv_poll_init(uv_loop_t *loop, uv_poll_t *handle, int fd);
int uv_poll_start(uv_poll_t *handle, int events, uv_poll_cb callback);
int uv_poll_stop(uv_poll_t *handle);

int uv_timer_init(uv_loop_t *loop, uv_timer_t *handle);
int uv_timer_start(uv_timer_t *handle, uv_timer_cb callback, uint64_t timeout, uint64_t repeat);

char *uv_err_name_r(int error, char *buffer, size_t length);
char *uv_strerror_r(int error, char *buffer, size_t length);

#endif
