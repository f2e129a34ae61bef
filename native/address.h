/* Socket addresses as JavaScript gives and gets them: bytes, a port, the number of an interface. */
#ifndef VIADUCT_ADDRESS_H
#define VIADUCT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
  struct sockaddr_storage storage;
  socklen_t size;
};

/*
 * 4 bytes are IPv4 and 16 are IPv6, with the interface as its scope. For AF_PACKET the bytes are a MAC of at most 8 and
 * `port` is the protocol (ETH_P_IP). No bytes are the unspecified address. False if they do not fit the family.
 */
bool make_address(int family, const uint8_t *bytes, size_t length, uint16_t port, uint32_t interface_index,
                  struct address *address);

/* The other way; `bytes` points into the address. */
void read_address(const struct address *address, const uint8_t **bytes, size_t *length, uint16_t *port,
                  uint32_t *interface_index);

#endif
