/* The class TcpConnector: many connects at once, for checks that are made by the thousand. */
#ifndef VIADUCT_CONNECTOR_H
#define VIADUCT_CONNECTOR_H

#include <node_api.h>

napi_value define_tcp_connector(napi_env env);

#endif
