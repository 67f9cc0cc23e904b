// SPDX-License-Identifier: BSD-2-Clause
// A TCP segment as a whole: from and to the bytes of a TCP header, and of an IP packet.
#ifndef SHUNT_WIRE_PACKET_H
#define SHUNT_WIRE_PACKET_H

#include <stddef.h>

#include "wire/ip.h"
#include "wire/segment.h"

#define TCP_HEADER_BYTES     20
#define TCP_HEADER_MAX_BYTES 60
#define PACKET_HEADER_MAX    (IP6_HEADER_BYTES + TCP_HEADER_MAX_BYTES)

// What to do about the TCP checksum.
enum csum_mode {
    CSUM_FULL,    // parse: must be right. emit: over everything
    CSUM_PARTIAL, // parse: right, or as the next. emit: the pseudo-header's sum alone, not
                  // complemented, as the kernel leaves it to a device that completes it
                  // (linux/skbuff.h, CHECKSUM_PARTIAL)
    CSUM_NONE,    // parse: believed unseen (the device has checked it). emit: zero
};

// What an IP header needs beyond the segment.
struct packet_ip {
    uint8_t ttl;
    bool dont_fragment;
    uint16_t id;
    uint32_t flow_label;
};

// Reads the TCP header and options of the len bytes behind the header ip; s->data points into them.
// Returns 0, or -EBADMSG when it is malformed, has a port 0, or its checksum is wrong.
int segment_parse(const struct ip_header *ip, const void *data, size_t len, enum csum_mode mode,
                  struct segment *s);

// The same for an IP packet. Also -EPROTONOSUPPORT when it is no TCP, or only a fragment.
int packet_parse(const void *packet, size_t len, enum csum_mode mode, struct segment *s);

// The TCP header's length with options: 20 to 60.
size_t segment_header_bytes(const struct segment *s);

// Writes the TCP header to out (TCP_HEADER_MAX_BYTES of room) and returns its length. The payload
// is not copied, but with CSUM_FULL it is read.
size_t segment_emit_header(const struct segment *s, void *out, enum csum_mode mode);

// Writes IP and TCP header to out (PACKET_HEADER_MAX of room) and returns their length.
size_t packet_emit_header(const struct segment *s, const struct packet_ip *ip, void *out,
                          enum csum_mode mode);

// Writes headers and payload: packet_emit_header() and s->len bytes. Returns the packet's length.
size_t packet_emit(const struct segment *s, const struct packet_ip *ip, void *out,
                   enum csum_mode mode);

#endif
