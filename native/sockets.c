#include "sockets.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "environment.h"
#include "namespace.h"
#include "support.h"

/* linux/in.h and netinet/in.h cannot both be had; these are in the first or too new in the second. */
#ifndef IP_TRANSPARENT
#define IP_TRANSPARENT 19
#endif
#ifndef IP_FREEBIND
#define IP_FREEBIND 15
#endif
#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif
#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

/* ---- Opening ---- */

struct end {
  bool given;
  uint8_t bytes[16];
  size_t length;
  int64_t port;
};

struct options {
  int64_t family, type, protocol;
  int64_t mark, interface_index, backlog;
  char device[IFNAMSIZ];
  bool transparent, freebind, reuse_address, reuse_port, v6_only_given, v6_only, header_included, receive_arrival,
    receive_errors;
  struct end bind, connect;
};

static bool get_device(napi_env env, napi_value object, char *device) {
  napi_value value;
  bool found;
  if (!get_property(env, object, "device", &value, &found)) return false;
  return !found || read_text(env, value, device, IFNAMSIZ);
}

/* An address, a port, or both. */
static bool get_end(napi_env env, napi_value object, const char *address, const char *port, struct end *end) {
  napi_value value;
  bool found;
  const uint8_t *bytes;
  end->port = -1;
  if (!get_integer(env, object, port, 0, 65535, &end->port) || !get_property(env, object, address, &value, &found)) {
    return false;
  }
  end->given = found || end->port >= 0;
  if (end->port < 0) end->port = 0;
  if (!found) return true;
  if (!read_bytes(env, value, &bytes, &end->length)) return false;
  if (end->length > sizeof(end->bytes)) {
    throw_type_error(env, "expected an address of 4 or 16 bytes");
    return false;
  }
  memcpy(end->bytes, bytes, end->length);
  return true;
}

static bool read_options(napi_env env, napi_value object, struct options *options) {
  napi_value v6_only;
  *options = (struct options){.mark = -1, .backlog = -1};
  return get_integer(env, object, "family", 0, 255, &options->family) &&
         get_integer(env, object, "type", 0, 15, &options->type) &&
         get_integer(env, object, "protocol", 0, 65535, &options->protocol) &&
         get_integer(env, object, "mark", 0, UINT32_MAX, &options->mark) &&
         get_integer(env, object, "interfaceIndex", 0, INT_MAX, &options->interface_index) &&
         get_integer(env, object, "listenBacklog", 0, INT_MAX, &options->backlog) &&
         get_device(env, object, options->device) && get_flag(env, object, "transparent", &options->transparent) &&
         get_flag(env, object, "freebind", &options->freebind) &&
         get_flag(env, object, "reuseAddress", &options->reuse_address) &&
         get_flag(env, object, "reusePort", &options->reuse_port) &&
         get_property(env, object, "v6Only", &v6_only, &options->v6_only_given) &&
         get_flag(env, object, "v6Only", &options->v6_only) &&
         get_flag(env, object, "headerIncluded", &options->header_included) &&
         get_flag(env, object, "receiveArrival", &options->receive_arrival) &&
         get_flag(env, object, "receiveErrors", &options->receive_errors) &&
         get_end(env, object, "bindAddress", "bindPort", &options->bind) &&
         get_end(env, object, "connectAddress", "connectPort", &options->connect);
}

static int open_plain(void *argument, const char **syscall) {
  const struct options *options = argument;
  *syscall = "socket";
  /* A packet socket receives from the first moment and from everywhere unless it is opened for no protocol. */
  int protocol = options->family == AF_PACKET ? 0 : (int)options->protocol;
  return socket((int)options->family, (int)options->type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
}

/* What goes wrong: what failed, with errno set; NULL if nothing. */
static const char *set_options(int fd, const struct options *options) {
  const int on = 1;
  bool v6 = options->family == AF_INET6;
  bool ip = v6 || options->family == AF_INET;
  uint32_t mark = (uint32_t)options->mark;
  int v6_only = options->v6_only;
  if (options->mark >= 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0) return "setsockopt SO_MARK";
  if (options->device[0] != '\0' && options->family != AF_PACKET &&
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->device, (socklen_t)strlen(options->device)) != 0) {
    return "setsockopt SO_BINDTODEVICE";
  }
  if (options->reuse_address && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) {
    return "setsockopt SO_REUSEADDR";
  }
  if (options->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) {
    return "setsockopt SO_REUSEPORT";
  }
  if (v6 && options->v6_only_given &&
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) != 0) {
    return "setsockopt IPV6_V6ONLY";
  }
  int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (ip && options->transparent &&
      setsockopt(fd, level, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof(on)) != 0) {
    return "setsockopt IP_TRANSPARENT";
  }
  if (ip && options->freebind && setsockopt(fd, level, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof(on)) != 0) {
    return "setsockopt IP_FREEBIND";
  }
  if (ip && options->header_included &&
      setsockopt(fd, level, v6 ? IPV6_HDRINCL : IP_HDRINCL, &on, sizeof(on)) != 0) {
    return "setsockopt IP_HDRINCL";
  }
  if (v6 && options->receive_arrival &&
      (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) != 0 ||
       setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)) != 0)) {
    return "setsockopt IPV6_RECVPKTINFO";
  }
  /* Without it an ICMP error that may pass is told to nobody (ping_err, net/ipv4/ping.c). */
  if (ip && options->receive_errors && setsockopt(fd, level, v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof(on)) != 0) {
    return "setsockopt IP_RECVERR";
  }
  return NULL;
}

static bool address_of(const struct options *options, const struct end *end, struct address *address) {
  return make_address((int)options->family, end->bytes, end->length, (uint16_t)end->port,
                      (uint32_t)options->interface_index, address);
}

/* Binds, listens, connects, as far as asked for. */
static const char *take_place(int fd, const struct options *options) {
  struct address address;
  if (options->family == AF_PACKET) {
    int64_t interface_index = options->interface_index;
    if (options->device[0] != '\0') {
      /* Asked of the socket, which is in its namespace: the thread is not. */
      struct ifreq request = {.ifr_ifindex = 0};
      memcpy(request.ifr_name, options->device, sizeof(request.ifr_name));
      if (ioctl(fd, SIOCGIFINDEX, &request) != 0) return "ioctl SIOCGIFINDEX";
      interface_index = request.ifr_ifindex;
    }
    make_address(AF_PACKET, NULL, 0, (uint16_t)options->protocol, (uint32_t)interface_index, &address);
    if (bind(fd, (struct sockaddr *)&address.storage, address.size) != 0) return "bind";
    return NULL;
  }
  errno = EAFNOSUPPORT;
  if (options->bind.given && (!address_of(options, &options->bind, &address) ||
                              bind(fd, (struct sockaddr *)&address.storage, address.size) != 0)) {
    return "bind";
  }
  if (options->backlog >= 0 && listen(fd, (int)options->backlog) != 0) return "listen";
  errno = EAFNOSUPPORT;
  if (options->connect.given && (!address_of(options, &options->connect, &address) ||
                                 (connect(fd, (struct sockaddr *)&address.storage, address.size) != 0 &&
                                  errno != EINPROGRESS && errno != EINTR))) {
    return "connect";
  }
  return NULL;
}

napi_value open_socket(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int64_t netns_fd;
  struct options options;
  if (!read_arguments(env, info, arguments, COUNT(arguments)) ||
      !read_integer(env, arguments[0], -1, INT_MAX, &netns_fd) || !read_options(env, arguments[1], &options)) {
    return NULL;
  }
  struct opening opening = {.open = open_plain, .argument = &options};
  int fd = open_in_namespace((int)netns_fd, &opening);
  if (fd < 0) return throw_error(env, opening.error, opening.syscall);
  /* The socket belongs to its namespace for good, whichever thread does the rest. */
  const char *failed = set_options(fd, &options);
  if (failed == NULL) failed = take_place(fd, &options);
  if (failed == NULL) return descriptor_value(env, fd);
  int error = errno;
  close(fd);
  return throw_error(env, error, failed);
}

napi_value release_descriptor(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int64_t fd;
  if (!read_arguments(env, info, arguments, COUNT(arguments)) || !read_integer(env, arguments[0], 0, INT_MAX, &fd)) {
    return NULL;
  }
  descriptor_returned(environment_of(env), (int)fd);
  return NULL;
}

napi_value close_descriptor(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int64_t fd;
  if (!read_arguments(env, info, arguments, COUNT(arguments)) || !read_integer(env, arguments[0], 0, INT_MAX, &fd)) {
    return NULL;
  }
  descriptor_returned(environment_of(env), (int)fd);
  /* On Linux the descriptor is gone also after EINTR. */
  if (close((int)fd) != 0 && errno != EINTR) return throw_error(env, errno, "close");
  return NULL;
}
