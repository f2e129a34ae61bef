/* What the C programs of the benchmarks have in common: nothing stands between them and the kernel. */
#include <errno.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { receive_bytes = 1 << 18 };

static char reply[receive_bytes];

static void die(const char *what) {
  fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int open_socket(int protocol, int send_buffer, int receive_buffer) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) die("socket");
  int on = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof send_buffer);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
  return fd;
}

static void send_all(int fd, const void *bytes, size_t length) {
  if (send(fd, bytes, length, 0) != (ssize_t)length) die("send");
}

static size_t receive(int fd) {
  ssize_t length = recv(fd, reply, sizeof reply, 0);
  if (length < 0) die("recv");
  return (size_t)length;
}

static struct nlattr *attribute(void *start, int length, int type) {
  for (struct nlattr *at = start; length >= (int)sizeof *at && at->nla_len >= sizeof *at && at->nla_len <= length;) {
    if ((at->nla_type & NLA_TYPE_MASK) == type) return at;
    int step = NLA_ALIGN(at->nla_len);
    length -= step;
    at = (struct nlattr *)((char *)at + step);
  }
  return NULL;
}
