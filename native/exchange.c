#include "exchange.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"

/* The messages of a request that are sent together, and what is awaited for them. */
struct part {
  uint32_t first_sequence;
  uint32_t last_sequence;
  /* The exchange ends with the answer to this one, if anything is awaited. */
  uint32_t awaited_sequence;
  bool awaits;
  /* A dump: also NLMSG_DONE ends it, and a reply that stands alone. */
  bool is_dump;
  bool acknowledged;
};

enum { DUMPS_BETWEEN_LOOKS = 8 };

static const struct exchange_failure success = {0, NULL};

static struct exchange_failure send_and_settle(struct exchange_socket *socket, const uint8_t *request, size_t length,
                                               const struct part *part, int64_t *deadline, struct replies *replies);
static struct exchange_failure drain(struct exchange_socket *socket, int64_t *deadline, struct replies *replies);
static bool is_past(int64_t *deadline);

/* Headers are copied out: neither a request nor a reply need stand aligned. */
static struct nlmsghdr header_at(const uint8_t *bytes) {
  struct nlmsghdr header;
  memcpy(&header, bytes, sizeof(header));
  return header;
}

/* Where the next message starts; the last one need not be padded. */
static size_t step(uint32_t message_length, size_t left) {
  size_t aligned = NLMSG_ALIGN((size_t)message_length);
  return aligned < left ? aligned : left;
}

bool is_request(const uint8_t *request, size_t length) {
  if (length < NLMSG_HDRLEN) return false;
  while (length > 0) {
    if (length < NLMSG_HDRLEN) return false;
    uint32_t message_length = header_at(request).nlmsg_len;
    if (message_length < NLMSG_HDRLEN || message_length > length) return false;
    size_t size = step(message_length, length);
    request += size;
    length -= size;
  }
  return true;
}

static struct part whole_batch(const uint8_t *request, size_t length) {
  struct part part = {.first_sequence = header_at(request).nlmsg_seq};
  for (size_t at = 0; at < length;) {
    struct nlmsghdr header = header_at(request + at);
    part.last_sequence = header.nlmsg_seq;
    if (header.nlmsg_flags & NLM_F_ACK) {
      part.awaits = true;
      part.awaited_sequence = header.nlmsg_seq;
    }
    at += step(header.nlmsg_len, length - at);
  }
  return part;
}

static struct part one_dump(struct nlmsghdr header) {
  return (struct part){
      .first_sequence = header.nlmsg_seq,
      .last_sequence = header.nlmsg_seq,
      .awaited_sequence = header.nlmsg_seq,
      .awaits = true,
      .is_dump = true,
      .acknowledged = (header.nlmsg_flags & NLM_F_ACK) != 0,
  };
}

struct exchange_failure exchange(struct exchange_socket *socket, const uint8_t *request, size_t length,
                                 enum exchange_kind kind, int64_t deadline, struct replies *replies) {
  struct exchange_failure failure = success;
  if (!is_request(request, length)) return (struct exchange_failure){EINVAL, "sendmsg"};
  if (kind != EXCHANGE_DUMPS) {
    struct part part = whole_batch(request, length);
    /*
     * Messages that are applied together may be answered by the first of them alone, or by none, so there is none that
     * could be waited for: everything that is said of them is said inside sendmsg (nfnetlink_rcv_batch).
     */
    if (kind == EXCHANGE_ATOMIC) part.awaits = false;
    return send_and_settle(socket, request, length, &part, &deadline, replies);
  }
  /* A socket runs one dump at a time (EBUSY), so each is sent when the one before is through. */
  unsigned count = 0;
  for (size_t at = 0; at < length && failure.error == 0 && !replies->malformed;) {
    /* Dumps that are all answered at once never wait. Where there is no vDSO each look is a system call. */
    if (++count % DUMPS_BETWEEN_LOOKS == 0 && is_past(&deadline)) {
      return (struct exchange_failure){ETIMEDOUT, "sendmsg"};
    }
    struct nlmsghdr header = header_at(request + at);
    struct part part = one_dump(header);
    failure = send_and_settle(socket, request + at, header.nlmsg_len, &part, &deadline, replies);
    at += step(header.nlmsg_len, length - at);
  }
  return failure;
}

/* Grows `replies` until a datagram fits behind what is there. */
static bool make_room(struct replies *replies) {
  if (replies->capacity - replies->length >= DATAGRAM_ROOM) return true;
  size_t capacity = replies->capacity * 2 + DATAGRAM_ROOM;
  uint8_t *bytes = replies->borrowed ? malloc(capacity) : realloc(replies->bytes, capacity);
  if (bytes == NULL) return false;
  if (replies->borrowed) memcpy(bytes, replies->bytes, replies->length);
  replies->bytes = bytes;
  replies->capacity = capacity;
  replies->borrowed = false;
  return true;
}

static struct exchange_failure fail(struct exchange_socket *socket, int error, const char *syscall) {
  socket->stale = true;
  return (struct exchange_failure){error, syscall};
}

static bool is_past(int64_t *deadline) {
  int64_t now = now_nanoseconds();
  if (*deadline < 0) *deadline = now - *deadline;
  return now >= *deadline;
}

/* Waits until there is something to receive. */
static struct exchange_failure wait_readable(struct exchange_socket *socket, int64_t *deadline) {
  if (is_past(deadline)) return fail(socket, ETIMEDOUT, "recv");
  for (;;) {
    int64_t left = *deadline - now_nanoseconds();
    if (left <= 0) return fail(socket, ETIMEDOUT, "recv");
    struct pollfd wait[2] = {{.fd = socket->fd, .events = POLLIN}, {.fd = socket->cancel_fd, .events = POLLIN}};
    /* ppoll takes nanoseconds; a poll of 0 ms at the end of a deadline would spin. */
    struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    int ready = ppoll(wait, 2, &timeout, NULL);
    if (ready < 0 && errno != EINTR) return fail(socket, errno, "poll");
    if (ready <= 0) continue;
    /* What has come is worth more than the wish to stop. */
    if (wait[0].revents != 0) return success;
    return fail(socket, ECANCELED, "recv");
  }
}

/*
 * Looks through one datagram, drops messages that answer nothing of this part (late replies of an exchange that was
 * given up), and returns how many bytes stay. Lengths that cannot be end the exchange; whoever decodes them says why.
 */
static size_t sift(const struct exchange_socket *socket, uint8_t *bytes, size_t length, const struct part *part,
                   bool *settled, bool *malformed) {
  size_t kept = 0;
  uint32_t span = part->last_sequence - part->first_sequence;
  for (size_t at = 0; at < length;) {
    size_t left = length - at;
    if (left < NLMSG_HDRLEN) break;
    struct nlmsghdr header = header_at(bytes + at);
    if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > left) {
      memmove(bytes + kept, bytes + at, left);
      *settled = true;
      *malformed = true;
      return kept + left;
    }
    size_t size = step(header.nlmsg_len, left);
    if (header.nlmsg_seq - part->first_sequence <= span && header.nlmsg_pid == socket->port_id) {
      if (kept != at) memmove(bytes + kept, bytes + at, size);
      kept += size;
      if (part->awaits && header.nlmsg_seq == part->awaited_sequence) {
        if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
          *settled = true;
        } else if (part->is_dump && !part->acknowledged && !(header.nlmsg_flags & NLM_F_MULTI)) {
          *settled = true;
        }
      }
    }
    at += size;
  }
  return kept;
}

static struct exchange_failure send_and_settle(struct exchange_socket *socket, const uint8_t *request, size_t length,
                                               const struct part *part, int64_t *deadline, struct replies *replies) {
  if (socket->stale) {
    struct exchange_failure failure = drain(socket, deadline, replies);
    if (failure.error != 0) return failure;
  }
  /* The last moment at which nothing has been done. */
  if (atomic_load(&socket->cancelled)) return (struct exchange_failure){ECANCELED, "sendmsg"};
  while (send(socket->fd, request, length, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return (struct exchange_failure){errno, "sendmsg"};
  }
  bool settled = false;
  for (unsigned round = 1; !settled; round++) {
    /* Also a queue that never runs dry comes to an end. */
    if (round % 16 == 0 && is_past(deadline)) return fail(socket, ETIMEDOUT, "recv");
    if (!make_room(replies)) return fail(socket, ENOMEM, "recv");
    size_t room = replies->capacity - replies->length;
    uint8_t *end = replies->bytes + replies->length;
    ssize_t received = recv(socket->fd, end, room, MSG_DONTWAIT | MSG_TRUNC);
    if (received < 0) {
      if (errno == EINTR) continue;
      if (errno == ENOBUFS) {
        /* Said once; what did fit the buffer is still to be read. */
        replies->lost = true;
        continue;
      }
      if (errno != EAGAIN) return fail(socket, errno, "recv");
      if (!part->awaits) return success;
      if (replies->lost) {
        /* The queue is empty and what is awaited may be what was dropped. */
        socket->stale = true;
        return success;
      }
      struct exchange_failure failure = wait_readable(socket, deadline);
      if (failure.error != 0) return failure;
      continue;
    }
    if ((size_t)received > room) return fail(socket, EMSGSIZE, "recv");
    size_t kept = sift(socket, end, (size_t)received, part, &settled, &replies->malformed);
    if (replies->malformed) socket->stale = true;
    /* The next datagram starts aligned, as a message behind another does. A length too long must not come to fit. */
    size_t padding = replies->malformed ? 0 : NLMSG_ALIGN(kept) - kept;
    if (kept + padding > room) padding = 0;
    memset(end + kept, 0, padding);
    replies->length += kept + padding;
    if (part->is_dump && !settled && atomic_load_explicit(&socket->cancelled, memory_order_relaxed)) {
      return fail(socket, ECANCELED, "recv");
    }
  }
  return success;
}

/* Reads and drops what an exchange that was given up left behind; a dump left unfinished is thereby read to its end. */
static struct exchange_failure drain(struct exchange_socket *socket, int64_t *deadline, struct replies *replies) {
  if (!make_room(replies)) return (struct exchange_failure){ENOMEM, "recv"};
  uint8_t *end = replies->bytes + replies->length;
  size_t room = replies->capacity - replies->length;
  while (recv(socket->fd, end, room, MSG_DONTWAIT) >= 0 || errno == ENOBUFS || errno == EINTR) {
    if (is_past(deadline)) return (struct exchange_failure){ETIMEDOUT, "recv"};
    if (atomic_load(&socket->cancelled)) return (struct exchange_failure){ECANCELED, "recv"};
  }
  socket->stale = false;
  return success;
}
