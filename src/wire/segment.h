// SPDX-License-Identifier: BSD-2-Clause
// A TCP segment with everything that the engine wants of the packet around it, decoded: what the
// parser fills for input, and what the engine fills for output. All numbers are in host order.
#ifndef SHUNT_WIRE_SEGMENT_H
#define SHUNT_WIRE_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/addr.h"

// The control bits as they lie in the header (RFC 9293, 3.1).
#define SEG_FIN 0x01
#define SEG_SYN 0x02
#define SEG_RST 0x04
#define SEG_PSH 0x08
#define SEG_ACK 0x10
#define SEG_URG 0x20
#define SEG_ECE 0x40
#define SEG_CWR 0x80

// Which options are there. A malformed option is left out by the parser, with all that follow it.
#define SEG_OPT_MSS     0x01 // mss; RFC 9293, 3.7.1
#define SEG_OPT_WSCALE  0x02 // wscale; RFC 7323, 2
#define SEG_OPT_TS      0x04 // ts_val, ts_ecr; RFC 7323, 3
#define SEG_OPT_SACK_OK 0x08 // RFC 2018, 2
#define SEG_OPT_SACK    0x10 // sack[0 .. sack_count - 1]; RFC 2018, 3
#define SEG_OPT_TFO     0x20 // tfo[0 .. tfo_len - 1]; RFC 7413, 4.1
#define SEG_OPT_UTO     0x40 // uto: 15 bits of value, top bit minutes; RFC 5482
#define SEG_OPT_TFO_EXP 0x80 // with SEG_OPT_TFO: in the experimental form (kind 254, 0xF989)

#define SEG_SACK_MAX 4
#define SEG_TFO_MAX  16

// The ECN field of the IP header (RFC 3168, 5).
enum ip_ecn { IP_ECN_NOT = 0, IP_ECN_ECT1 = 1, IP_ECN_ECT0 = 2, IP_ECN_CE = 3 };

struct seg_range {
    uint32_t start, end; // sequence numbers: start is in, end is out
};

// Payload in place: in the frame (input), in a send ring (output). Two pieces where a ring wraps;
// the second is NULL with length 0 otherwise.
struct seg_data {
    const uint8_t *piece[2];
    uint32_t piece_len[2];
};

struct segment {
    struct ip_addr src, dst;
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint16_t window; // as in the header: not scaled
    uint16_t urgent; // as in the header; means something with SEG_URG only
    uint8_t flags;   // SEG_FIN ... SEG_CWR
    uint8_t ecn;     // enum ip_ecn
    uint8_t dscp;    // 6 bits
    uint8_t opts;    // SEG_OPT_*: which of the fields below count
    uint32_t ts_val, ts_ecr;
    uint32_t len;      // payload bytes, both pieces together; up to 65,535 in a super-frame
    uint16_t gso_size; // output: where len is more, the queue cuts the payload into pieces of this
                       // size (a super-frame); input: size of the pieces that were merged, or 0
    uint16_t mss;
    uint8_t wscale;     // 0 to 14 after parsing (RFC 7323, 2.3)
    uint8_t sack_count; // 1 to 4 with SEG_OPT_SACK
    uint8_t tfo_len;    // 0 (a cookie request) or 4 to 16
    uint16_t uto;
    struct seg_data data;
    struct seg_range sack[SEG_SACK_MAX];
    uint8_t tfo[SEG_TFO_MAX];
};

// Sequence numbers the segment takes up: its bytes, its SYN and its FIN (RFC 9293, 3.4: SEG.LEN).
static inline uint32_t segment_seq_len(const struct segment *s)
{
    return s->len + !!(s->flags & SEG_SYN) + !!(s->flags & SEG_FIN);
}

// Comparison of sequence numbers modulo 2^32 (RFC 9293, 3.4).
static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? b : a;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? a : b;
}

#endif
