/*
 * Datagrams from the event loop: a uv_poll on a descriptor that calls a listener with each. Shared by netlink sockets
 * (multicast groups) and datagram sockets.
 */
#ifndef VIADUCT_RECEIVE_H
#define VIADUCT_RECEIVE_H

#include <node_api.h>
#include <stdbool.h>

#include "environment.h"

enum { RECEIVE_ARGUMENTS = 7 };

struct receiver;

struct receiver_kind {
  /*
   * Reads one datagram and makes the listener's arguments of it (errno first); returns their number, 0 for a datagram
   * that concerns nobody, or -errno.
   */
  int (*read)(struct receiver *receiver, napi_value *arguments);
  /* Arguments that tell of an error instead; returns their number, or -1. */
  int (*describe)(struct receiver *receiver, int error, napi_value *arguments);
  /* Nothing uses the receiver any more; it is freed after this. */
  void (*ended)(struct receiver *receiver);
};

struct receiver {
  struct activity activity;
  struct environment *environment;
  const struct receiver_kind *kind;
  void *owner;
  int fd;
  /* ENOBUFS was seen and is still to be told. */
  bool overrun;
  /* NULL as soon as it has stopped. */
  uv_poll_t *poll;
  napi_ref listener;
  napi_async_context context;
};

/* A receiver that listens, or NULL with an exception pending. */
struct receiver *receiver_start(struct environment *environment, const struct receiver_kind *kind, void *owner, int fd,
                                napi_value listener);
/* The descriptor may be closed after this. `ended` is called later, from the event loop. */
void receiver_stop(struct receiver *receiver);

#endif
