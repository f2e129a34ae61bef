/* Descriptors opened inside another network namespace, and namespaces themselves. */
#ifndef VIADUCT_NAMESPACE_H
#define VIADUCT_NAMESPACE_H

#include <node_api.h>

struct opening {
  /* Opens a descriptor; returns it, or -1 with errno set and `*syscall` naming what failed. */
  int (*open)(void *argument, const char **syscall);
  void *argument;
  /* What failed, if something did. */
  int error;
  const char *syscall;
};

/*
 * Runs `opening->open` in a network namespace: on a short-lived thread that enters it by setns(2), never on Node's.
 * With -1 it runs where it is called. Returns the descriptor, or -1 with `error` and `syscall` set.
 */
int open_in_namespace(int netns_fd, struct opening *opening);

napi_value create_namespace(napi_env env, napi_callback_info info);
napi_value open_file(napi_env env, napi_callback_info info);
napi_value bind_mount(napi_env env, napi_callback_info info);
napi_value share_mount(napi_env env, napi_callback_info info);
napi_value unmount(napi_env env, napi_callback_info info);

#endif
