/*
 * What the benchmark measures against: the same netlink work in C, with nothing between the program and the kernel.
 *
 *   peer replay FILE          sends what stands in FILE as it was sent by the library, and receives as it does.
 *   peer exchange FILE        for each number N on standard input: sends N parts of FILE, round and round, one after the
 *                             other, and tells what each took.
 *   peer delete FILE PER_SEND sends the request of FILE for a list of flows, then deletes what it was answered, PER_SEND
 *                             flows in each sendmsg.
 *   peer run OUTPUT COMMAND … runs a command with its standard output in a file: how long it took, and its peak memory.
 *
 * FILE holds parts: how it was sent (u32, enum kind), how many bytes follow (u32), netlink messages. Times go to standard
 * output in nanoseconds.
 */
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "../peer.h"

/* As the library's RequestKind. */
enum kind { BATCH, DUMPS, ATOMIC };

struct part {
  uint32_t kind;
  uint32_t length;
  char *bytes;
};

struct file {
  struct part *parts;
  size_t count;
};

struct outcome {
  size_t errors, messages, bytes;
};

static struct file read_file(const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) die(path);
  struct file found = {NULL, 0};
  for (uint32_t head[2]; fread(head, sizeof head, 1, file) == 1;) {
    struct part part = {head[0], head[1], malloc(head[1])};
    if (fread(part.bytes, 1, part.length, file) != part.length) die(path);
    found.parts = realloc(found.parts, (found.count + 1) * sizeof part);
    found.parts[found.count++] = part;
  }
  fclose(file);
  return found;
}

/* As much as the library's sockets have (nftables/client.ts); strict checking as there. */
static int open_netfilter(void) {
  int fd = open_socket(NETLINK_NETFILTER, 64 << 20, 16 << 20);
  int on = 1;
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  return fd;
}

/* Counts what came; returns whether that was the answer to `awaited`. */
static int look(size_t length, uint32_t awaited, struct outcome *outcome) {
  int settled = 0;
  outcome->bytes += length;
  for (struct nlmsghdr *at = (struct nlmsghdr *)reply; NLMSG_OK(at, length); at = NLMSG_NEXT(at, length)) {
    outcome->messages++;
    if (at->nlmsg_type == NLMSG_ERROR && ((struct nlmsgerr *)NLMSG_DATA(at))->error != 0) outcome->errors++;
    if (at->nlmsg_seq == awaited && (at->nlmsg_type == NLMSG_ERROR || at->nlmsg_type == NLMSG_DONE)) settled = 1;
  }
  return settled;
}

static void settle(int fd, uint32_t awaited, struct outcome *outcome) {
  while (!look(receive(fd), awaited, outcome)) continue;
}

static void send_part(int fd, const struct part *part, struct outcome *outcome) {
  if (part->kind == ATOMIC) {
    /* All that is said of it is said inside sendmsg. */
    send_all(fd, part->bytes, part->length);
    for (ssize_t length; (length = recv(fd, reply, sizeof reply, MSG_DONTWAIT)) >= 0;) look((size_t)length, 0, outcome);
    if (errno != EAGAIN) die("recv");
    return;
  }
  uint32_t awaited = 0;
  size_t left = part->length;
  if (part->kind == BATCH) send_all(fd, part->bytes, part->length);
  for (struct nlmsghdr *at = (struct nlmsghdr *)part->bytes; NLMSG_OK(at, left); at = NLMSG_NEXT(at, left)) {
    if (part->kind == DUMPS) {
      send_all(fd, at, at->nlmsg_len);
      settle(fd, at->nlmsg_seq, outcome);
    } else if (at->nlmsg_flags & NLM_F_ACK) {
      awaited = at->nlmsg_seq;
    }
  }
  if (awaited != 0) settle(fd, awaited, outcome);
}

static int replay(const char *path) {
  int fd = open_netfilter();
  struct file file = read_file(path);
  struct outcome outcome = {0};
  int64_t start = now();
  for (size_t index = 0; index < file.count; index++) send_part(fd, &file.parts[index], &outcome);
  printf("{\"nanoseconds\":%lld,\"errors\":%zu,\"messages\":%zu,\"bytes\":%zu}\n", (long long)(now() - start),
         outcome.errors, outcome.messages, outcome.bytes);
  return 0;
}

static int exchange(const char *path) {
  int fd = open_netfilter();
  struct file file = read_file(path);
  size_t next = 0;
  for (long count; scanf("%ld", &count) == 1;) {
    struct outcome outcome = {0};
    int64_t *took = malloc((size_t)count * sizeof *took);
    for (long done = 0; done < count; done++) {
      int64_t start = now();
      send_part(fd, &file.parts[next], &outcome);
      took[done] = now() - start;
      next = (next + 1) % file.count;
    }
    printf("{\"errors\":%zu,\"nanoseconds\":[", outcome.errors);
    for (long done = 0; done < count; done++) printf("%s%lld", done == 0 ? "" : ",", (long long)took[done]);
    puts("]}");
    fflush(stdout);
    free(took);
  }
  return 0;
}

/* Requests to delete what a list was answered. */
struct requests {
  char *bytes;
  size_t length, room, count;
};

static void append(struct requests *requests, const void *bytes, size_t length) {
  size_t space = NLMSG_ALIGN(length);
  if (requests->length + space > requests->room) {
    requests->room = requests->room * 2 + space;
    requests->bytes = realloc(requests->bytes, requests->room);
  }
  memcpy(requests->bytes + requests->length, bytes, length);
  memset(requests->bytes + requests->length + length, 0, space - length);
  requests->length += space;
}

/* By the original tuple and the id, as they came. */
static void request_deletion(struct requests *requests, struct nlmsghdr *flow) {
  struct nfgenmsg *header = NLMSG_DATA(flow);
  char *attributes = (char *)header + NLMSG_ALIGN(sizeof *header);
  int length = (int)((char *)flow + flow->nlmsg_len - attributes);
  size_t start = requests->length;
  struct nlmsghdr message = {
      .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
      .nlmsg_flags = NLM_F_REQUEST,
      .nlmsg_seq = (uint32_t)++requests->count,
  };
  append(requests, &message, sizeof message);
  append(requests, header, sizeof *header);
  const int wanted[] = {CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE};
  for (size_t index = 0; index < sizeof wanted / sizeof *wanted; index++) {
    struct nlattr *found = attribute(attributes, length, wanted[index]);
    if (found != NULL) append(requests, found, found->nla_len);
  }
  ((struct nlmsghdr *)(requests->bytes + start))->nlmsg_len = (uint32_t)(requests->length - start);
}

static int delete_flows(const char *path, size_t per_send) {
  int fd = open_netfilter();
  struct file file = read_file(path);
  struct requests requests = {NULL, 0, 0, 0};
  struct outcome outcome = {0};
  int64_t start = now();
  send_all(fd, file.parts[0].bytes, file.parts[0].length);
  for (int done = 0; !done;) {
    size_t length = receive(fd);
    for (struct nlmsghdr *at = (struct nlmsghdr *)reply; NLMSG_OK(at, length); at = NLMSG_NEXT(at, length)) {
      if (at->nlmsg_type == NLMSG_DONE || at->nlmsg_type == NLMSG_ERROR) done = 1;
      else request_deletion(&requests, at);
    }
  }
  size_t left = requests.length;
  struct nlmsghdr *from = (struct nlmsghdr *)requests.bytes;
  for (struct nlmsghdr *at = from; NLMSG_OK(at, left);) {
    struct nlmsghdr *next = NLMSG_NEXT(at, left);
    if (at->nlmsg_seq % per_send == 0 || at->nlmsg_seq == requests.count) {
      at->nlmsg_flags |= NLM_F_ACK;
      send_all(fd, from, (size_t)((char *)next - (char *)from));
      settle(fd, at->nlmsg_seq, &outcome);
      from = next;
    }
    at = next;
  }
  printf("{\"nanoseconds\":%lld,\"errors\":%zu,\"flows\":%zu}\n", (long long)(now() - start), outcome.errors,
         requests.count);
  return 0;
}

static int run(const char *output, char **command) {
  int64_t start = now();
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0) die(output);
    execvp(command[0], command);
    die(command[0]);
  }
  int status;
  struct rusage usage;
  if (wait4(child, &status, 0, &usage) < 0) die("wait4");
  printf("{\"nanoseconds\":%lld,\"kilobytes\":%ld,\"errors\":%d}\n", (long long)(now() - start), usage.ru_maxrss, status);
  return 0;
}

int main(int count, char **words) {
  if (count == 3 && strcmp(words[1], "replay") == 0) return replay(words[2]);
  if (count == 3 && strcmp(words[1], "exchange") == 0) return exchange(words[2]);
  if (count == 4 && strcmp(words[1], "delete") == 0) return delete_flows(words[2], strtoul(words[3], NULL, 10));
  if (count >= 4 && strcmp(words[1], "run") == 0) return run(words[2], words + 3);
  fprintf(stderr, "usage: peer replay FILE | exchange FILE | delete FILE PER_SEND | run OUTPUT COMMAND …\n");
  return 2;
}
