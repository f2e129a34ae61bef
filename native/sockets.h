/* Sockets other than netlink, opened where a namespace sees them. */
#ifndef VIADUCT_SOCKETS_H
#define VIADUCT_SOCKETS_H

#include <node_api.h>

napi_value open_socket(napi_env env, napi_callback_info info);
napi_value wait_writable(napi_env env, napi_callback_info info);
napi_value cancel_wait(napi_env env, napi_callback_info info);
napi_value release_descriptor(napi_env env, napi_callback_info info);
napi_value close_descriptor(napi_env env, napi_callback_info info);

#endif
