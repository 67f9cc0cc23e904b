// SPDX-License-Identifier: BSD-2-Clause
// IPv4 and IPv6 headers (RFC 791, RFC 8200).
#ifndef SHUNT_WIRE_IP_H
#define SHUNT_WIRE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/addr.h"

#define IP4_HEADER_BYTES 20
#define IP6_HEADER_BYTES 40

enum ip_proto {
    IP_PROTO_ICMP = 1,
    IP_PROTO_TCP = 6,
    IP_PROTO_ICMP6 = 58,
};

struct ip_header {
    struct ip_addr src, dst;
    uint8_t proto; // of the payload, behind all IPv6 extension headers
    uint8_t tos;   // traffic class: DSCP, and ECN in the low two bits (enum ip_ecn of segment.h)
    uint8_t ttl;
    bool dont_fragment;     // IPv4; always true for IPv6
    bool fragment;          // a piece of a packet: the payload is not a whole segment
    uint16_t id;            // IPv4 identification
    uint32_t flow_label;    // IPv6, 20 bits
    uint32_t payload_bytes; // what follows the header, without the padding of the link
};

// Reads the header of a packet of len bytes, IPv4 or IPv6 by its first bits; an IPv6 packet with
// an IPv4-mapped address is malformed. Padding behind the
// packet is allowed. Returns the header's length with options and extension headers, -EBADMSG for
// anything malformed, cut or with a wrong IPv4 header checksum, or -EPROTONOSUPPORT for an
// extension header that is not known or a routing header that is not yet used up.
int ip_parse(const void *packet, size_t len, struct ip_header *out);

// Same, but trusts the length found in the packet beyond len: for the quoted packet of an ICMP
// error, where only the beginning is there, and whose checksum a router may have left stale.
int ip_parse_quoted(const void *packet, size_t len, struct ip_header *out);

// Writes a header without options to out and returns its length, 20 or 40, by the family of src.
size_t ip_emit(void *out, const struct ip_header *h);

static inline size_t ip_header_bytes(const struct ip_addr *a)
{
    return ip_addr_is_v4(a) ? IP4_HEADER_BYTES : IP6_HEADER_BYTES;
}

// The sum (see csum.h) of the pseudo-header of RFC 9293 section 3.1, or RFC 8200 section 8.1.
uint16_t ip_pseudo_sum(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
                       uint32_t payload_bytes);

#endif
