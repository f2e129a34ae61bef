#ifndef VIADUCT_UDP_SERVER_H
#define VIADUCT_UDP_SERVER_H

#include <node_api.h>

/* The class UdpServer, described in src/native.ts. */
napi_value define_udp_server(napi_env env);

#endif
