/* The class DatagramSocket: raw, packet and ping sockets, which node:dgram cannot hold. */
#ifndef VIADUCT_DATAGRAM_H
#define VIADUCT_DATAGRAM_H

#include <node_api.h>

napi_value define_datagram_socket(napi_env env);

#endif
