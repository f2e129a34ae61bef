#include "netlink.h"

#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "environment.h"
#include "exchange.h"
#include "namespace.h"
#include "promise.h"
#include "receive.h"
#include "support.h"
#include "thread.h"
#include "worker.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

/* What `receiveBuffer` shows. Behind it there is room for one datagram more; pages that are not touched cost nothing. */
enum { SHOWN_BYTES = 64 * 1024, BUFFER_BYTES = SHOWN_BYTES + DATAGRAM_ROOM };

/* The memory behind `receiveBuffer`: freed when neither the socket nor JavaScript has it any more. */
struct buffer {
  unsigned references;
  uint8_t bytes[BUFFER_BYTES];
};

struct netlink_socket {
  struct environment *environment;
  struct exchange_socket exchange;
  /* The object, a running exchange, and receiving each hold one. */
  unsigned references;
  bool closed;
  struct job *running;
  struct receiver *receiver;
  struct buffer *buffer;
  napi_ref shown;
  /* Replies of the last synchronous exchange that did not fit what `receiveBuffer` shows. */
  uint8_t *overflow;
  size_t overflow_length;
};

/* Any number that no other class has. */
static const napi_type_tag tag = {0x5bd1f4c0a79e4a1du, 0x9c6b3f0e2d8817a4u};

/* An exchange on another thread. */
struct job {
  struct completion completion;
  struct activity activity;
  struct netlink_socket *socket;
  struct promise promise;
  struct worker *worker;
  enum exchange_kind kind;
  int64_t deadline;
  struct replies replies;
  /* Holds the array whose memory the replies were lent, or NULL. */
  napi_ref into;
  struct exchange_failure failure;
  size_t length;
  uint8_t request[];
};

/* ---- Its life ---- */

static void drop_buffer(struct buffer *buffer) {
  if (buffer != NULL && --buffer->references == 0) free(buffer);
}

static void close_descriptors(struct netlink_socket *socket) {
  if (socket->exchange.fd >= 0) close(socket->exchange.fd);
  if (socket->exchange.cancel_fd >= 0) close(socket->exchange.cancel_fd);
  socket->exchange.fd = -1;
  socket->exchange.cancel_fd = -1;
}

static void drop_overflow(struct netlink_socket *socket) {
  free(socket->overflow);
  socket->overflow = NULL;
  socket->overflow_length = 0;
}

static void drop(struct netlink_socket *socket) {
  if (--socket->references > 0) return;
  close_descriptors(socket);
  drop_overflow(socket);
  drop_buffer(socket->buffer);
  free(socket);
}

static void cancel(struct netlink_socket *socket) {
  atomic_store(&socket->exchange.cancelled, true);
  uint64_t one = 1;
  ssize_t written = write(socket->exchange.cancel_fd, &one, sizeof(one));
  (void)written; /* An eventfd at its limit is readable all the same. */
}

/* Not while an exchange is running: it might meet a descriptor of the same number that is another's. */
static void close_when_idle(struct netlink_socket *socket) {
  if (socket->closed && socket->running == NULL) close_descriptors(socket);
}

static bool is_receiving(const struct netlink_socket *socket) {
  return socket->receiver != NULL && socket->receiver->poll != NULL;
}

/* The object was collected, or the environment ends. A running exchange goes on and holds the socket by itself. */
static void collected(napi_env env, void *data, void *hint) {
  (void)hint;
  struct netlink_socket *socket = data;
  if (socket->shown != NULL) napi_delete_reference(env, socket->shown);
  socket->shown = NULL;
  drop(socket);
}

/* ---- Opening ---- */

static int open_netlink(void *argument, const char **syscall) {
  *syscall = "socket";
  return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, *(const int *)argument);
}

/* As large as asked for where CAP_NET_ADMIN permits it, else as large as net.core.[rw]mem_max. */
static void set_buffer(int fd, int forced, int ordinary, int bytes) {
  if (bytes > 0 && setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)) != 0) {
    setsockopt(fd, SOL_SOCKET, ordinary, &bytes, sizeof(bytes));
  }
}

/* What an older kernel does not know yet it does without (ENOPROTOOPT); anything else that goes wrong is told. */
static bool switch_on(int fd, int option) {
  const int on = 1;
  return setsockopt(fd, SOL_NETLINK, option, &on, sizeof(on)) == 0 || errno == ENOPROTOOPT;
}

struct socket_options {
  int64_t protocol;
  int64_t netns_fd;
  int64_t receive_buffer_bytes;
  int64_t send_buffer_bytes;
  bool strict_checking;
};

static bool read_options(napi_env env, napi_value object, struct socket_options *options) {
  *options = (struct socket_options){.netns_fd = -1};
  return get_integer(env, object, "protocol", 0, 255, &options->protocol) &&
         get_integer(env, object, "netnsFd", -1, INT_MAX, &options->netns_fd) &&
         get_integer(env, object, "receiveBufferBytes", 0, INT_MAX / 2, &options->receive_buffer_bytes) &&
         get_integer(env, object, "sendBufferBytes", 0, INT_MAX / 2, &options->send_buffer_bytes) &&
         get_flag(env, object, "strictChecking", &options->strict_checking);
}

/* Returns what failed, with errno set, or NULL. */
static const char *set_options(int fd, const struct socket_options *options) {
  /* The kernel's words and the offset of what it objects to (4.12). */
  if (!switch_on(fd, NETLINK_EXT_ACK)) return "setsockopt NETLINK_EXT_ACK";
  /* Acknowledgements without a copy of the request (4.3). */
  if (!switch_on(fd, NETLINK_CAP_ACK)) return "setsockopt NETLINK_CAP_ACK";
  /* Dumps that the kernel checks and filters (4.20). */
  if (options->strict_checking && !switch_on(fd, NETLINK_GET_STRICT_CHK)) return "setsockopt NETLINK_GET_STRICT_CHK";
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, (int)options->receive_buffer_bytes);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, (int)options->send_buffer_bytes);
  return NULL;
}

/*
 * Connecting to the kernel (port 0) binds the socket to a port, and from here on nobody else's message reaches it
 * but by multicast (af_netlink.c, netlink_getsockbyportid).
 */
static const char *take_port(int fd, uint32_t *port_id) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  socklen_t size = sizeof(address);
  if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) return "connect";
  if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) return "getsockname";
  *port_id = address.nl_pid;
  return NULL;
}

/* Returns the descriptor, or -1 with what failed. */
static int open_socket_with(const struct socket_options *options, uint32_t *port_id, struct opening *opening) {
  int protocol = (int)options->protocol;
  *opening = (struct opening){.open = open_netlink, .argument = &protocol};
  int fd = open_in_namespace((int)options->netns_fd, opening);
  if (fd < 0) return -1;
  opening->syscall = set_options(fd, options);
  if (opening->syscall == NULL) opening->syscall = take_port(fd, port_id);
  if (opening->syscall == NULL) return fd;
  opening->error = errno;
  close(fd);
  return -1;
}

static napi_value construct(napi_env env, napi_callback_info info) {
  napi_value self, arguments[1];
  struct socket_options options;
  if (!read_construction(env, info, &self, arguments, COUNT(arguments)) ||
      !read_options(env, arguments[0], &options)) {
    return NULL;
  }
  struct netlink_socket *socket = calloc(1, sizeof(*socket));
  if (socket == NULL) return throw_error(env, ENOMEM, "malloc");
  socket->environment = environment_of(env);
  socket->references = 1;
  socket->exchange.cancel_fd = -1;
  struct opening opening;
  socket->exchange.fd = open_socket_with(&options, &socket->exchange.port_id, &opening);
  if (socket->exchange.fd < 0) {
    free(socket);
    return throw_error(env, opening.error, opening.syscall);
  }
  if (!wrap_tagged(env, self, &tag, socket, collected)) {
    drop(socket);
    return NULL;
  }
  return self;
}

static napi_value close_socket(napi_env env, napi_callback_info info) {
  struct netlink_socket *socket = read_receiver(env, info, NULL, 0);
  if (socket == NULL || socket->closed) return NULL;
  socket->closed = true;
  drop_overflow(socket);
  if (is_receiving(socket)) receiver_stop(socket->receiver);
  if (socket->running != NULL) cancel(socket);
  close_when_idle(socket);
  return NULL;
}

static napi_value get_fd(napi_env env, napi_callback_info info) {
  struct netlink_socket *socket = read_tagged(env, info, &tag);
  napi_value value;
  return socket != NULL && check(env, napi_create_int32(env, socket->closed ? -1 : socket->exchange.fd, &value))
             ? value
             : NULL;
}

static napi_value get_port_id(napi_env env, napi_callback_info info) {
  struct netlink_socket *socket = read_tagged(env, info, &tag);
  napi_value value;
  return socket != NULL && check(env, napi_create_uint32(env, socket->exchange.port_id, &value)) ? value : NULL;
}

/* ---- Exchanging here ---- */

static bool have_buffer(struct netlink_socket *socket) {
  if (socket->buffer == NULL) {
    socket->buffer = malloc(sizeof(*socket->buffer));
    if (socket->buffer != NULL) socket->buffer->references = 1;
  }
  return socket->buffer != NULL;
}

static void buffer_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  drop_buffer(hint);
}

static napi_value get_receive_buffer(napi_env env, napi_callback_info info) {
  struct netlink_socket *socket = read_tagged(env, info, &tag);
  napi_value memory, array = NULL;
  if (socket == NULL) return NULL;
  if (socket->shown != NULL) {
    return check(env, napi_get_reference_value(env, socket->shown, &array)) ? array : NULL;
  }
  if (!have_buffer(socket)) return throw_error(env, ENOMEM, "malloc");
  struct buffer *buffer = socket->buffer;
  buffer->references++;
  if (!check(env, napi_create_external_arraybuffer(env, buffer->bytes, SHOWN_BYTES, buffer_collected, buffer, &memory))) {
    drop_buffer(buffer);
    return NULL;
  }
  if (!check(env, napi_create_typedarray(env, napi_uint8_array, SHOWN_BYTES, memory, 0, &array)) ||
      !check(env, napi_create_reference(env, array, 1, &socket->shown))) {
    return NULL;
  }
  return array;
}

/* Why no exchange can begin; 0 if one can. */
static int obstacle(const struct netlink_socket *socket) {
  return socket->closed ? EBADF : socket->running != NULL || is_receiving(socket) ? EBUSY : 0;
}

/* The hot path: two system calls, no memory, as few calls of Node-API as possible. */
static napi_value exchange_sync(napi_env env, napi_callback_info info) {
  napi_value arguments[4], result;
  const uint8_t *request;
  size_t capacity;
  uint32_t length, kind;
  double timeout;
  struct netlink_socket *socket = read_receiver(env, info, arguments, COUNT(arguments));
  if (socket == NULL || !read_bytes(env, arguments[0], &request, &capacity)) return NULL;
  if (napi_get_value_uint32(env, arguments[1], &length) != napi_ok || length > capacity ||
      napi_get_value_uint32(env, arguments[2], &kind) != napi_ok || kind > EXCHANGE_ATOMIC ||
      napi_get_value_double(env, arguments[3], &timeout) != napi_ok) {
    return throw_type_error(env, "expected exchangeSync(request, length, kind, timeoutMilliseconds)");
  }
  int error = obstacle(socket);
  if (error != 0) return throw_error(env, error, "sendmsg");
  if (!have_buffer(socket)) return throw_error(env, ENOMEM, "malloc");
  if (socket->overflow != NULL) drop_overflow(socket);

  struct replies replies = {.bytes = socket->buffer->bytes, .capacity = BUFFER_BYTES, .borrowed = true};
  int64_t deadline = -timeout_nanoseconds(timeout);
  struct exchange_failure failure = exchange(&socket->exchange, request, length, (enum exchange_kind)kind, deadline, &replies);
  if (failure.error != 0) {
    if (!replies.borrowed) free(replies.bytes);
    return throw_error(env, failure.error, failure.syscall);
  }
  if (!replies.borrowed) {
    socket->overflow = replies.bytes;
    socket->overflow_length = replies.length;
  } else if (replies.length > SHOWN_BYTES) {
    socket->overflow_length = replies.length;
  }
  double count = replies.lost ? -1.0 - (double)replies.length : (double)replies.length;
  return napi_create_double(env, count, &result) == napi_ok ? result : NULL;
}

static napi_value take_overflow(napi_env env, napi_callback_info info) {
  struct netlink_socket *socket = read_receiver(env, info, NULL, 0);
  if (socket == NULL) return NULL;
  uint8_t *overflow = socket->overflow;
  size_t length = socket->overflow_length;
  socket->overflow = NULL;
  socket->overflow_length = 0;
  if (overflow == NULL) return copy_bytes(env, length == 0 ? NULL : socket->buffer->bytes, length);
  return adopt_bytes(env, overflow, length);
}

/* ---- Exchanging on a thread ---- */

static void run_job(void *argument) {
  struct job *job = argument;
  job->failure =
      exchange(&job->socket->exchange, job->request, job->length, job->kind, job->deadline, &job->replies);
  environment_complete(job->socket->environment, &job->completion);
}

/* The replies as an array: a part of the one that was lent for them if they did fit, else memory of their own. */
static napi_value replies_of(napi_env env, struct job *job) {
  struct replies *replies = &job->replies;
  if (!replies->borrowed) {
    uint8_t *bytes = replies->bytes;
    replies->bytes = NULL;
    return adopt_bytes(env, bytes, replies->length);
  }
  napi_value whole, memory, part;
  size_t offset;
  if (!check(env, napi_get_reference_value(env, job->into, &whole)) ||
      !check(env, napi_get_typedarray_info(env, whole, NULL, NULL, NULL, &memory, &offset)) ||
      !check(env, napi_create_typedarray(env, napi_uint8_array, replies->length, memory, offset, &part))) {
    return NULL;
  }
  return part;
}

static void forget_job(napi_env env, struct job *job) {
  if (!job->replies.borrowed) free(job->replies.bytes);
  if (job->into != NULL) napi_delete_reference(env, job->into);
  free(job);
}

static napi_value outcome_of(napi_env env, struct job *job) {
  napi_value outcome, lost;
  napi_value array = replies_of(env, job);
  if (array == NULL || !check(env, napi_create_object(env, &outcome)) ||
      !check(env, napi_get_boolean(env, job->replies.lost, &lost)) ||
      !check(env, napi_set_named_property(env, outcome, "bytes", array)) ||
      !check(env, napi_set_named_property(env, outcome, "lost", lost))) {
    return NULL;
  }
  return outcome;
}

static void settle_job(struct environment *environment, struct job *job) {
  napi_env env = environment->env;
  bool failed = job->failure.error != 0;
  napi_value value = NULL;
  if (!environment->ending) {
    value = failed ? make_error(env, job->failure.error, job->failure.syscall) : outcome_of(env, job);
    if (value == NULL) {
      /* Out of memory, most likely: what it threw is the reason to reject with. */
      failed = true;
      if (napi_get_and_clear_last_exception(env, &value) != napi_ok) value = NULL;
    }
  }
  promise_settle(environment, &job->promise, value, !failed);
}

/* The socket is free for the next one. */
static void leave_socket(struct job *job) {
  struct netlink_socket *socket = job->socket;
  worker_idle(socket->environment, job->worker);
  socket->running = NULL;
  close_when_idle(socket);
}

static void complete_job(struct completion *completion) {
  struct job *job = (struct job *)((char *)completion - offsetof(struct job, completion));
  struct netlink_socket *socket = job->socket;
  struct environment *environment = socket->environment;
  leave_socket(job);
  settle_job(environment, job);
  activity_ended(environment, &job->activity);
  forget_job(environment->env, job);
  drop(socket);
}

static void stop_job(struct activity *activity) {
  struct job *job = (struct job *)((char *)activity - offsetof(struct job, activity));
  cancel(job->socket);
}

/* On another thread; returns a number of errno.h. */
static int start_job(struct netlink_socket *socket, struct job *job, const char **syscall) {
  if (socket->exchange.cancel_fd < 0) {
    *syscall = "eventfd";
    socket->exchange.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (socket->exchange.cancel_fd < 0) return errno;
  }
  *syscall = "pthread_create";
  int error = worker_run(socket->environment, run_job, job, &job->worker);
  if (error != 0) return error;
  socket->running = job;
  environment_await(socket->environment);
  socket->references++;
  activity_started(socket->environment, &job->activity);
  return 0;
}

/* Replies go into this array until it is full, if it is one. */
static bool lend(napi_env env, struct job *job, napi_value array) {
  napi_valuetype type;
  const uint8_t *bytes;
  if (!check(env, napi_typeof(env, array, &type))) return false;
  if (type == napi_undefined) return true;
  if (!read_bytes(env, array, &bytes, &job->replies.capacity) ||
      !check(env, napi_create_reference(env, array, 1, &job->into))) {
    return false;
  }
  job->replies.bytes = (uint8_t *)bytes;
  job->replies.borrowed = true;
  return true;
}

static napi_value rejected(struct environment *environment, int error, const char *syscall) {
  struct promise promise;
  napi_value result = promise_create(environment->env, &promise);
  if (result != NULL) promise_settle(environment, &promise, make_error(environment->env, error, syscall), false);
  return result;
}

static napi_value exchange_async(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  const uint8_t *request;
  size_t capacity;
  int64_t length, kind;
  double timeout;
  struct netlink_socket *socket = read_receiver(env, info, arguments, COUNT(arguments));
  if (socket == NULL || !read_bytes(env, arguments[0], &request, &capacity) ||
      !read_integer(env, arguments[1], 0, (int64_t)capacity, &length) ||
      !read_integer(env, arguments[2], EXCHANGE_BATCH, EXCHANGE_ATOMIC, &kind) ||
      !check(env, napi_get_value_double(env, arguments[3], &timeout))) {
    return NULL;
  }
  struct job *job = calloc(1, sizeof(*job) + (size_t)length);
  if (job == NULL) return throw_error(env, ENOMEM, "malloc");
  job->length = (size_t)length;
  memcpy(job->request, request, (size_t)length);
  if (!lend(env, job, arguments[4])) {
    forget_job(env, job);
    return NULL;
  }
  job->completion.complete = complete_job;
  job->activity.stop = stop_job;
  job->socket = socket;
  job->kind = (enum exchange_kind)kind;
  job->deadline = now_nanoseconds() + timeout_nanoseconds(timeout);

  const char *syscall = "sendmsg";
  int error = obstacle(socket);
  if (error == 0) error = start_job(socket, job, &syscall);
  /* It ends on the event loop, so not before it has its promise. */
  if (error == 0) return promise_create(env, &job->promise);
  forget_job(env, job);
  return rejected(socket->environment, error, syscall);
}

/* ---- Multicast groups ---- */

static napi_value set_membership(napi_env env, napi_callback_info info, int option, const char *syscall) {
  napi_value arguments[1];
  int64_t group;
  struct netlink_socket *socket = read_receiver(env, info, arguments, COUNT(arguments));
  if (socket == NULL || !read_integer(env, arguments[0], 1, INT_MAX, &group)) return NULL;
  int number = (int)group;
  int error = socket->closed ? EBADF : 0;
  if (error == 0 && setsockopt(socket->exchange.fd, SOL_NETLINK, option, &number, sizeof(number)) != 0) error = errno;
  return error == 0 ? NULL : throw_error(env, error, syscall);
}

static napi_value join_group(napi_env env, napi_callback_info info) {
  return set_membership(env, info, NETLINK_ADD_MEMBERSHIP, "setsockopt NETLINK_ADD_MEMBERSHIP");
}

static napi_value leave_group(napi_env env, napi_callback_info info) {
  return set_membership(env, info, NETLINK_DROP_MEMBERSHIP, "setsockopt NETLINK_DROP_MEMBERSHIP");
}

static int describe(struct receiver *receiver, int error, napi_value *arguments) {
  napi_env env = receiver->environment->env;
  if (napi_create_int32(env, -error, &arguments[0]) != napi_ok) return -1;
  arguments[1] = copy_bytes(env, NULL, 0);
  return arguments[1] == NULL ? -1 : 2;
}

static int read_event(struct receiver *receiver, napi_value *arguments) {
  struct netlink_socket *socket = receiver->owner;
  napi_env env = receiver->environment->env;
  if (!have_buffer(socket)) return -ENOMEM;
  struct sockaddr_nl from = {0};
  struct iovec room = {.iov_base = socket->buffer->bytes, .iov_len = BUFFER_BYTES};
  struct msghdr header = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &room, .msg_iovlen = 1};
  ssize_t received = recvmsg(receiver->fd, &header, MSG_DONTWAIT | MSG_TRUNC);
  if (received < 0) return -errno;
  /* Only the kernel is believed. */
  if (from.nl_pid != 0) return 0;
  if (received > BUFFER_BYTES) return -ENOBUFS;
  if (napi_create_int32(env, 0, &arguments[0]) != napi_ok) return -ENOMEM;
  arguments[1] = copy_bytes(env, socket->buffer->bytes, (size_t)received);
  return arguments[1] == NULL ? -ENOMEM : 2;
}

static void receiving_ended(struct receiver *receiver) {
  struct netlink_socket *socket = receiver->owner;
  if (socket->receiver == receiver) socket->receiver = NULL;
  drop(socket);
}

static const struct receiver_kind events = {read_event, describe, receiving_ended};

static napi_value start_receiving(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct netlink_socket *socket = read_receiver(env, info, arguments, COUNT(arguments));
  if (socket == NULL) return NULL;
  int error = obstacle(socket);
  if (error != 0) return throw_error(env, error, "recv");
  struct receiver *receiver =
      receiver_start(socket->environment, &events, socket, socket->exchange.fd, arguments[0]);
  if (receiver == NULL) return NULL;
  socket->receiver = receiver;
  socket->references++;
  return NULL;
}

static napi_value stop_receiving(napi_env env, napi_callback_info info) {
  struct netlink_socket *socket = read_receiver(env, info, NULL, 0);
  if (socket != NULL && is_receiving(socket)) receiver_stop(socket->receiver);
  return NULL;
}

napi_value define_netlink_socket(napi_env env) {
  napi_property_descriptor properties[11];
  size_t count = 0;
  define_getter(&properties[count++], "fd", get_fd);
  define_getter(&properties[count++], "portId", get_port_id);
  define_getter(&properties[count++], "receiveBuffer", get_receive_buffer);
  define_method(&properties[count++], "exchangeSync", exchange_sync);
  define_method(&properties[count++], "takeOverflow", take_overflow);
  define_method(&properties[count++], "exchange", exchange_async);
  define_method(&properties[count++], "joinGroup", join_group);
  define_method(&properties[count++], "leaveGroup", leave_group);
  define_method(&properties[count++], "startReceiving", start_receiving);
  define_method(&properties[count++], "stopReceiving", stop_receiving);
  define_method(&properties[count++], "close", close_socket);
  napi_value class;
  return check(env, napi_define_class(env, "NetlinkSocket", NAPI_AUTO_LENGTH, construct, NULL, count, properties, &class))
             ? class
             : NULL;
}
