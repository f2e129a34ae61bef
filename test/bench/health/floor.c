/*
 * The least that a check can cost: `floor ADDRESS PORT COUNT` makes COUNT connections, forty at a time as a wake of the monitor
 * does, waits for them with epoll and resets them. Prints the processor's time for each, in microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AT_ONCE = 40 };

static double microseconds(struct timeval time) { return (double)time.tv_sec * 1e6 + (double)time.tv_usec; }

int main(int count, char **arguments) {
  if (count != 4) return 2;
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(arguments[2]))};
  if (inet_pton(AF_INET, arguments[1], &server.sin_addr) != 1) return 2;
  int total = atoi(arguments[3]);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  const int off = 0;
  for (int done = 0; done < total; done += AT_ONCE) {
    for (int i = 0; i < AT_ONCE; i++) {
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
      setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
      if (fd < 0 || (connect(fd, (struct sockaddr *)&server, sizeof(server)) != 0 && errno != EINPROGRESS) ||
          epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("connect");
        return 1;
      }
    }
    for (int left = AT_ONCE; left > 0;) {
      struct epoll_event events[AT_ONCE];
      int ready = epoll_wait(epoll, events, AT_ONCE, 1000);
      if (ready <= 0) return 1;
      for (int i = 0; i < ready; i++) {
        if ((events[i].events & EPOLLERR) != 0) return 1;
        close(events[i].data.fd);
      }
      left -= ready;
    }
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{\"userMicroseconds\": %.3f, \"systemMicroseconds\": %.3f}\n", microseconds(usage.ru_utime) / total,
         microseconds(usage.ru_stime) / total);
  return 0;
}
