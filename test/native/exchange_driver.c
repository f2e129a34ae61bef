/*
 * Drives native/exchange.c without Node: against a socket pair that answers whatever bytes, and against the kernel.
 * Under AddressSanitizer and valgrind it shows every read past what was received. `exchange_driver [rounds]`
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../../native/clock.h"
#include "../../native/exchange.h"

#define EXPECT(condition)                                                         \
  do {                                                                            \
    if (!(condition)) {                                                           \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);     \
      exit(1);                                                                    \
    }                                                                             \
  } while (0)

enum { PORT = 4711, ROOM = DATAGRAM_ROOM };
static const int64_t millisecond = 1000000;

/* A pair of sockets: what `kernel` sends, the exchange receives. */
struct pair {
  struct exchange_socket socket;
  int kernel;
};

static struct pair open_pair(void) {
  int ends[2];
  EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  return (struct pair){.socket = {.fd = ends[0], .port_id = PORT, .cancel_fd = -1}, .kernel = ends[1]};
}

static void close_pair(struct pair *pair) {
  close(pair->socket.fd);
  close(pair->kernel);
}

static size_t put(uint8_t *at, uint32_t length, uint16_t type, uint16_t flags, uint32_t sequence, uint32_t port) {
  struct nlmsghdr header = {length, type, flags, sequence, port};
  memset(at, 0, NLMSG_ALIGN(length));
  memcpy(at, &header, sizeof(header));
  return NLMSG_ALIGN(length);
}

static size_t put_error(uint8_t *at, int error, uint32_t sequence) {
  size_t size = put(at, NLMSG_LENGTH(sizeof(struct nlmsgerr)), NLMSG_ERROR, 0, sequence, PORT);
  memcpy(at + NLMSG_HDRLEN, &error, sizeof(error));
  return size;
}

static size_t put_request(uint8_t *at, uint16_t flags, uint32_t sequence) {
  return put(at, NLMSG_LENGTH(16), RTM_GETLINK, flags | NLM_F_REQUEST, sequence, 0);
}

static void answer(struct pair *pair, const uint8_t *bytes, size_t length) {
  EXPECT(send(pair->kernel, bytes, length, 0) == (ssize_t)length);
}

/* Receives into memory of exactly the size that it says, so that nothing can be written behind it. */
static uint8_t *memory;
/* New memory for each: valgrind then knows which of it was received. */
static bool is_fresh;
static struct exchange_failure run(struct pair *pair, const uint8_t *request, size_t length, enum exchange_kind kind,
                                   int64_t deadline, struct replies *replies) {
  if (is_fresh) {
    free(memory);
    memory = malloc(ROOM);
  }
  *replies = (struct replies){.bytes = memory, .capacity = ROOM, .borrowed = true};
  struct exchange_failure failure = exchange(&pair->socket, request, length, kind, deadline, replies);
  EXPECT(replies->length <= replies->capacity);
  uint8_t sent[4096];
  while (recv(pair->kernel, sent, sizeof(sent), MSG_DONTWAIT) > 0) {
  }
  return failure;
}

static void forget(struct replies *replies) {
  if (!replies->borrowed) free(replies->bytes);
}

/* ---- What it keeps and what it drops ---- */

static void keeps_what_answers(void) {
  struct pair pair = open_pair();
  struct replies replies;
  uint8_t request[256], reply[256];
  size_t length = put_request(request, 0, 10);
  length += put_request(request + length, NLM_F_ACK, 11);

  size_t size = put(reply, 20, RTM_NEWLINK, 0, 9, PORT);   /* of an earlier request */
  size += put(reply + size, 24, RTM_NEWLINK, 0, 10, PORT); /* kept */
  size += put(reply + size, 20, RTM_NEWLINK, 0, 10, 1);    /* another's port */
  size += put_error(reply + size, 0, 12);                  /* of a later request */
  answer(&pair, reply, size);
  size = put_error(reply, -ENODEV, 10);
  size += put_error(reply + size, 0, 11);
  answer(&pair, reply, size);
  EXPECT(run(&pair, request, length, EXCHANGE_BATCH, -1000 * millisecond, &replies).error == 0);
  EXPECT(replies.length == 24 + 36 + 36);
  EXPECT(!replies.lost && !pair.socket.stale);
  struct nlmsghdr first;
  memcpy(&first, replies.bytes, sizeof(first));
  EXPECT(first.nlmsg_len == 24 && first.nlmsg_seq == 10);
  forget(&replies);

  /* A datagram whose last message is not padded: the next one starts aligned, with zeros between. */
  put(reply, 21, RTM_NEWLINK, 0, 10, PORT);
  answer(&pair, reply, 21);
  size = put_error(reply, 0, 11);
  answer(&pair, reply, size);
  EXPECT(run(&pair, request, length, EXCHANGE_BATCH, -1000 * millisecond, &replies).error == 0);
  EXPECT(replies.length == 24 + 36 && replies.bytes[21] == 0 && replies.bytes[23] == 0);
  forget(&replies);

  /* Sequence numbers go on at 0 behind the last. */
  length = put_request(request, 0, UINT32_MAX);
  length += put_request(request + length, NLM_F_ACK, 0);
  size = put_error(reply, -ENODEV, UINT32_MAX);
  size += put_error(reply + size, 0, 0);
  answer(&pair, reply, size);
  EXPECT(run(&pair, request, length, EXCHANGE_BATCH, -1000 * millisecond, &replies).error == 0);
  EXPECT(replies.length == 36 + 36);
  forget(&replies);
  close_pair(&pair);
}

static void grows_and_refuses(void) {
  struct pair pair = open_pair();
  int large = 4 << 20;
  setsockopt(pair.kernel, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
  uint8_t request[64], *reply = malloc(ROOM + 4096), lent[ROOM];
  size_t length = put_request(request, NLM_F_ACK, 1);
  put(reply, 30000, RTM_NEWLINK, 0, 1, PORT);
  for (int count = 0; count < 6; count++) answer(&pair, reply, 30000);
  uint8_t done[64];
  size_t size = put_error(done, 0, 1);
  answer(&pair, done, size);
  struct replies replies = {.bytes = lent, .capacity = sizeof(lent), .borrowed = true};
  EXPECT(exchange(&pair.socket, request, length, EXCHANGE_BATCH, -1000 * millisecond, &replies).error == 0);
  EXPECT(!replies.borrowed && replies.bytes != lent && replies.length == 6 * 30000 + 36);
  forget(&replies);

  /* More than any datagram of the kernel's: refused, and the rest of it is not taken for the next answer. */
  put(reply, ROOM + 64, RTM_NEWLINK, 0, 1, PORT);
  answer(&pair, reply, ROOM + 64);
  answer(&pair, done, size);
  EXPECT(run(&pair, request, length, EXCHANGE_BATCH, -1000 * millisecond, &replies).error == EMSGSIZE);
  forget(&replies);
  EXPECT(pair.socket.stale);
  EXPECT(run(&pair, request, length, EXCHANGE_BATCH, -5 * millisecond, &replies).error == ETIMEDOUT);
  EXPECT(replies.length == 0);
  forget(&replies);
  free(reply);
  close_pair(&pair);
}

/* ---- Waiting ---- */

static volatile sig_atomic_t alarms;
static void on_alarm(int number) {
  (void)number;
  alarms = alarms + 1;
}

static void waits_through_signals(void) {
  struct pair pair = open_pair();
  struct replies replies;
  uint8_t request[64];
  size_t length = put_request(request, NLM_F_ACK, 1);
  struct sigaction action = {.sa_handler = on_alarm};
  struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &every, NULL);
  int64_t start = now_nanoseconds();
  EXPECT(run(&pair, request, length, EXCHANGE_BATCH, -100 * millisecond, &replies).error == ETIMEDOUT);
  setitimer(ITIMER_REAL, &never, NULL);
  EXPECT(now_nanoseconds() - start >= 100 * millisecond);
  EXPECT(alarms > 3);
  forget(&replies);

  /* A queue that never runs dry. */
  uint8_t reply[64];
  size_t size = put(reply, 20, RTM_NEWLINK, 0, 99, PORT);
  pair.socket.stale = false;
  int sent = 0;
  while (send(pair.kernel, reply, size, MSG_DONTWAIT) > 0) sent++;
  EXPECT(sent > 16);
  EXPECT(run(&pair, request, length, EXCHANGE_BATCH, 1, &replies).error == ETIMEDOUT);
  forget(&replies);
  close_pair(&pair);
}

static void *cancel_soon(void *argument) {
  struct exchange_socket *socket = argument;
  uint64_t one = 1;
  poll(NULL, 0, 20);
  atomic_store(&socket->cancelled, true);
  EXPECT(write(socket->cancel_fd, &one, sizeof(one)) == sizeof(one));
  return NULL;
}

static void is_cancelled(void) {
  struct pair pair = open_pair();
  struct replies replies;
  uint8_t request[64];
  size_t length = put_request(request, NLM_F_DUMP, 1);
  pthread_t thread;
  pair.socket.cancel_fd = eventfd(0, EFD_CLOEXEC);
  EXPECT(pthread_create(&thread, NULL, cancel_soon, &pair.socket) == 0);
  EXPECT(run(&pair, request, length, EXCHANGE_DUMPS, -60000 * millisecond, &replies).error == ECANCELED);
  pthread_join(thread, NULL);
  forget(&replies);
  /* From then on nothing is sent. */
  struct exchange_failure failure = exchange(&pair.socket, request, length, EXCHANGE_BATCH, -millisecond, &replies);
  EXPECT(failure.error == ECANCELED && strcmp(failure.syscall, "sendmsg") == 0);
  EXPECT(recv(pair.kernel, request, sizeof(request), MSG_DONTWAIT) < 0 && errno == EAGAIN);
  close(pair.socket.cancel_fd);
  close_pair(&pair);
}

/* ---- Whatever bytes ---- */

static uint64_t state = 88172645463325252u;
static uint32_t chance(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 32) % below;
}

/* Mostly near to what is valid: a length that is off by some bytes finds more than noise. */
static size_t make_noise(uint8_t *bytes, size_t most) {
  size_t length = 0;
  while (length + 64 < most && chance(4) != 0) {
    uint32_t size = 16 + chance(40);
    uint16_t types[] = {NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, RTM_NEWLINK, (uint16_t)chance(65536)};
    size_t step = put(bytes + length, size, types[chance(5)], (uint16_t)chance(8), 1 + chance(4), chance(8) ? PORT : 0);
    uint32_t wrong[] = {0, 15, size + 1, size + 100, UINT32_MAX, UINT32_MAX - 3, 0x80000000u, chance(UINT32_MAX)};
    if (chance(6) == 0) memcpy(bytes + length, &wrong[chance(8)], sizeof(uint32_t));
    length += step;
  }
  for (uint32_t count = chance(3); count > 0 && length > 0; count--) bytes[chance((uint32_t)length)] ^= (uint8_t)(1 << chance(8));
  if (chance(3) == 0) length -= length > 0 ? chance((uint32_t)length) : 0;
  return length;
}

static void survives_noise(long rounds) {
  struct pair pair = open_pair();
  long settled = 0, malformed = 0;
  for (long round = 0; round < rounds; round++) {
    uint8_t request[256], noise[1024];
    struct replies replies;
    bool dumps = chance(2) == 0;
    size_t length = put_request(request, dumps ? NLM_F_DUMP : 0, 1);
    length += put_request(request + length, dumps ? (chance(2) ? NLM_F_DUMP : 0) : NLM_F_ACK, 2);
    for (uint32_t count = chance(4); count > 0; count--) {
      size_t size = make_noise(noise, sizeof(noise));
      /* Memory of just this size, so that the sanitizer knows where it ends on the way there, too. */
      if (size > 0) answer(&pair, noise, size);
    }
    struct exchange_failure failure =
        run(&pair, request, length, dumps ? EXCHANGE_DUMPS : EXCHANGE_BATCH, 1, &replies);
    EXPECT(failure.error == 0 || failure.error == ETIMEDOUT);
    settled += failure.error == 0;
    /* Whole messages of ours; at the most the end is not. */
    for (size_t at = 0; at < replies.length;) {
      struct nlmsghdr header;
      if (replies.length - at < sizeof(header)) break;
      memcpy(&header, replies.bytes + at, sizeof(header));
      if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > replies.length - at) {
        malformed++;
        break;
      }
      EXPECT(header.nlmsg_pid == PORT && header.nlmsg_seq >= 1 && header.nlmsg_seq <= 2);
      at += NLMSG_ALIGN(header.nlmsg_len);
    }
    forget(&replies);
    /* The next round starts from an empty queue. */
    while (recv(pair.socket.fd, noise, sizeof(noise), MSG_DONTWAIT) > 0) {
    }
    pair.socket.stale = false;

    /* And as a request: it says yes only to a row of whole messages. */
    size_t size = make_noise(noise, sizeof(noise));
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    memcpy(exact, noise, size);
    if (is_request(exact, size)) EXPECT(size >= NLMSG_HDRLEN);
    free(exact);
  }
  EXPECT(settled > rounds / 100 && malformed > rounds / 1000);
  close_pair(&pair);
}

/* ---- The kernel ---- */

static void agrees_with_the_kernel(void) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  socklen_t size = sizeof(kernel);
  struct pair pair = {.socket = {.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), .cancel_fd = -1}};
  EXPECT(pair.socket.fd >= 0 && connect(pair.socket.fd, (struct sockaddr *)&kernel, sizeof(kernel)) == 0);
  EXPECT(getsockname(pair.socket.fd, (struct sockaddr *)&kernel, &size) == 0);
  pair.socket.port_id = kernel.nl_pid;
  pair.kernel = -1;

  uint8_t *request = malloc(1 << 16);
  size_t length = 0;
  for (uint32_t sequence = 1; sequence <= 20; sequence++) length += put_request(request + length, NLM_F_DUMP, sequence);
  struct replies replies;
  EXPECT(run(&pair, request, length, EXCHANGE_DUMPS, -5000 * millisecond, &replies).error == 0);
  EXPECT(replies.length > 20 * 20 && !replies.lost);
  forget(&replies);

  /* A full receive buffer: told, and over with the next exchange. */
  int least = 1;
  setsockopt(pair.socket.fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
  length = 0;
  for (uint32_t sequence = 1; sequence <= 500; sequence++) length += put_request(request + length, NLM_F_ACK, sequence);
  EXPECT(run(&pair, request, length, EXCHANGE_BATCH, -5000 * millisecond, &replies).error == 0);
  EXPECT(replies.lost && pair.socket.stale);
  forget(&replies);
  length = put_request(request, NLM_F_ACK, 600);
  EXPECT(run(&pair, request, length, EXCHANGE_BATCH, -5000 * millisecond, &replies).error == 0);
  EXPECT(!replies.lost && replies.length >= 36);
  forget(&replies);
  free(request);
  close(pair.socket.fd);
}

int main(int count, char **arguments) {
  long rounds = count > 1 ? atol(arguments[1]) : 100000;
  memory = malloc(ROOM);
  is_fresh = rounds < 10000;
  keeps_what_answers();
  grows_and_refuses();
  waits_through_signals();
  is_cancelled();
  survives_noise(rounds);
  agrees_with_the_kernel();
  free(memory);
  printf("%ld rounds of noise survived\n", rounds);
  return 0;
}
