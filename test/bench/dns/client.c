/*
 * Asks a name server at the loopback: `client PORT COUNT WINDOW NAMES PREFIX`, the names being s0 to sN below
 * default.svc.cluster.local, or x0 to xN, which are not there. So many questions are under way at any time; what is not
 * answered within a second is lost. Prints one line: answers, wrong ones, lost ones, seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, BYTES = 512, IDS = 65536 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static size_t question(uint8_t *at, uint16_t id, char prefix, unsigned name) {
  static const uint8_t header[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  static const uint8_t rest[] = "\7default\3svc\7cluster\5local\0\0\1\0\1";
  memcpy(at, header, sizeof(header));
  at[0] = (uint8_t)(id >> 8);
  at[1] = (uint8_t)id;
  size_t length = (size_t)sprintf((char *)at + 13, "%c%u", prefix, name);
  at[12] = (uint8_t)length;
  memcpy(at + 13 + length, rest, sizeof(rest) - 1);
  return 13 + length + sizeof(rest) - 1;
}

/* One address, and the one that the name has; or that there is no such name. */
static bool is_right(const uint8_t *answer, size_t length, char prefix, unsigned name) {
  if (prefix == 'x') return length > 28 && (answer[2] & 0x80) != 0 && (answer[3] & 15) == 3 && answer[7] == 0;
  return length > 28 && (answer[2] & 0x80) != 0 && (answer[3] & 15) == 0 && answer[6] == 0 && answer[7] == 1 &&
         answer[length - 4] == 10 && answer[length - 3] == 96 + (name >> 16) &&
         answer[length - 2] == ((name >> 8) & 255) && answer[length - 1] == (name & 255);
}

int main(int count_of_arguments, char **arguments) {
  if (count_of_arguments != 6) return 2;
  unsigned port = (unsigned)atoi(arguments[1]), window = (unsigned)atoi(arguments[3]);
  unsigned long total = strtoul(arguments[2], NULL, 10), names = strtoul(arguments[4], NULL, 10);
  char prefix = arguments[5][0];
  static uint8_t out[BATCH][BYTES], in[BATCH][BYTES];
  static unsigned asked[IDS];
  static bool pending[IDS];
  struct mmsghdr sending[BATCH], receiving[BATCH];
  struct iovec outgoing[BATCH], incoming[BATCH];
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int size = 8 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
  if (connect(fd, (struct sockaddr *)&server, sizeof(server)) != 0) return 1;
  unsigned long sent = 0, answered = 0, wrong = 0, lost = 0;
  unsigned open = 0;
  double begun = now();
  while (answered + lost < total) {
    while (open < window && sent < total) {
      unsigned count = 0;
      while (count < BATCH && open < window && sent < total) {
        uint16_t id = (uint16_t)sent;
        if (pending[id]) break;
        unsigned name = (unsigned)((sent * 7919) % names);
        asked[id] = name;
        pending[id] = true;
        outgoing[count] = (struct iovec){.iov_base = out[count], .iov_len = question(out[count], id, prefix, name)};
        sending[count] = (struct mmsghdr){.msg_hdr = {.msg_iov = &outgoing[count], .msg_iovlen = 1}};
        count++;
        sent++;
        open++;
      }
      if (count == 0) break;
      for (unsigned done = 0; done < count;) {
        int now_sent = sendmmsg(fd, sending + done, count - done, 0);
        if (now_sent < 0) return 1;
        done += (unsigned)now_sent;
      }
    }
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    if (poll(&waiting, 1, 1000) == 0) {
      lost += open;
      open = 0;
      memset(pending, 0, sizeof(pending));
      continue;
    }
    for (unsigned i = 0; i < BATCH; i++) {
      incoming[i] = (struct iovec){.iov_base = in[i], .iov_len = BYTES};
      receiving[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &incoming[i], .msg_iovlen = 1}};
    }
    int received = recvmmsg(fd, receiving, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < received; i++) {
      uint16_t id = (uint16_t)(in[i][0] << 8 | in[i][1]);
      if (!pending[id]) continue;
      pending[id] = false;
      open--;
      answered++;
      if (!is_right(in[i], receiving[i].msg_len, prefix, asked[id])) wrong++;
    }
  }
  printf("{\"answered\":%lu,\"wrong\":%lu,\"lost\":%lu,\"seconds\":%.6f}\n", answered, wrong, lost, now() - begun);
  return 0;
}
