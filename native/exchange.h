/*
 * One netlink exchange: send, then receive until every message of the request is settled. Knows message headers and
 * no attribute, and nothing of JavaScript: it runs on any thread, and in the C driver of test/native.
 *
 * The kernel answers a request inside sendmsg(2) (af_netlink.c, netlink_rcv_skb), so the replies are in the receive
 * queue when send(2) returns. An error is always answered by NLMSG_ERROR; success only if the message carries
 * NLM_F_ACK. A dump goes on at each recv(2) until NLMSG_DONE.
 */
#ifndef VIADUCT_EXCHANGE_H
#define VIADUCT_EXCHANGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* src/native.ts, ExchangeKind. */
enum exchange_kind { EXCHANGE_BATCH = 0, EXCHANGE_DUMPS = 1, EXCHANGE_ATOMIC = 2 };

/* Whole messages, one after the other. `bytes` is from malloc() and stays the owner's. */
struct replies {
  uint8_t *bytes;
  size_t length;
  size_t capacity;
  /* `bytes` is lent: when it is too small, the replies move to memory of their own. */
  bool borrowed;
  /* ENOBUFS was seen: the kernel dropped replies. */
  bool lost;
  /* A length that cannot be ended the exchange; what came from there on is at the end, as it came. */
  bool malformed;
};

struct exchange_socket {
  int fd;
  uint32_t port_id;
  /* Readable as soon as waiting is to end, or -1. */
  int cancel_fd;
  atomic_bool cancelled;
  /* An exchange ended before its replies: what is still queued is read and dropped before the next. */
  bool stale;
};

struct exchange_failure {
  /* A number of errno.h, 0 for none. */
  int error;
  const char *syscall;
};

/* Room that is kept free for one datagram: the kernel sends dumps in 32 KiB at most, single replies are smaller. */
enum { DATAGRAM_ROOM = 128 * 1024 };

/*
 * `deadline` is in now_nanoseconds(), and a negative one so many nanoseconds from the first wait (which spares a clock
 * call where there is none). On failure, `replies` holds what came until then.
 */
struct exchange_failure exchange(struct exchange_socket *socket, const uint8_t *request, size_t length,
                                 enum exchange_kind kind, int64_t deadline, struct replies *replies);

/* True if the request is a row of whole message headers, none of them longer than what is left. */
bool is_request(const uint8_t *request, size_t length);

#endif
