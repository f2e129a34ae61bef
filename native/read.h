/* Reading files that the kernel writes as they are read, off the event loop. */
#ifndef VIADUCT_READ_H
#define VIADUCT_READ_H

#include <node_api.h>

napi_value read_some(napi_env env, napi_callback_info info);

#endif
