// SPDX-License-Identifier: BSD-2-Clause
// ICMP errors as a TCP needs them (RFC 792, RFC 4443; RFC 5927 says how far to believe them).
#ifndef SHUNT_WIRE_ICMP_H
#define SHUNT_WIRE_ICMP_H

#include <stddef.h>
#include <stdint.h>

#include "wire/ip.h"

// What an error means, one set for both families.
enum icmp_error {
    ICMP_NET_UNREACHABLE = 1, // also host, no route, source route failed, address unreachable
    ICMP_PORT_UNREACHABLE,    // also protocol unreachable: a hard error (RFC 1122, section 4.2.3.9)
    ICMP_PROHIBITED,          // administratively
    ICMP_PACKET_TOO_BIG,      // next_mtu_bytes says how big is allowed
    ICMP_TIME_EXCEEDED,
    ICMP_PARAMETER_PROBLEM,
};

struct icmp {
    enum icmp_error error;
    uint8_t type, code;
    uint32_t next_mtu_bytes; // ICMP_PACKET_TOO_BIG only; 0 from a router older than RFC 1191
    // of the packet that it is about, as we sent it
    struct ip_addr src, dst;
    uint16_t src_port, dst_port;
    uint32_t seq;
};

// Reads an ICMP message of len bytes that came in a packet with header ip, its checksum included.
// Returns 0, -EBADMSG when it is malformed, or -ENOMSG when it is no error about a TCP segment.
int icmp_parse(const struct ip_header *ip, const void *data, size_t len, struct icmp *out);

#endif
