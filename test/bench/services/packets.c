/*
 * What a packet needs from a client to a server and back, with nothing else in it: both are sockets of this one process,
 * in two network namespaces. Within send() the kernel takes the packet all the way to the other socket, so nobody is
 * woken and nobody waits.
 *
 *   packets CLIENT SERVER ADDRESS PORT SERVER_PORT EACH
 *
 * CLIENT and SERVER are files that stand for namespaces; the client asks ADDRESS and PORT, the server listens at
 * SERVER_PORT. For each number N on standard input: N flows one after the other, each with a first packet and EACH more;
 * what each took there and back, in nanoseconds. It fails if a packet does not come to the server, or its answer to the client.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
  fprintf(stderr, "packets: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int udp_socket(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  struct timeval most = {.tv_sec = 2};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  return fd;
}

static void enter(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) die(path);
  close(fd);
}

static int64_t there_and_back(int client, int server, uint64_t number) {
  uint64_t got = 0;
  struct sockaddr_in from;
  socklen_t length = sizeof from;
  int64_t start = now();
  if (send(client, &number, sizeof number, 0) < 0) die("send");
  if (recvfrom(server, &got, sizeof got, 0, (struct sockaddr *)&from, &length) < 0) die("the server got nothing");
  if (got != number) die("the server got another packet");
  if (sendto(server, &got, sizeof got, 0, (struct sockaddr *)&from, length) < 0) die("sendto");
  if (recv(client, &got, sizeof got, 0) < 0) die("the client got no answer");
  int64_t took = now() - start;
  if (got != number) die("the client got another answer");
  return took;
}

static void print(const char *name, const int64_t *values, long count) {
  printf("\"%s\":[", name);
  for (long index = 0; index < count; index++) printf("%s%lld", index == 0 ? "" : ",", (long long)values[index]);
  printf("]");
}

int main(int count, char **words) {
  if (count != 7) {
    fprintf(stderr, "usage: packets CLIENT SERVER ADDRESS PORT SERVER_PORT EACH\n");
    return 2;
  }
  enter(words[2]);
  int server = udp_socket();
  struct sockaddr_in listening = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[5]))};
  if (bind(server, (struct sockaddr *)&listening, sizeof listening) < 0) die("bind");
  enter(words[1]);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[4]))};
  if (inet_pton(AF_INET, words[3], &to.sin_addr) != 1) die(words[3]);
  long each = atol(words[6]);
  uint64_t number = 0;
  for (long flows; scanf("%ld", &flows) == 1;) {
    int64_t *first = malloc((size_t)flows * sizeof *first);
    int64_t *later = malloc((size_t)(flows * each) * sizeof *later);
    for (long flow = 0; flow < flows; flow++) {
      int client = udp_socket();
      if (connect(client, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
      first[flow] = there_and_back(client, server, number++);
      for (long index = 0; index < each; index++) {
        later[flow * each + index] = there_and_back(client, server, number++);
      }
      close(client);
    }
    printf("{");
    print("first", first, flows);
    printf(",");
    print("later", later, flows * each);
    puts("}");
    fflush(stdout);
    free(first);
    free(later);
  }
  return 0;
}
