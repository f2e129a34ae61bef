/*
 * To be preloaded: setsockopt refuses the netlink option REFUSE_OPTION with REFUSE_ERRNO, as another kernel might.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
  if (level == SOL_NETLINK && option == atoi(getenv("REFUSE_OPTION"))) {
    errno = atoi(getenv("REFUSE_ERRNO"));
    return -1;
  }
  return (int)syscall(SYS_setsockopt, fd, level, option, value, size);
}
