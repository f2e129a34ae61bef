/* The class NetlinkSocket. */
#ifndef VIADUCT_NETLINK_H
#define VIADUCT_NETLINK_H

#include <node_api.h>

napi_value define_netlink_socket(napi_env env);

#endif
