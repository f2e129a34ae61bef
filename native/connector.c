/*
 * Connects by the thousand. Requests come in batches and results go out in batches; in between all sockets are in one
 * epoll instance, which is the only descriptor that libuv knows of, and all deadlines in one heap with one timer.
 */
#include "connector.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "clock.h"
#include "environment.h"
#include "namespace.h"
#include "support.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* As src/net/connector.ts writes it, in the order of this machine. */
struct request {
  uint32_t id;
  uint32_t flags;
  uint32_t timeout_milliseconds;
  uint32_t mark;
  uint16_t port, local_port;
  uint32_t interface_index;
  uint8_t address[16];
  uint8_t local_address[16];
  char device[16];
};

enum {
  FLAG_V6 = 1,      /* addresses have 16 bytes, else 4 */
  FLAG_KEEP = 2,    /* the descriptor is handed over, else closed */
  FLAG_RESET = 4,   /* closed by a reset */
  FLAG_HALF = 8,    /* the handshake's last packet is held back */
  FLAG_MARK = 16,
  FLAG_LOCAL = 32,  /* local_address and local_port are given */
  FLAG_DEVICE = 64,
};

enum { HAS_FAILED_HERE = 1, HAS_DESCRIPTOR = 2 };

struct result {
  uint32_t id;
  int32_t error; /* negative, 0 for success */
  uint32_t what;  /* HAS_FAILED_HERE, HAS_DESCRIPTOR */
  int32_t value; /* the descriptor, if it is handed over, else microseconds */
};

/* One batch of either; more wait for the next. */
enum { BATCH = 1024, EVENTS = 256, MOST_IDS = 1 << 20 };

struct attempt {
  int fd; /* -1: there is none of this id */
  uint32_t flags;
  size_t place;
  int64_t started, deadline;
};

struct connector {
  struct activity activity;
  struct environment *environment;
  napi_async_context context;
  napi_ref listener;
  int epoll;
  uv_poll_t *poll;
  uv_timer_t *timer;
  unsigned open_handles;
  /* The object and the handles hold one each. */
  unsigned references;
  bool is_closed;
  struct attempt *attempts;
  size_t attempts_size;
  /* Ids, the soonest deadline first. */
  uint32_t *heap;
  size_t pending;
  int64_t timer_at; /* 0: it does not run */
  struct result results[BATCH];
  size_t result_count;
};

static const napi_type_tag tag = {0x5b0a9c41d7e24f13u, 0x9e6b1d3c8fa70254u};

/* ---- The heap of deadlines ---- */

static int64_t deadline_at(const struct connector *connector, size_t place) {
  return connector->attempts[connector->heap[place]].deadline;
}

static void put(struct connector *connector, size_t place, uint32_t id) {
  connector->heap[place] = id;
  connector->attempts[id].place = place;
}

static void rise(struct connector *connector, size_t place) {
  uint32_t id = connector->heap[place];
  int64_t deadline = connector->attempts[id].deadline;
  while (place > 0 && deadline_at(connector, (place - 1) / 2) > deadline) {
    put(connector, place, connector->heap[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  put(connector, place, id);
}

static void sink(struct connector *connector, size_t place) {
  uint32_t id = connector->heap[place];
  int64_t deadline = connector->attempts[id].deadline;
  for (;;) {
    size_t below = 2 * place + 1;
    if (below >= connector->pending) break;
    if (below + 1 < connector->pending && deadline_at(connector, below + 1) < deadline_at(connector, below)) below++;
    if (deadline_at(connector, below) >= deadline) break;
    put(connector, place, connector->heap[below]);
    place = below;
  }
  put(connector, place, id);
}

static void heap_add(struct connector *connector, uint32_t id) {
  put(connector, connector->pending++, id);
  rise(connector, connector->pending - 1);
}

static void heap_remove(struct connector *connector, uint32_t id) {
  size_t place = connector->attempts[id].place;
  uint32_t last = connector->heap[--connector->pending];
  if (last == id) return;
  put(connector, place, last);
  rise(connector, place);
  sink(connector, connector->attempts[last].place);
}

/* ---- Results ---- */

static struct result *add_result(struct connector *connector, uint32_t id, int error, bool is_local) {
  struct result *result = &connector->results[connector->result_count++];
  *result = (struct result){.id = id, .error = -error, .what = is_local ? HAS_FAILED_HERE : 0};
  return result;
}

/* Hands over what there is. JavaScript may connect, cancel and close meanwhile. */
static void tell(struct connector *connector) {
  napi_env env = connector->environment->env;
  napi_handle_scope scope;
  if (connector->result_count == 0 || connector->environment->ending) return;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  size_t length = connector->result_count * sizeof(struct result);
  connector->result_count = 0;
  napi_value bytes = copy_bytes(env, (const uint8_t *)connector->results, length);
  if (bytes != NULL) {
    environment_call(connector->environment, connector->context, connector->listener, 1, &bytes);
  }
  napi_close_handle_scope(env, scope);
}

/* The attempt is over; its descriptor is closed unless it is handed over. */
static void forget(struct connector *connector, uint32_t id, bool is_kept) {
  struct attempt *attempt = &connector->attempts[id];
  heap_remove(connector, id);
  if (!is_kept) close(attempt->fd);
  attempt->fd = -1;
}

static void finish(struct connector *connector, uint32_t id, int error, int64_t now) {
  struct attempt *attempt = &connector->attempts[id];
  int fd = attempt->fd;
  bool is_kept = error == 0 && (attempt->flags & FLAG_KEEP) != 0;
  if (is_kept && !descriptor_lent(connector->environment, fd)) {
    error = ENOMEM;
    is_kept = false;
  }
  if (is_kept) epoll_ctl(connector->epoll, EPOLL_CTL_DEL, fd, NULL);
  int64_t microseconds = (now - attempt->started) / 1000;
  forget(connector, id, is_kept);
  struct result *result = add_result(connector, id, error, error == ENOMEM);
  if (is_kept) result->what |= HAS_DESCRIPTOR;
  result->value = is_kept ? fd : microseconds > INT_MAX ? INT_MAX : (int32_t)microseconds;
}

/* ---- The event loop ---- */

static void rearm(struct connector *connector);

static int error_of(int fd, uint32_t events) {
  int error = 0;
  socklen_t size = sizeof(error);
  if ((events & (EPOLLERR | EPOLLHUP)) == 0) return 0;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error != 0 ? error : (events & EPOLLHUP) != 0 ? ECONNRESET : 0;
}

/* What the kernel has to say so far; false if the connector was closed by who was told. */
static bool drain(struct connector *connector) {
  struct epoll_event events[EVENTS];
  for (;;) {
    int count = epoll_wait(connector->epoll, events, EVENTS, 0);
    if (count <= 0) return true;
    int64_t now = now_nanoseconds();
    for (int i = 0; i < count; i++) {
      uint32_t id = events[i].data.u32;
      finish(connector, id, error_of(connector->attempts[id].fd, events[i].events), now);
    }
    tell(connector);
    if (connector->is_closed) return false;
    /* What is left comes with the next turn: others want to be heard, too. */
    if (count < EVENTS) return true;
  }
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct connector *connector = uv_handle_get_data((uv_handle_t *)poll);
  (void)status;
  (void)events;
  if (connector->is_closed || connector->environment->ending) return;
  if (drain(connector)) rearm(connector);
}

static void on_timeout(uv_timer_t *timer) {
  struct connector *connector = uv_handle_get_data((uv_handle_t *)timer);
  if (connector->is_closed || connector->environment->ending) return;
  connector->timer_at = 0;
  /* An answer that is there was in time, however late this thread is: nobody fails because we were busy. */
  if (!drain(connector)) return;
  int64_t now = now_nanoseconds();
  while (connector->pending > 0 && deadline_at(connector, 0) <= now) {
    finish(connector, connector->heap[0], ETIMEDOUT, now);
    if (connector->result_count == BATCH) {
      tell(connector);
      if (connector->is_closed) return;
    }
  }
  tell(connector);
  if (!connector->is_closed) rearm(connector);
}

/* The timer goes off at the soonest deadline, and the loop lives as long as there is one. */
static void rearm(struct connector *connector) {
  if (connector->pending == 0) {
    uv_unref((uv_handle_t *)connector->poll);
    return;
  }
  uv_ref((uv_handle_t *)connector->poll);
  int64_t deadline = deadline_at(connector, 0);
  if (connector->timer_at != 0 && connector->timer_at <= deadline) return;
  int64_t wait = deadline - now_nanoseconds();
  connector->timer_at = deadline;
  uv_update_time(connector->environment->loop);
  uv_timer_start(connector->timer, on_timeout, wait <= 0 ? 0 : (uint64_t)(wait / 1000000) + 1, 0);
}

/* ---- Beginning ---- */

struct sockets {
  const struct request *requests;
  size_t count;
  int *fds; /* or negative errors */
};

static int open_sockets(void *argument, const char **syscall) {
  struct sockets *sockets = argument;
  *syscall = "socket";
  for (size_t i = 0; i < sockets->count; i++) {
    int family = (sockets->requests[i].flags & FLAG_V6) != 0 ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockets->fds[i] = fd < 0 ? -errno : fd;
  }
  return 0;
}

/* Of one socket: an error number, 0 when it is on its way. */
static int begin(const struct request *request, int fd) {
  const int on = 1, off = 0;
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  uint32_t flags = request->flags;
  bool v6 = (flags & FLAG_V6) != 0;
  int family = v6 ? AF_INET6 : AF_INET;
  size_t length = v6 ? 16 : 4;
  struct address address;
  if ((flags & FLAG_MARK) != 0 &&
      setsockopt(fd, SOL_SOCKET, SO_MARK, &request->mark, sizeof(request->mark)) != 0) {
    return errno;
  }
  if ((flags & FLAG_DEVICE) != 0 &&
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, request->device,
                 (socklen_t)strnlen(request->device, sizeof(request->device))) != 0) {
    return errno;
  }
  if ((flags & FLAG_RESET) != 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) != 0) return errno;
  /* Where it cannot be had the handshake is whole. */
  if ((flags & FLAG_HALF) != 0) setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
  if ((flags & FLAG_LOCAL) != 0) {
    /* The port is chosen at the connect, among those that are free towards this server. */
    if (request->local_port == 0) setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (!make_address(family, request->local_address, length, request->local_port, request->interface_index,
                      &address)) {
      return EAFNOSUPPORT;
    }
    if (bind(fd, (struct sockaddr *)&address.storage, address.size) != 0) return errno;
  }
  if (!make_address(family, request->address, length, request->port, request->interface_index, &address)) {
    return EAFNOSUPPORT;
  }
  if (connect(fd, (struct sockaddr *)&address.storage, address.size) != 0 && errno != EINPROGRESS && errno != EINTR) {
    return errno;
  }
  return 0;
}

static bool make_room(struct connector *connector, uint32_t id) {
  if (id < connector->attempts_size) return true;
  if (id >= MOST_IDS) return false;
  size_t size = ((size_t)id + 1) * 2;
  struct attempt *attempts = realloc(connector->attempts, size * sizeof(*attempts));
  if (attempts == NULL) return false;
  connector->attempts = attempts;
  uint32_t *heap = realloc(connector->heap, size * sizeof(*heap));
  if (heap == NULL) return false;
  connector->heap = heap;
  for (size_t i = connector->attempts_size; i < size; i++) connector->attempts[i].fd = -1;
  connector->attempts_size = size;
  return true;
}

static int enter(struct connector *connector, const struct request *request, int fd, int64_t now) {
  if (!make_room(connector, request->id)) return ENOMEM;
  struct attempt *attempt = &connector->attempts[request->id];
  if (attempt->fd >= 0) return EEXIST;
  struct epoll_event event = {.events = EPOLLOUT, .data.u32 = request->id};
  if (epoll_ctl(connector->epoll, EPOLL_CTL_ADD, fd, &event) != 0) return errno;
  attempt->fd = fd;
  attempt->flags = request->flags;
  attempt->started = now;
  attempt->deadline = now + (int64_t)request->timeout_milliseconds * 1000000;
  heap_add(connector, request->id);
  return 0;
}

static napi_value connect_all(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int64_t netns_fd;
  const uint8_t *bytes;
  size_t length;
  struct connector *connector = read_receiver(env, info, arguments, COUNT(arguments));
  if (connector == NULL || !read_integer(env, arguments[0], -1, INT_MAX, &netns_fd) ||
      !read_bytes(env, arguments[1], &bytes, &length)) {
    return NULL;
  }
  if (connector->is_closed) return throw_error(env, EBADF, "connect");
  size_t count = length / sizeof(struct request);
  if (length % sizeof(struct request) != 0 || count > BATCH || (uintptr_t)bytes % _Alignof(struct request) != 0) {
    return throw_type_error(env, "expected whole requests, at most 1024");
  }
  int fds[BATCH];
  struct sockets sockets = {.requests = (const struct request *)bytes, .count = count, .fds = fds};
  struct opening opening = {.open = open_sockets, .argument = &sockets};
  if (open_in_namespace((int)netns_fd, &opening) < 0) return throw_error(env, opening.error, opening.syscall);
  for (size_t i = 0; i < count; i++) {
    const struct request *request = &sockets.requests[i];
    int64_t now = now_nanoseconds();
    int error = fds[i] < 0 ? -fds[i] : begin(request, fds[i]);
    if (error == 0) error = enter(connector, request, fds[i], now);
    if (error == 0) continue;
    if (fds[i] >= 0) close(fds[i]);
    add_result(connector, request->id, error, true);
  }
  rearm(connector);
  if (connector->result_count == 0) return NULL;
  length = connector->result_count * sizeof(struct result);
  connector->result_count = 0;
  return copy_bytes(env, (const uint8_t *)connector->results, length);
}

static napi_value cancel(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int64_t id;
  struct connector *connector = read_receiver(env, info, arguments, COUNT(arguments));
  if (connector == NULL || !read_integer(env, arguments[0], 0, MOST_IDS, &id)) return NULL;
  if (connector->is_closed || (size_t)id >= connector->attempts_size || connector->attempts[id].fd < 0) return NULL;
  forget(connector, (uint32_t)id, false);
  rearm(connector);
  return NULL;
}

/* ---- Its life ---- */

static void drop(struct connector *connector) {
  if (--connector->references > 0) return;
  free(connector->attempts);
  free(connector->heap);
  free(connector);
}

static void handle_closed(uv_handle_t *handle) {
  struct connector *connector = uv_handle_get_data(handle);
  struct environment *environment = connector->environment;
  free(handle);
  if (--connector->open_handles > 0) return;
  close(connector->epoll);
  napi_async_destroy(environment->env, connector->context);
  napi_delete_reference(environment->env, connector->listener);
  activity_ended(environment, &connector->activity);
  drop(connector);
}

static void close_connector(struct connector *connector) {
  if (connector->is_closed) return;
  connector->is_closed = true;
  while (connector->pending > 0) forget(connector, connector->heap[0], false);
  uv_close((uv_handle_t *)connector->poll, handle_closed);
  uv_close((uv_handle_t *)connector->timer, handle_closed);
}

static void stop_activity(struct activity *activity) {
  close_connector((struct connector *)((char *)activity - offsetof(struct connector, activity)));
}

static napi_value close_method(napi_env env, napi_callback_info info) {
  struct connector *connector = read_receiver(env, info, NULL, 0);
  if (connector != NULL) close_connector(connector);
  return NULL;
}

static void collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  close_connector(data);
  drop(data);
}

static bool prepare(napi_env env, struct connector *connector, napi_value listener) {
  napi_value name;
  napi_valuetype type;
  if (!check(env, napi_typeof(env, listener, &type))) return false;
  if (type != napi_function) {
    throw_type_error(env, "expected a function");
    return false;
  }
  return check(env, napi_create_reference(env, listener, 1, &connector->listener)) &&
         check(env, napi_create_string_utf8(env, "viaduct.connect", NAPI_AUTO_LENGTH, &name)) &&
         check(env, napi_async_init(env, NULL, name, &connector->context));
}

static napi_value construct(napi_env env, napi_callback_info info) {
  napi_value self, arguments[1];
  if (!read_construction(env, info, &self, arguments, COUNT(arguments))) return NULL;
  struct environment *environment = environment_of(env);
  struct connector *connector = calloc(1, sizeof(*connector));
  uv_poll_t *poll = malloc(uv_handle_size(UV_POLL));
  uv_timer_t *timer = malloc(uv_handle_size(UV_TIMER));
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  int error = epoll < 0 ? errno : connector == NULL || poll == NULL || timer == NULL ? ENOMEM : 0;
  if (error == 0 && prepare(env, connector, arguments[0])) {
    error = -uv_poll_init(environment->loop, poll, epoll);
    if (error == 0) {
      uv_timer_init(environment->loop, timer);
      uv_handle_set_data((uv_handle_t *)poll, connector);
      uv_handle_set_data((uv_handle_t *)timer, connector);
      connector->environment = environment;
      connector->epoll = epoll;
      connector->poll = poll;
      connector->timer = timer;
      connector->open_handles = 2;
      connector->references = 2;
      connector->activity.stop = stop_activity;
      activity_started(environment, &connector->activity);
      uv_poll_start(poll, UV_READABLE, on_poll);
      uv_unref((uv_handle_t *)poll);
      uv_unref((uv_handle_t *)timer);
      if (wrap_tagged(env, self, &tag, connector, collected)) return self;
      close_connector(connector);
      drop(connector);
      return NULL;
    }
  }
  if (connector != NULL && connector->context != NULL) napi_async_destroy(env, connector->context);
  if (connector != NULL && connector->listener != NULL) napi_delete_reference(env, connector->listener);
  if (epoll >= 0) close(epoll);
  free(connector);
  free(poll);
  free(timer);
  return error == 0 ? NULL : throw_error(env, error, "epoll_create1");
}

napi_value define_tcp_connector(napi_env env) {
  napi_property_descriptor properties[3];
  size_t count = 0;
  define_method(&properties[count++], "connect", connect_all);
  define_method(&properties[count++], "cancel", cancel);
  define_method(&properties[count++], "close", close_method);
  napi_value class;
  return check(env, napi_define_class(env, "TcpConnector", NAPI_AUTO_LENGTH, construct, NULL, count, properties, &class))
             ? class
             : NULL;
}
