// SPDX-License-Identifier: BSD-2-Clause
// Addresses and segments as text.
#ifndef SHUNT_WIRE_TEXT_H
#define SHUNT_WIRE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "wire/segment.h"

#define IP_ADDR_TEXT_BYTES 46
#define SEGMENT_TEXT_BYTES 512

// Reads "192.0.2.1" or "2001:db8::1". Returns 0 or -EINVAL.
int ip_addr_parse(const char *text, struct ip_addr *out);

// Writes the shortest text (RFC 5952) and a final zero to out (IP_ADDR_TEXT_BYTES of room); returns
// out.
const char *ip_addr_text(const struct ip_addr *a, char *out);

// Writes s as tcpdump would, e.g.
//   192.0.2.1.8080 > 192.0.2.2.4242: Flags [P.], seq 1:1001, ack 1, win 512, length 1000
// with options in the order in which they are sent, sequence numbers less seq_base and
// acknowledgements less ack_base. Out has SEGMENT_TEXT_BYTES of room; returns out.
const char *segment_text(const struct segment *s, uint32_t seq_base, uint32_t ack_base, char *out);

#endif
