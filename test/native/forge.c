/*
 * Sends a message that looks like the kernel's to a port and to a group of NETLINK_ROUTE, as another privileged process
 * could: `forge NAMESPACE PORT GROUPS`. Prints what became of each.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void send_to(int fd, unsigned port, unsigned groups) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg body;
  } message = {.header = {.nlmsg_len = sizeof(message), .nlmsg_type = RTM_NEWLINK}};
  struct sockaddr_nl target = {.nl_family = AF_NETLINK, .nl_pid = port, .nl_groups = groups};
  if (sendto(fd, &message, sizeof(message), 0, (struct sockaddr *)&target, sizeof(target)) >= 0) printf("sent\n");
  else printf("%s\n", strerror(errno));
}

int main(int count, char **arguments) {
  if (count != 4) return 2;
  int namespace = open(arguments[1], O_RDONLY | O_CLOEXEC);
  if (namespace < 0 || setns(namespace, CLONE_NEWNET) != 0) return 1;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return 1;
  send_to(fd, (unsigned)strtoul(arguments[2], NULL, 10), 0);
  send_to(fd, 0, (unsigned)strtoul(arguments[3], NULL, 10));
  return 0;
}
