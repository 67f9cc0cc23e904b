// SPDX-License-Identifier: BSD-2-Clause
// ARP for IPv4 over Ethernet (RFC 826).
#ifndef SHUNT_WIRE_ARP_H
#define SHUNT_WIRE_ARP_H

#include <stddef.h>
#include <stdint.h>

#include "wire/eth.h"

#define ARP_BYTES 28

enum arp_op {
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
};

struct arp {
    uint16_t op; // enum arp_op, or another number as it came
    struct eth_addr sender_eth, target_eth;
    uint8_t sender_ip[4], target_ip[4];
};

// Reads what follows the Ethernet header. Returns 0, -EBADMSG when it is cut, or -EPROTONOSUPPORT
// when it speaks of another hardware or protocol than Ethernet and IPv4.
int arp_parse(const void *data, size_t len, struct arp *out);

// Writes ARP_BYTES bytes.
void arp_emit(void *out, const struct arp *a);

#endif
