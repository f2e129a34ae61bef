#include "datagram.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "environment.h"
#include "receive.h"
#include "support.h"

/*
 * The largest IP packet, what a device usually hands up in one piece (GRO), and a frame of `lo`, whose payload alone
 * has 64 KiB. A device may be told to hand up more (gro_max_size): that is told as EMSGSIZE, and not cut.
 */
enum { DATAGRAM_BYTES = 128 * 1024 };

/* linux/in.h, where netinet/in.h lacks it: membership in a group, by the index of the interface. */
#ifndef MCAST_JOIN_GROUP
#define MCAST_JOIN_GROUP 42
#endif
#ifndef MCAST_LEAVE_GROUP
#define MCAST_LEAVE_GROUP 45
#endif

struct datagram_socket {
  struct environment *environment;
  int fd;
  int family;
  /* The object and receiving each hold one. */
  unsigned references;
  struct receiver *receiver;
  uint8_t *buffer;
};

/* Any number that no other class has. */
static const napi_type_tag tag = {0xe3307b9d1c5f4286u, 0x84d2a6f9715b0e3cu};

static void close_now(struct datagram_socket *socket) {
  if (socket->fd >= 0) close(socket->fd);
  socket->fd = -1;
}

static void drop(struct datagram_socket *socket) {
  if (--socket->references > 0) return;
  close_now(socket);
  free(socket->buffer);
  free(socket);
}

static void collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  drop(data);
}

static napi_value construct(napi_env env, napi_callback_info info) {
  napi_value self, arguments[1];
  int64_t fd;
  int family;
  socklen_t size = sizeof(family);
  if (!read_construction(env, info, &self, arguments, COUNT(arguments)) ||
      !read_integer(env, arguments[0], 0, INT_MAX, &fd)) {
    return NULL;
  }
  if (getsockopt((int)fd, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) return throw_error(env, errno, "getsockopt");
  struct datagram_socket *socket = calloc(1, sizeof(*socket));
  if (socket == NULL) return throw_error(env, ENOMEM, "malloc");
  *socket = (struct datagram_socket){
      .environment = environment_of(env), .fd = (int)fd, .family = family, .references = 1};
  if (!wrap_tagged(env, self, &tag, socket, collected)) {
    /* It was not taken over, so it stays the caller's. */
    socket->fd = -1;
    drop(socket);
    return NULL;
  }
  descriptor_returned(socket->environment, (int)fd);
  return self;
}

static napi_value get_fd(napi_env env, napi_callback_info info) {
  struct datagram_socket *socket = read_tagged(env, info, &tag);
  napi_value value;
  return socket != NULL && check(env, napi_create_int32(env, socket->fd, &value)) ? value : NULL;
}

static bool is_given(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type != napi_undefined;
}

static napi_value send_datagram(napi_env env, napi_callback_info info) {
  napi_value arguments[4], result;
  const uint8_t *bytes, *target = NULL;
  size_t length, target_length = 0;
  int64_t port = 0, interface_index = 0;
  struct datagram_socket *socket = read_receiver(env, info, arguments, COUNT(arguments));
  if (socket == NULL || !read_bytes(env, arguments[0], &bytes, &length)) return NULL;
  bool addressed = is_given(env, arguments[1]);
  if (addressed && !read_bytes(env, arguments[1], &target, &target_length)) return NULL;
  if (is_given(env, arguments[2]) && !read_integer(env, arguments[2], 0, 65535, &port)) return NULL;
  if (is_given(env, arguments[3]) && !read_integer(env, arguments[3], 0, INT_MAX, &interface_index)) return NULL;

  struct address address = {.size = 0};
  if (addressed && !make_address(socket->family, target, target_length, (uint16_t)port, (uint32_t)interface_index,
                                 &address)) {
    return throw_type_error(env, "the address does not fit the socket's family");
  }
  if (socket->fd < 0) return throw_error(env, EBADF, "sendto");
  ssize_t sent;
  do {
    sent = sendto(socket->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL,
                  addressed ? (struct sockaddr *)&address.storage : NULL, address.size);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return throw_error(env, errno, "sendto");
  return check(env, napi_create_double(env, (double)sent, &result)) ? result : NULL;
}

/* RFC 3678: the same request for both families. */
static napi_value change_membership(napi_env env, napi_callback_info info, int option, const char *syscall) {
  napi_value arguments[2];
  const uint8_t *group;
  size_t length;
  int64_t interface_index;
  struct datagram_socket *socket = read_receiver(env, info, arguments, COUNT(arguments));
  if (socket == NULL || !read_bytes(env, arguments[0], &group, &length) ||
      !read_integer(env, arguments[1], 0, INT_MAX, &interface_index)) {
    return NULL;
  }
  struct address address;
  if (length == 0 || (socket->family != AF_INET && socket->family != AF_INET6) ||
      !make_address(socket->family, group, length, 0, 0, &address)) {
    return throw_type_error(env, "the group does not fit the socket's family");
  }
  struct group_req request;
  memset(&request, 0, sizeof(request));
  request.gr_interface = (uint32_t)interface_index;
  memcpy(&request.gr_group, &address.storage, address.size);
  if (socket->fd < 0) return throw_error(env, EBADF, syscall);
  int level = socket->family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (setsockopt(socket->fd, level, option, &request, sizeof(request)) != 0) return throw_error(env, errno, syscall);
  return NULL;
}

static napi_value join_group(napi_env env, napi_callback_info info) {
  return change_membership(env, info, MCAST_JOIN_GROUP, "setsockopt MCAST_JOIN_GROUP");
}

static napi_value leave_group(napi_env env, napi_callback_info info) {
  return change_membership(env, info, MCAST_LEAVE_GROUP, "setsockopt MCAST_LEAVE_GROUP");
}

/* Where an IPv6 datagram was sent to and how far it may still go, if the socket asked to be told. */
struct arrival {
  bool known;
  uint8_t destination[16];
  int hop_limit;
};

static struct arrival read_arrival(struct msghdr *message) {
  struct arrival arrival = {.known = false, .hop_limit = -1};
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != IPPROTO_IPV6) continue;
    if (part->cmsg_type == IPV6_PKTINFO && part->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
      memcpy(arrival.destination, CMSG_DATA(part) + offsetof(struct in6_pktinfo, ipi6_addr),
             sizeof(arrival.destination));
      arrival.known = true;
    } else if (part->cmsg_type == IPV6_HOPLIMIT && part->cmsg_len >= CMSG_LEN(sizeof(int))) {
      memcpy(&arrival.hop_limit, CMSG_DATA(part), sizeof(int));
    }
  }
  return arrival;
}

/* Without an arrival there are two arguments less. */
static int add_arrival(napi_env env, const struct arrival *arrival, napi_value *arguments, int count) {
  if (count < 0 || !arrival->known) return count;
  arguments[count] = copy_bytes(env, arrival->destination, sizeof(arrival->destination));
  if (arguments[count] == NULL || napi_create_int32(env, arrival->hop_limit, &arguments[count + 1]) != napi_ok) {
    return -ENOMEM;
  }
  return count + 2;
}

static int make_arguments(napi_env env, int error, const uint8_t *bytes, size_t length, const struct address *address,
                          napi_value *arguments) {
  const uint8_t *source;
  size_t source_length;
  uint16_t port;
  uint32_t interface_index;
  read_address(address, &source, &source_length, &port, &interface_index);
  arguments[1] = copy_bytes(env, bytes, length);
  arguments[2] = copy_bytes(env, source, source_length);
  if (arguments[1] == NULL || arguments[2] == NULL || napi_create_int32(env, error, &arguments[0]) != napi_ok ||
      napi_create_uint32(env, port, &arguments[3]) != napi_ok ||
      napi_create_uint32(env, interface_index, &arguments[4]) != napi_ok) {
    return -ENOMEM;
  }
  return 5;
}

static int describe(struct receiver *receiver, int error, napi_value *arguments) {
  struct address nobody = {.size = 0};
  return make_arguments(receiver->environment->env, -error, NULL, 0, &nobody, arguments);
}

static int read_datagram(struct receiver *receiver, napi_value *arguments) {
  struct datagram_socket *socket = receiver->owner;
  if (socket->buffer == NULL) {
    socket->buffer = malloc(DATAGRAM_BYTES);
    if (socket->buffer == NULL) return -ENOMEM;
  }
  struct address from = {.size = sizeof(from.storage)};
  union {
    struct cmsghdr aligned;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec piece = {.iov_base = socket->buffer, .iov_len = DATAGRAM_BYTES};
  struct msghdr message = {.msg_name = &from.storage,
                           .msg_namelen = from.size,
                           .msg_iov = &piece,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof(control.bytes)};
  ssize_t received = recvmsg(receiver->fd, &message, MSG_DONTWAIT | MSG_TRUNC);
  if (received < 0) return -errno;
  if (received > DATAGRAM_BYTES) return -EMSGSIZE;
  from.size = message.msg_namelen;
  struct arrival arrival = read_arrival(&message);
  napi_env env = receiver->environment->env;
  int count = make_arguments(env, 0, socket->buffer, (size_t)received, &from, arguments);
  return add_arrival(env, &arrival, arguments, count);
}

static void receiving_ended(struct receiver *receiver) {
  struct datagram_socket *socket = receiver->owner;
  if (socket->receiver == receiver) socket->receiver = NULL;
  drop(socket);
}

static const struct receiver_kind datagrams = {read_datagram, describe, receiving_ended};

static bool is_receiving(const struct datagram_socket *socket) {
  return socket->receiver != NULL && socket->receiver->poll != NULL;
}

static napi_value get_receiving(napi_env env, napi_callback_info info) {
  struct datagram_socket *socket = read_tagged(env, info, &tag);
  napi_value value;
  return socket != NULL && check(env, napi_get_boolean(env, is_receiving(socket), &value)) ? value : NULL;
}

static napi_value start_receiving(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct datagram_socket *socket = read_receiver(env, info, arguments, COUNT(arguments));
  if (socket == NULL) return NULL;
  if (socket->fd < 0 || is_receiving(socket)) return throw_error(env, socket->fd < 0 ? EBADF : EBUSY, "recvfrom");
  struct receiver *receiver = receiver_start(socket->environment, &datagrams, socket, socket->fd, arguments[0]);
  if (receiver == NULL) return NULL;
  socket->receiver = receiver;
  socket->references++;
  return NULL;
}

static napi_value stop_receiving(napi_env env, napi_callback_info info) {
  struct datagram_socket *socket = read_receiver(env, info, NULL, 0);
  if (socket != NULL && is_receiving(socket)) receiver_stop(socket->receiver);
  return NULL;
}

static napi_value close_socket(napi_env env, napi_callback_info info) {
  struct datagram_socket *socket = read_receiver(env, info, NULL, 0);
  if (socket == NULL) return NULL;
  if (is_receiving(socket)) receiver_stop(socket->receiver);
  close_now(socket);
  return NULL;
}

napi_value define_datagram_socket(napi_env env) {
  napi_property_descriptor properties[8];
  size_t count = 0;
  define_getter(&properties[count++], "fd", get_fd);
  define_getter(&properties[count++], "receiving", get_receiving);
  define_method(&properties[count++], "send", send_datagram);
  define_method(&properties[count++], "joinGroup", join_group);
  define_method(&properties[count++], "leaveGroup", leave_group);
  define_method(&properties[count++], "startReceiving", start_receiving);
  define_method(&properties[count++], "stopReceiving", stop_receiving);
  define_method(&properties[count++], "close", close_socket);
  napi_value class;
  return check(env,
               napi_define_class(env, "DatagramSocket", NAPI_AUTO_LENGTH, construct, NULL, count, properties, &class))
             ? class
             : NULL;
}
