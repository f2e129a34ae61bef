#include "receive.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "support.h"

/* After so many datagrams other things get their turn; what is left is readable at once the next time. */
enum { DATAGRAMS_AT_ONCE = 64 };

static void on_poll(uv_poll_t *poll, int status, int events);
static void stop_activity(struct activity *activity);

static bool prepare(struct receiver *receiver, napi_value listener) {
  napi_env env = receiver->environment->env;
  napi_valuetype type;
  napi_value name;
  if (!check(env, napi_typeof(env, listener, &type))) return false;
  if (type != napi_function) {
    throw_type_error(env, "expected a function");
    return false;
  }
  return check(env, napi_create_reference(env, listener, 1, &receiver->listener)) &&
         check(env, napi_create_string_utf8(env, "viaduct.receive", NAPI_AUTO_LENGTH, &name)) &&
         check(env, napi_async_init(env, NULL, name, &receiver->context));
}

/* Also what was only begun. */
static void forget_listener(struct receiver *receiver) {
  napi_env env = receiver->environment->env;
  if (receiver->context != NULL) napi_async_destroy(env, receiver->context);
  if (receiver->listener != NULL) napi_delete_reference(env, receiver->listener);
  receiver->context = NULL;
  receiver->listener = NULL;
}

struct receiver *receiver_start(struct environment *environment, const struct receiver_kind *kind, void *owner, int fd,
                                napi_value listener) {
  struct receiver *receiver = malloc(sizeof(*receiver));
  uv_poll_t *poll = malloc(uv_handle_size(UV_POLL));
  int error = receiver == NULL || poll == NULL ? -ENOMEM : 0;
  if (error == 0) {
    *receiver = (struct receiver){.environment = environment, .kind = kind, .owner = owner, .fd = fd};
    receiver->activity.stop = stop_activity;
    if (prepare(receiver, listener)) {
      error = uv_poll_init(environment->loop, poll, fd);
      if (error == 0) {
        uv_handle_set_data((uv_handle_t *)poll, receiver);
        receiver->poll = poll;
        activity_started(environment, &receiver->activity);
        uv_poll_start(poll, UV_READABLE, on_poll);
        return receiver;
      }
    }
    forget_listener(receiver);
  }
  free(receiver);
  free(poll);
  if (error != 0) throw_error(environment->env, -error, "uv_poll_init");
  return NULL;
}

static void poll_closed(uv_handle_t *handle) {
  struct receiver *receiver = uv_handle_get_data(handle);
  struct environment *environment = receiver->environment;
  free(handle);
  forget_listener(receiver);
  receiver->kind->ended(receiver);
  activity_ended(environment, &receiver->activity);
  free(receiver);
}

void receiver_stop(struct receiver *receiver) {
  if (receiver->poll == NULL) return;
  uv_handle_t *handle = (uv_handle_t *)receiver->poll;
  receiver->poll = NULL;
  uv_close(handle, poll_closed);
}

static void stop_activity(struct activity *activity) {
  receiver_stop((struct receiver *)((char *)activity - offsetof(struct receiver, activity)));
}

static void tell(struct receiver *receiver, int error) {
  napi_value arguments[RECEIVE_ARGUMENTS];
  int count = receiver->kind->describe(receiver, error, arguments);
  if (count > 0) {
    environment_call(receiver->environment, receiver->context, receiver->listener, (size_t)count, arguments);
  }
}

/*
 * An overrun is told when what was queued has been read, and not before: until the queue is empty the socket stays
 * "congested" (af_netlink.c, netlink_overrun and netlink_rcv_wake), and the kernel says nothing of what it drops further.
 * Whoever reads the state anew when told has then missed nothing.
 */
static void note(struct receiver *receiver, int error) {
  if (error == ENOBUFS) {
    receiver->overrun = true;
  } else {
    tell(receiver, error);
  }
}

/*
 * libuv stops polling and reports UV_EBADF when poll(2) says POLLERR. For a netlink socket that is an overrun
 * (netlink_overrun sets sk_err to ENOBUFS), for a datagram socket an ICMP error or a device that went down: read it,
 * and poll on.
 */
static void take_socket_error(struct receiver *receiver) {
  int error = 0;
  socklen_t size = sizeof(error);
  /* Cannot fail unless somebody closed the descriptor behind our back; libuv would abort on that one. */
  bool usable = getsockopt(receiver->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0;
  if (usable) {
    usable = uv_poll_start(receiver->poll, UV_READABLE, on_poll) == 0;
  } else {
    error = errno;
  }
  /* Who hears of it can see that nothing more will come. */
  if (!usable) receiver_stop(receiver);
  if (error != 0) note(receiver, error);
}

static bool is_passing(int error) {
  return error == ENOBUFS || error == ENOMEM || error == ENETDOWN || error == ECONNREFUSED || error == EHOSTUNREACH ||
         error == ENETUNREACH || error == EMSGSIZE;
}

/* Nothing is queued any more. */
static void tell_overrun(struct receiver *receiver) {
  if (!receiver->overrun) return;
  receiver->overrun = false;
  tell(receiver, ENOBUFS);
}

/* One datagram, in a handle scope of its own. Returns false when there is no more to read for now. */
static bool receive_one(struct receiver *receiver) {
  napi_env env = receiver->environment->env;
  napi_value arguments[RECEIVE_ARGUMENTS];
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  int result = receiver->kind->read(receiver, arguments);
  bool more = true;
  if (result > 0) {
    environment_call(receiver->environment, receiver->context, receiver->listener, (size_t)result, arguments);
  } else if (result == -EAGAIN) {
    more = false;
    tell_overrun(receiver);
  } else if (result < 0 && result != -EINTR) {
    if (!is_passing(-result)) receiver_stop(receiver);
    note(receiver, -result);
  }
  napi_close_handle_scope(env, scope);
  return more;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct receiver *receiver = uv_handle_get_data((uv_handle_t *)poll);
  napi_handle_scope scope;
  (void)events;
  if (napi_open_handle_scope(receiver->environment->env, &scope) != napi_ok) return;
  if (status < 0) take_socket_error(receiver);
  bool more = true;
  for (int count = 0; more && count < DATAGRAMS_AT_ONCE && receiver->poll != NULL; count++) {
    more = receive_one(receiver);
  }
  /* If that was just the last, nothing would call here again. */
  if (more && receiver->poll != NULL && receiver->overrun &&
      recv(receiver->fd, NULL, 0, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
    tell_overrun(receiver);
  }
  napi_close_handle_scope(receiver->environment->env, scope);
}
