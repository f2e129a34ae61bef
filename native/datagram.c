#include "datagram.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
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
  return RECEIVE_ARGUMENTS;
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
  ssize_t received = recvfrom(receiver->fd, socket->buffer, DATAGRAM_BYTES, MSG_DONTWAIT | MSG_TRUNC,
                              (struct sockaddr *)&from.storage, &from.size);
  if (received < 0) return -errno;
  if (received > DATAGRAM_BYTES) return -EMSGSIZE;
  return make_arguments(receiver->environment->env, 0, socket->buffer, (size_t)received, &from, arguments);
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
  napi_property_descriptor properties[6];
  size_t count = 0;
  define_getter(&properties[count++], "fd", get_fd);
  define_getter(&properties[count++], "receiving", get_receiving);
  define_method(&properties[count++], "send", send_datagram);
  define_method(&properties[count++], "startReceiving", start_receiving);
  define_method(&properties[count++], "stopReceiving", stop_receiving);
  define_method(&properties[count++], "close", close_socket);
  napi_value class;
  return check(env,
               napi_define_class(env, "DatagramSocket", NAPI_AUTO_LENGTH, construct, NULL, count, properties, &class))
             ? class
             : NULL;
}
