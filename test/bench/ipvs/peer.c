/*
 * What the benchmark measures against: the same netlink work in C, with nothing between the program and the kernel.
 *
 *   peer load FILE PER_SEND   sends the messages of FILE, PER_SEND of them in each sendmsg, an acknowledgement asked of
 *                             the last of each; errors are counted. The floor: the bytes are made beforehand.
 *   peer dump                 lists all services, then the destinations of each, and reads every attribute.
 *   peer exchange FILE        for each number N on standard input: sends N messages of FILE, round and round, each with
 *                             an acknowledgement, one after the other.
 *
 * FILE holds netlink messages, one after the other; those of type 0 get the number of the family IPVS. Times
 * go to standard output in nanoseconds.
 */
#include <linux/genetlink.h>
#include <linux/ip_vs.h>

#include "../peer.h"

static int open_generic(void) { return open_socket(NETLINK_GENERIC, 8 << 20, 8 << 20); }

static uint16_t resolve_family(int fd) {
  struct {
    struct nlmsghdr header;
    struct genlmsghdr generic;
    struct nlattr name;
    char text[8];
  } request = {
      .header = {sizeof request, GENL_ID_CTRL, NLM_F_REQUEST, 1, 0},
      .generic = {CTRL_CMD_GETFAMILY, 1, 0},
      .name = {NLA_HDRLEN + sizeof IPVS_GENL_NAME, CTRL_ATTR_FAMILY_NAME},
      .text = IPVS_GENL_NAME,
  };
  send_all(fd, &request, sizeof request);
  size_t length = receive(fd);
  struct nlmsghdr *answer = (struct nlmsghdr *)reply;
  if (!NLMSG_OK(answer, length) || answer->nlmsg_type == NLMSG_ERROR) {
    errno = ENOENT;
    die("family IPVS");
  }
  char *attributes = (char *)answer + NLMSG_HDRLEN + GENL_HDRLEN;
  struct nlattr *id = attribute(attributes, (int)((char *)answer + answer->nlmsg_len - attributes), CTRL_ATTR_FAMILY_ID);
  return *(uint16_t *)((char *)id + NLA_HDRLEN);
}

struct messages {
  char *bytes;
  size_t count;
  size_t *at; /* count + 1 of them */
};

static struct messages read_messages(int fd, const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) die(path);
  fseek(file, 0, SEEK_END);
  size_t length = (size_t)ftell(file);
  rewind(file);
  struct messages found = {malloc(length), 0, NULL};
  if (fread(found.bytes, 1, length, file) != length) die(path);
  fclose(file);
  found.at = malloc((length / NLMSG_HDRLEN + 1) * sizeof *found.at);
  size_t at = 0;
  uint16_t family = 0;
  while (at < length) {
    struct nlmsghdr *message = (struct nlmsghdr *)(found.bytes + at);
    found.at[found.count++] = at;
    if (message->nlmsg_type == 0) {
      if (family == 0) family = resolve_family(fd);
      message->nlmsg_type = family;
    }
    message->nlmsg_seq = (uint32_t)found.count;
    message->nlmsg_flags = NLM_F_REQUEST;
    at += NLMSG_ALIGN(message->nlmsg_len);
  }
  found.at[found.count] = at;
  return found;
}

/* Receives until `sequence` is acknowledged; adds what failed. */
static void settle(int fd, uint32_t sequence, size_t *errors) {
  for (;;) {
    size_t length = receive(fd);
    for (struct nlmsghdr *at = (struct nlmsghdr *)reply; NLMSG_OK(at, length); at = NLMSG_NEXT(at, length)) {
      if (at->nlmsg_type != NLMSG_ERROR) continue;
      struct nlmsgerr *answer = NLMSG_DATA(at);
      if (answer->error != 0) (*errors)++;
      if (at->nlmsg_seq == sequence) return;
    }
  }
}

static int load(const char *path, size_t per_send) {
  int fd = open_generic();
  struct messages messages = read_messages(fd, path);
  for (size_t end = per_send; end - per_send < messages.count; end += per_send) {
    size_t last = (end < messages.count ? end : messages.count) - 1;
    ((struct nlmsghdr *)(messages.bytes + messages.at[last]))->nlmsg_flags |= NLM_F_ACK;
  }
  size_t errors = 0;
  int64_t start = now();
  for (size_t from = 0; from < messages.count; from += per_send) {
    size_t to = from + per_send < messages.count ? from + per_send : messages.count;
    send_all(fd, messages.bytes + messages.at[from], messages.at[to] - messages.at[from]);
    settle(fd, (uint32_t)to, &errors);
  }
  printf("{\"nanoseconds\":%lld,\"commands\":%zu,\"errors\":%zu}\n", (long long)(now() - start), messages.count, errors);
  return 0;
}

static int exchange(const char *path) {
  int fd = open_generic();
  struct messages messages = read_messages(fd, path);
  for (size_t index = 0; index < messages.count; index++)
    ((struct nlmsghdr *)(messages.bytes + messages.at[index]))->nlmsg_flags |= NLM_F_ACK;
  size_t next = 0;
  for (long count; scanf("%ld", &count) == 1;) {
    size_t errors = 0;
    int64_t start = now();
    for (long done = 0; done < count; done++) {
      send_all(fd, messages.bytes + messages.at[next], messages.at[next + 1] - messages.at[next]);
      settle(fd, (uint32_t)next + 1, &errors);
      next = next + 1 == messages.count ? 0 : next + 1;
    }
    printf("{\"nanoseconds\":%lld,\"errors\":%zu}\n", (long long)(now() - start), errors);
    fflush(stdout);
  }
  return 0;
}

/* What a full reading of a destination leaves behind, so that none of it can be left out. */
struct destination {
  uint8_t address[16];
  uint16_t port, family, tunnel_port, tunnel_flags;
  uint8_t tunnel_type;
  uint32_t method, weight, upper, lower, active, inactive, persistent;
  uint64_t statistics[16];
};

static void read_statistics(struct nlattr *nest, uint64_t *statistics) {
  int length = nest->nla_len - NLA_HDRLEN;
  for (struct nlattr *at = (void *)((char *)nest + NLA_HDRLEN); length >= NLA_HDRLEN;) {
    int type = at->nla_type & NLA_TYPE_MASK;
    if (type < 11) memcpy(&statistics[type], (char *)at + NLA_HDRLEN, sizeof *statistics);
    int step = NLA_ALIGN(at->nla_len);
    length -= step;
    at = (struct nlattr *)((char *)at + step);
  }
}

static void read_destination(struct nlattr *nest, struct destination *into) {
  int length = nest->nla_len - NLA_HDRLEN;
  for (struct nlattr *at = (void *)((char *)nest + NLA_HDRLEN); length >= NLA_HDRLEN;) {
    void *value = (char *)at + NLA_HDRLEN;
    switch (at->nla_type & NLA_TYPE_MASK) {
      case IPVS_DEST_ATTR_ADDR: memcpy(into->address, value, 16); break;
      case IPVS_DEST_ATTR_PORT: memcpy(&into->port, value, 2); break;
      case IPVS_DEST_ATTR_FWD_METHOD: memcpy(&into->method, value, 4); break;
      case IPVS_DEST_ATTR_WEIGHT: memcpy(&into->weight, value, 4); break;
      case IPVS_DEST_ATTR_U_THRESH: memcpy(&into->upper, value, 4); break;
      case IPVS_DEST_ATTR_L_THRESH: memcpy(&into->lower, value, 4); break;
      case IPVS_DEST_ATTR_ACTIVE_CONNS: memcpy(&into->active, value, 4); break;
      case IPVS_DEST_ATTR_INACT_CONNS: memcpy(&into->inactive, value, 4); break;
      case IPVS_DEST_ATTR_PERSIST_CONNS: memcpy(&into->persistent, value, 4); break;
      case IPVS_DEST_ATTR_ADDR_FAMILY: memcpy(&into->family, value, 2); break;
      case IPVS_DEST_ATTR_TUN_TYPE: memcpy(&into->tunnel_type, value, 1); break;
      case IPVS_DEST_ATTR_TUN_PORT: memcpy(&into->tunnel_port, value, 2); break;
      case IPVS_DEST_ATTR_TUN_FLAGS: memcpy(&into->tunnel_flags, value, 2); break;
      case IPVS_DEST_ATTR_STATS64: read_statistics(at, into->statistics); break;
      default: break;
    }
    int step = NLA_ALIGN(at->nla_len);
    length -= step;
    at = (struct nlattr *)((char *)at + step);
  }
}

/* The attributes that name a service, as GET_DEST wants them. */
struct service_key {
  uint16_t length;
  char bytes[64];
};

static void copy_attribute(struct service_key *key, void *start, int length, int type) {
  struct nlattr *found = attribute(start, length, type);
  if (found == NULL) return;
  memcpy(key->bytes + key->length, found, found->nla_len);
  key->length += NLA_ALIGN(found->nla_len);
}

static int dump(void) {
  int fd = open_generic();
  uint16_t family = resolve_family(fd);
  struct {
    struct nlmsghdr header;
    struct genlmsghdr generic;
    struct nlattr service;
    char key[64];
  } request = {.generic = {IPVS_CMD_GET_SERVICE, IPVS_GENL_VERSION, 0}};
  int64_t start = now();
  size_t room = 1024, count = 0, destinations = 0;
  struct service_key *keys = malloc(room * sizeof *keys);
  uint64_t sum = 0;

  request.header = (struct nlmsghdr){NLMSG_HDRLEN + GENL_HDRLEN, family, NLM_F_REQUEST | NLM_F_DUMP, 1, 0};
  send_all(fd, &request, request.header.nlmsg_len);
  for (int done = 0; !done;) {
    size_t length = receive(fd);
    for (struct nlmsghdr *at = (struct nlmsghdr *)reply; NLMSG_OK(at, length); at = NLMSG_NEXT(at, length)) {
      if (at->nlmsg_type == NLMSG_DONE || at->nlmsg_type == NLMSG_ERROR) {
        done = 1;
        break;
      }
      char *attributes = (char *)at + NLMSG_HDRLEN + GENL_HDRLEN;
      struct nlattr *nest =
          attribute(attributes, (int)((char *)at + at->nlmsg_len - attributes), IPVS_CMD_ATTR_SERVICE);
      if (nest == NULL) continue;
      if (count == room) keys = realloc(keys, (room *= 2) * sizeof *keys);
      struct service_key *key = &keys[count++];
      char *inside = (char *)nest + NLA_HDRLEN;
      int inner = nest->nla_len - NLA_HDRLEN;
      uint64_t statistics[16] = {0};
      key->length = 0;
      copy_attribute(key, inside, inner, IPVS_SVC_ATTR_AF);
      copy_attribute(key, inside, inner, IPVS_SVC_ATTR_FWMARK);
      if (attribute(inside, inner, IPVS_SVC_ATTR_FWMARK) == NULL) {
        copy_attribute(key, inside, inner, IPVS_SVC_ATTR_PROTOCOL);
        copy_attribute(key, inside, inner, IPVS_SVC_ATTR_ADDR);
        copy_attribute(key, inside, inner, IPVS_SVC_ATTR_PORT);
      }
      struct nlattr *nested = attribute(inside, inner, IPVS_SVC_ATTR_STATS64);
      if (nested != NULL) read_statistics(nested, statistics);
      sum += statistics[IPVS_STATS_ATTR_CONNS];
    }
  }

  request.generic.cmd = IPVS_CMD_GET_DEST;
  for (size_t index = 0; index < count; index++) {
    struct service_key *key = &keys[index];
    memcpy(request.key, key->bytes, key->length);
    request.service = (struct nlattr){(uint16_t)(NLA_HDRLEN + key->length), IPVS_CMD_ATTR_SERVICE | NLA_F_NESTED};
    request.header.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN + NLA_HDRLEN + key->length;
    request.header.nlmsg_seq++;
    send_all(fd, &request, request.header.nlmsg_len);
    for (int done = 0; !done;) {
      size_t length = receive(fd);
      for (struct nlmsghdr *at = (struct nlmsghdr *)reply; NLMSG_OK(at, length); at = NLMSG_NEXT(at, length)) {
        if (at->nlmsg_type == NLMSG_DONE || at->nlmsg_type == NLMSG_ERROR) {
          done = 1;
          break;
        }
        char *attributes = (char *)at + NLMSG_HDRLEN + GENL_HDRLEN;
        struct nlattr *nest = attribute(attributes, (int)((char *)at + at->nlmsg_len - attributes), IPVS_CMD_ATTR_DEST);
        if (nest == NULL) continue;
        struct destination destination = {0};
        read_destination(nest, &destination);
        destinations++;
        sum += destination.weight + destination.port + destination.statistics[IPVS_STATS_ATTR_CONNS] +
               destination.tunnel_type + destination.active + destination.address[0];
      }
    }
  }
  printf("{\"nanoseconds\":%lld,\"services\":%zu,\"destinations\":%zu,\"sum\":%llu}\n", (long long)(now() - start), count,
         destinations, (unsigned long long)sum);
  return 0;
}

int main(int count, char **words) {
  if (count == 4 && strcmp(words[1], "load") == 0) return load(words[2], strtoul(words[3], NULL, 10));
  if (count == 2 && strcmp(words[1], "dump") == 0) return dump();
  if (count == 3 && strcmp(words[1], "exchange") == 0) return exchange(words[2]);
  fprintf(stderr, "usage: peer load FILE PER_SEND | dump | exchange FILE\n");
  return 2;
}
