// SPDX-License-Identifier: BSD-2-Clause
// Ethernet II frames, with at most one 802.1Q tag.
#ifndef SHUNT_WIRE_ETH_H
#define SHUNT_WIRE_ETH_H

#include <stddef.h>
#include <stdint.h>

#define ETH_HEADER_BYTES 14
#define ETH_VLAN_BYTES   4

enum eth_type {
    ETH_TYPE_IP4 = 0x0800,
    ETH_TYPE_ARP = 0x0806,
    ETH_TYPE_VLAN = 0x8100,
    ETH_TYPE_IP6 = 0x86dd,
};

struct eth_addr {
    uint8_t b[6];
};

struct eth_header {
    struct eth_addr dst, src;
    uint16_t type; // of the payload, never ETH_TYPE_VLAN; below 0x600 it is an 802.3 length
    uint16_t vlan; // the whole tag control word of 802.1Q; 0 = the frame has no tag
};

// Reads the header of a frame of len bytes. Returns its length (14 or 18), or -EBADMSG when it is
// cut.
int eth_parse(const void *frame, size_t len, struct eth_header *out);

// Writes the header to out (18 bytes of room) and returns its length.
size_t eth_emit(void *out, const struct eth_header *h);

#endif
