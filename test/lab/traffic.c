/*
 * TCP servers that say their name, and new connections to them at a steady rate: what JavaScript is too slow for under
 * emulation.
 *
 *   traffic serve NAME PORT            prints "ready"; writes NAME to whoever connects, and again for whatever it reads
 *   traffic load ADDRESS PORT RATE     until standard input ends; a line for each connection:
 *                                      "NAME STARTED" (milliseconds of the wall clock) or "! REASON"
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 64, GIVE_UP_MS = 10000 };

static int64_t wall_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int fail(const char *what) {
  fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
  return 1;
}

static int serve(const char *name, int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(listener, (struct sockaddr *)&place, sizeof(place)) < 0 || listen(listener, 1024) < 0) return fail("listen");
  int events = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(events, EPOLL_CTL_ADD, listener, &wanted);
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event ready[64];
    int count = epoll_wait(events, ready, 64, -1);
    for (int index = 0; index < count; index++) {
      int fd = ready[index].data.fd;
      if (fd == listener) {
        int accepted;
        while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
          wanted.data.fd = accepted;
          epoll_ctl(events, EPOLL_CTL_ADD, accepted, &wanted);
          (void)!write(accepted, name, strlen(name));
        }
        continue;
      }
      char asked[256];
      if (read(fd, asked, sizeof(asked)) <= 0) close(fd);
      else (void)!write(fd, name, strlen(name));
    }
  }
}

struct lane {
  int fd;
  int64_t started;
};

static void finish(struct lane *lane, const char *reason) {
  /* A reset: neither side keeps the connection in TIME_WAIT. */
  struct linger reset = {1, 0};
  if (reason != NULL) printf("! %s\n", reason);
  setsockopt(lane->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  close(lane->fd);
  lane->fd = -1;
}

static void start(struct lane *lane, const struct sockaddr_in *place) {
  lane->started = wall_ms();
  lane->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connect(lane->fd, (const struct sockaddr *)place, sizeof(*place)) < 0 && errno != EINPROGRESS) {
    finish(lane, strerror(errno));
  }
}

static void receive(struct lane *lane) {
  char name[64];
  ssize_t length = read(lane->fd, name, sizeof(name) - 1);
  if (length > 0) {
    name[length] = 0;
    printf("%s %lld\n", name, (long long)lane->started);
    finish(lane, NULL);
  } else if (length == 0) finish(lane, "closed without an answer");
  else if (errno != EAGAIN) finish(lane, strerror(errno));
}

static int load(const char *address, int port, int rate) {
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, address, &place.sin_addr) != 1 || rate < 1) return fail("address and rate");
  struct lane lanes[MOST_AT_ONCE];
  struct pollfd ready[MOST_AT_ONCE + 1] = {{.fd = 0, .events = POLLIN}};
  for (int index = 0; index < MOST_AT_ONCE; index++) lanes[index].fd = -1;
  int64_t begin = wall_ms();
  int64_t started = 0;
  for (int stopping = 0, busy = 1; !stopping || busy > 0;) {
    busy = 0;
    int64_t now = wall_ms();
    int64_t due = (now - begin) * rate / 1000 - started;
    /* What could not be started in time is not made up for: the rate is a bound, too. */
    if (due > MOST_AT_ONCE) started += due - MOST_AT_ONCE, due = MOST_AT_ONCE;
    for (int index = 0; index < MOST_AT_ONCE; index++) {
      struct lane *lane = &lanes[index];
      if (lane->fd < 0 && due > 0 && !stopping) start(lane, &place), started++, due--;
      if (lane->fd >= 0 && now - lane->started > GIVE_UP_MS) finish(lane, "no answer");
      ready[index + 1] = (struct pollfd){.fd = lane->fd, .events = POLLIN};
      busy += lane->fd >= 0;
    }
    fflush(stdout);
    if (stopping && busy == 0) break;
    poll(ready, MOST_AT_ONCE + 1, 1000 / rate + 1);
    for (int index = 0; index < MOST_AT_ONCE; index++) {
      if (lanes[index].fd >= 0 && ready[index + 1].revents != 0) receive(&lanes[index]);
    }
    char end;
    if (!stopping && ready[0].revents != 0 && read(0, &end, 1) <= 0) stopping = 1, ready[0].fd = -1;
  }
  return 0;
}

int main(int count, char **words) {
  signal(SIGPIPE, SIG_IGN);
  if (count == 4 && strcmp(words[1], "serve") == 0) return serve(words[2], atoi(words[3]));
  if (count == 5 && strcmp(words[1], "load") == 0) return load(words[2], atoi(words[3]), atoi(words[4]));
  fprintf(stderr, "usage: traffic serve NAME PORT | traffic load ADDRESS PORT RATE\n");
  return 2;
}
