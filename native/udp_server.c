/*
 * Questions over UDP by the batch: one call of the kernel takes all that wait, one call of JavaScript answers them, one
 * call sends the answers. In between everything lies in memory that JavaScript lends, so that nothing is made for a
 * datagram.
 */
#include "udp_server.h"

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

/* As src/net/udp-server.ts has them. */
enum { SLOTS = 64, SLOT_BYTES = 1536, PEER_BYTES = 28, ROW_WORDS = 4 };

/* Of each row: what was received, and what is to be sent. */
enum { RECEIVED, SLOT, OFFSET, LENGTH };

/* Questions are small: the usual buffer is full after some three hundred of them. */
enum { RECEIVE_BUFFER = 4 << 20 };

struct area {
  uint8_t *bytes;
  size_t length;
  napi_ref reference;
};

struct udp_server {
  struct environment *environment;
  int fd;
  /* The object and receiving each hold one. */
  unsigned references;
  struct receiver *receiver;
  /* Nothing was left when last looked. */
  bool is_drained;
  struct area received, peers, rows, sent;
  struct mmsghdr messages[SLOTS];
  struct iovec pieces[SLOTS];
};

static const napi_type_tag tag = {0x7c1f60a2e94d4b38u, 0xb35d8e0f21a64c97u};

static void close_now(struct udp_server *server) {
  if (server->fd >= 0) close(server->fd);
  server->fd = -1;
}

static void drop(struct udp_server *server) {
  if (--server->references > 0) return;
  close_now(server);
  napi_env env = server->environment->env;
  struct area *areas[] = {&server->received, &server->peers, &server->rows, &server->sent};
  for (size_t i = 0; i < COUNT(areas); i++) {
    if (areas[i]->reference != NULL) napi_delete_reference(env, areas[i]->reference);
  }
  free(server);
}

static void collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  drop(data);
}

static bool take_area(napi_env env, napi_value value, size_t least, struct area *area) {
  const uint8_t *bytes;
  if (!read_bytes(env, value, &bytes, &area->length)) return false;
  if (area->length < least || (uintptr_t)bytes % _Alignof(uint32_t) != 0) {
    throw_type_error(env, "the memory is too small");
    return false;
  }
  area->bytes = (uint8_t *)bytes;
  return check(env, napi_create_reference(env, value, 1, &area->reference));
}

static napi_value construct(napi_env env, napi_callback_info info) {
  napi_value self, arguments[5];
  int64_t fd;
  if (!read_construction(env, info, &self, arguments, COUNT(arguments)) ||
      !read_integer(env, arguments[0], 0, INT_MAX, &fd)) {
    return NULL;
  }
  struct udp_server *server = calloc(1, sizeof(*server));
  if (server == NULL) return throw_error(env, ENOMEM, "malloc");
  server->environment = environment_of(env);
  server->fd = -1;
  server->references = 1;
  if (!take_area(env, arguments[1], SLOTS * SLOT_BYTES, &server->received) ||
      !take_area(env, arguments[2], SLOTS * PEER_BYTES, &server->peers) ||
      !take_area(env, arguments[3], SLOTS * ROW_WORDS * sizeof(uint32_t), &server->rows) ||
      !take_area(env, arguments[4], 1, &server->sent) || !wrap_tagged(env, self, &tag, server, collected)) {
    drop(server);
    return NULL;
  }
  server->fd = (int)fd;
  descriptor_returned(server->environment, (int)fd);
  int size = RECEIVE_BUFFER;
  if (setsockopt(server->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
    setsockopt(server->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
  }
  return self;
}

static uint32_t *row_of(struct udp_server *server, size_t index) {
  return (uint32_t *)(void *)server->rows.bytes + index * ROW_WORDS;
}

static struct msghdr *prepare(struct udp_server *server, size_t index, size_t slot, uint8_t *bytes, size_t length) {
  server->pieces[index] = (struct iovec){.iov_base = bytes, .iov_len = length};
  server->messages[index] = (struct mmsghdr){.msg_hdr = {.msg_name = server->peers.bytes + slot * PEER_BYTES,
                                                         .msg_namelen = PEER_BYTES,
                                                         .msg_iov = &server->pieces[index],
                                                         .msg_iovlen = 1}};
  return &server->messages[index].msg_hdr;
}

static socklen_t peer_size(const struct udp_server *server, size_t slot) {
  sa_family_t family;
  memcpy(&family, server->peers.bytes + slot * PEER_BYTES, sizeof(family));
  return family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

/* ---- Receiving ---- */

static int make_arguments(struct receiver *receiver, int error, int count, napi_value *arguments) {
  napi_env env = receiver->environment->env;
  return napi_create_int32(env, -error, &arguments[0]) == napi_ok &&
                 napi_create_int32(env, count, &arguments[1]) == napi_ok
             ? 2
             : -ENOMEM;
}

static int describe(struct receiver *receiver, int error, napi_value *arguments) {
  return make_arguments(receiver, error, 0, arguments);
}

static int read_batch(struct receiver *receiver, napi_value *arguments) {
  struct udp_server *server = receiver->owner;
  if (server->is_drained) {
    server->is_drained = false;
    return -EAGAIN;
  }
  for (size_t i = 0; i < SLOTS; i++) {
    prepare(server, i, i, server->received.bytes + i * SLOT_BYTES, SLOT_BYTES);
  }
  int count = recvmmsg(server->fd, server->messages, SLOTS, MSG_DONTWAIT, NULL);
  if (count < 0) return -errno;
  server->is_drained = count < SLOTS;
  for (int i = 0; i < count; i++) {
    bool is_whole = (server->messages[i].msg_hdr.msg_flags & MSG_TRUNC) == 0;
    row_of(server, (size_t)i)[RECEIVED] = is_whole ? server->messages[i].msg_len : 0;
  }
  return make_arguments(receiver, 0, count, arguments);
}

static void receiving_ended(struct receiver *receiver) {
  struct udp_server *server = receiver->owner;
  if (server->receiver == receiver) server->receiver = NULL;
  drop(server);
}

static const struct receiver_kind batches = {read_batch, describe, receiving_ended};

static bool is_receiving(const struct udp_server *server) {
  return server->receiver != NULL && server->receiver->poll != NULL;
}

static napi_value get_receiving(napi_env env, napi_callback_info info) {
  struct udp_server *server = read_tagged(env, info, &tag);
  napi_value value;
  return server != NULL && check(env, napi_get_boolean(env, is_receiving(server), &value)) ? value : NULL;
}

static napi_value get_port(napi_env env, napi_callback_info info) {
  struct udp_server *server = read_tagged(env, info, &tag);
  struct address address = {.size = sizeof(address.storage)};
  const uint8_t *bytes;
  size_t length;
  uint16_t port = 0;
  uint32_t interface_index;
  napi_value value;
  if (server == NULL) return NULL;
  if (server->fd >= 0 && getsockname(server->fd, (struct sockaddr *)&address.storage, &address.size) == 0) {
    read_address(&address, &bytes, &length, &port, &interface_index);
  }
  return check(env, napi_create_uint32(env, port, &value)) ? value : NULL;
}

static napi_value start_receiving(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct udp_server *server = read_receiver(env, info, arguments, COUNT(arguments));
  if (server == NULL) return NULL;
  if (server->fd < 0 || is_receiving(server)) return throw_error(env, server->fd < 0 ? EBADF : EBUSY, "recvmmsg");
  struct receiver *receiver = receiver_start(server->environment, &batches, server, server->fd, arguments[0]);
  if (receiver == NULL) return NULL;
  server->receiver = receiver;
  server->references++;
  return NULL;
}

/* ---- Sending ---- */

/* The first rows say what. A datagram that cannot be sent is lost, as on any other part of its way. */
static napi_value send_batch(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int64_t count;
  struct udp_server *server = read_receiver(env, info, arguments, COUNT(arguments));
  if (server == NULL || !read_integer(env, arguments[0], 0, SLOTS, &count)) return NULL;
  if (server->fd < 0) return NULL;
  for (int64_t i = 0; i < count; i++) {
    const uint32_t *row = row_of(server, (size_t)i);
    size_t slot = row[SLOT], offset = row[OFFSET], length = row[LENGTH];
    if (slot >= SLOTS || offset > server->sent.length || length > server->sent.length - offset) {
      return throw_type_error(env, "expected rows within the memory");
    }
    prepare(server, (size_t)i, slot, server->sent.bytes + offset, length)->msg_namelen = peer_size(server, slot);
  }
  for (int64_t done = 0; done < count;) {
    int sent = sendmmsg(server->fd, server->messages + done, (unsigned)(count - done), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) break;
    done += sent > 0 ? sent : errno == EINTR ? 0 : 1;
  }
  return NULL;
}

/* One that took its time, to the peer whose bytes were kept. */
static napi_value send_to(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  const uint8_t *bytes, *peer;
  size_t length, peer_length;
  struct udp_server *server = read_receiver(env, info, arguments, COUNT(arguments));
  if (server == NULL || !read_bytes(env, arguments[0], &bytes, &length) ||
      !read_bytes(env, arguments[1], &peer, &peer_length)) {
    return NULL;
  }
  if (peer_length != PEER_BYTES) return throw_type_error(env, "expected a peer");
  if (server->fd < 0) return NULL;
  sa_family_t family;
  memcpy(&family, peer, sizeof(family));
  socklen_t size = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
  sendto(server->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)(const void *)peer, size);
  return NULL;
}

static napi_value close_server(napi_env env, napi_callback_info info) {
  struct udp_server *server = read_receiver(env, info, NULL, 0);
  if (server == NULL) return NULL;
  if (is_receiving(server)) receiver_stop(server->receiver);
  close_now(server);
  return NULL;
}

napi_value define_udp_server(napi_env env) {
  napi_property_descriptor properties[6];
  size_t count = 0;
  define_getter(&properties[count++], "port", get_port);
  define_getter(&properties[count++], "receiving", get_receiving);
  define_method(&properties[count++], "startReceiving", start_receiving);
  define_method(&properties[count++], "send", send_batch);
  define_method(&properties[count++], "sendTo", send_to);
  define_method(&properties[count++], "close", close_server);
  napi_value class;
  return check(env, napi_define_class(env, "UdpServer", NAPI_AUTO_LENGTH, construct, NULL, count, properties, &class))
             ? class
             : NULL;
}
