/*
 * The floor that NetlinkSocket.exchangeSync is measured against: send(2) and recv(2) of one small request, repeated.
 * Prints the nanoseconds of one round, the best of 20 runs. `exchange_floor [error|getlink] [rounds]`
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int count, char **arguments) {
  int fails = count < 2 || strcmp(arguments[1], "error") == 0;
  int rounds = count > 2 ? atoi(arguments[2]) : 20000;
  struct {
    struct nlmsghdr header;
    struct ifinfomsg body;
  } request = {
      .header = {.nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 1},
      /* No interface has this number, so the answer is ENODEV; 1 is lo. */
      .body = {.ifi_index = fails ? 0x7ffffffe : 1},
  };
  static char reply[65536];
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  const int on = 1;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) != 0) return 1;
  setsockopt(fd, 270, NETLINK_EXT_ACK, &on, sizeof(on));
  setsockopt(fd, 270, NETLINK_CAP_ACK, &on, sizeof(on));
  double best = 1e18;
  for (int run = 0; run < 20; run++) {
    double start = now();
    for (int round = 0; round < rounds; round++) {
      if (send(fd, &request, sizeof(request), 0) < 0 || recv(fd, reply, sizeof(reply), MSG_DONTWAIT) < 16) return 1;
    }
    double each = (now() - start) / rounds;
    if (each < best) best = each;
  }
  printf("%.0f\n", best);
  return 0;
}
