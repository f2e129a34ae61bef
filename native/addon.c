/*
 * viaduct's addon: what it exports. The interface is described in src/native.ts.
 *
 *   support      errors as Node words them, reading arguments, bytes to JavaScript
 *   environment  what belongs to one environment, and its orderly end
 *   promise      promises that an ending environment can forget
 *   clock        time as the addon measures it
 *   thread       threads that no signal reaches
 *   exchange     one netlink exchange, in plain C
 *   receive      datagrams from the event loop
 *   netlink      the class NetlinkSocket
 *   namespace    descriptors opened in other namespaces; creating, naming and deleting namespaces
 *   address      socket addresses as JavaScript gives and gets them
 *   sockets      TCP, UDP, ping, raw and packet sockets
 *   wait         the end of a non-blocking connect
 *   datagram     the class DatagramSocket
 *   connector    the class TcpConnector
 *   udp_server   the class UdpServer
 *   read         files below /proc
 */
#include <node_api.h>

#include "connector.h"
#include "datagram.h"
#include "environment.h"
#include "namespace.h"
#include "netlink.h"
#include "read.h"
#include "sockets.h"
#include "support.h"
#include "udp_server.h"

#ifndef VIADUCT_BUILD
#define VIADUCT_BUILD "viaduct-build:by hand"
#endif

/* What scripts/build-addon.mjs finds again to tell whether this file is of the present sources. */
__attribute__((used)) static const char build[] = VIADUCT_BUILD;

NAPI_MODULE_INIT() {
  if (!environment_create(env)) return NULL;
  napi_value netlink_socket = define_netlink_socket(env);
  napi_value datagram_socket = define_datagram_socket(env);
  napi_value tcp_connector = define_tcp_connector(env);
  napi_value udp_server = define_udp_server(env);
  if (netlink_socket == NULL || datagram_socket == NULL || tcp_connector == NULL || udp_server == NULL) return NULL;

  napi_property_descriptor properties[] = {
      {.utf8name = "NetlinkSocket", .value = netlink_socket, .attributes = napi_enumerable},
      {.utf8name = "DatagramSocket", .value = datagram_socket, .attributes = napi_enumerable},
      {.utf8name = "TcpConnector", .value = tcp_connector, .attributes = napi_enumerable},
      {.utf8name = "UdpServer", .value = udp_server, .attributes = napi_enumerable},
      {.utf8name = "openSocket", .method = open_socket, .attributes = napi_enumerable},
      {.utf8name = "waitWritable", .method = wait_writable, .attributes = napi_enumerable},
      {.utf8name = "cancelWait", .method = cancel_wait, .attributes = napi_enumerable},
      {.utf8name = "openFile", .method = open_file, .attributes = napi_enumerable},
      {.utf8name = "readSome", .method = read_some, .attributes = napi_enumerable},
      {.utf8name = "createNamespace", .method = create_namespace, .attributes = napi_enumerable},
      {.utf8name = "bindMount", .method = bind_mount, .attributes = napi_enumerable},
      {.utf8name = "shareMount", .method = share_mount, .attributes = napi_enumerable},
      {.utf8name = "unmount", .method = unmount, .attributes = napi_enumerable},
      {.utf8name = "releaseDescriptor", .method = release_descriptor, .attributes = napi_enumerable},
      {.utf8name = "closeDescriptor", .method = close_descriptor, .attributes = napi_enumerable},
  };
  return check(env, napi_define_properties(env, exports, COUNT(properties), properties)) ? exports : NULL;
}
