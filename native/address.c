#include "address.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>

static void copy(void *target, const uint8_t *bytes, size_t length) {
  if (length > 0) memcpy(target, bytes, length);
}

bool make_address(int family, const uint8_t *bytes, size_t length, uint16_t port, uint32_t interface_index,
                  struct address *address) {
  memset(address, 0, sizeof(*address));
  if (family == AF_INET && (length == 0 || length == 4)) {
    struct sockaddr_in *in = (struct sockaddr_in *)&address->storage;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    copy(&in->sin_addr, bytes, length);
    address->size = sizeof(*in);
    return true;
  }
  if (family == AF_INET6 && (length == 0 || length == 16)) {
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->storage;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    in6->sin6_scope_id = interface_index;
    copy(&in6->sin6_addr, bytes, length);
    address->size = sizeof(*in6);
    return true;
  }
  struct sockaddr_ll *ll = (struct sockaddr_ll *)&address->storage;
  if (family == AF_PACKET && length <= sizeof(ll->sll_addr)) {
    ll->sll_family = AF_PACKET;
    ll->sll_protocol = htons(port);
    ll->sll_ifindex = (int)interface_index;
    ll->sll_halen = (unsigned char)length;
    copy(ll->sll_addr, bytes, length);
    address->size = sizeof(*ll);
    return true;
  }
  return false;
}

void read_address(const struct address *address, const uint8_t **bytes, size_t *length, uint16_t *port,
                  uint32_t *interface_index) {
  static const uint8_t none[1];
  *bytes = none;
  *length = 0;
  *port = 0;
  *interface_index = 0;
  if (address->storage.ss_family == AF_INET && address->size >= sizeof(struct sockaddr_in)) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address->storage;
    *bytes = (const uint8_t *)&in->sin_addr;
    *length = 4;
    *port = ntohs(in->sin_port);
  } else if (address->storage.ss_family == AF_INET6 && address->size >= sizeof(struct sockaddr_in6)) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->storage;
    *bytes = (const uint8_t *)&in6->sin6_addr;
    *length = 16;
    *port = ntohs(in6->sin6_port);
    *interface_index = in6->sin6_scope_id;
  } else if (address->storage.ss_family == AF_PACKET && address->size >= offsetof(struct sockaddr_ll, sll_addr)) {
    const struct sockaddr_ll *ll = (const struct sockaddr_ll *)&address->storage;
    *bytes = ll->sll_addr;
    *length = ll->sll_halen < sizeof(ll->sll_addr) ? ll->sll_halen : sizeof(ll->sll_addr);
    *port = ntohs(ll->sll_protocol);
    *interface_index = (uint32_t)ll->sll_ifindex;
  }
}
