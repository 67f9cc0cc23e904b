// SPDX-License-Identifier: BSD-2-Clause
// What two processes say to each other about the lane rdma, as bytes: PROTOCOL.md explains it.
// Everything here is pure, knows no verbs, and takes any bytes whatever.
//
// Integers are little-endian. Every message may be longer than this version knows; what comes after
// is ignored. A message that is too short, or of another version, is refused with -EPROTO.
#ifndef SHUNT_LANE_RDMA_WIRE_H
#define SHUNT_LANE_RDMA_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RDMA_VERSION        1
#define RDMA_TOKEN_BYTES    16
#define RDMA_ENDPOINT_BYTES 20
#define RDMA_HELLO_BYTES    48 // private data: 56 bytes is what rdma_cm has for a caller's
#define RDMA_OPEN_BYTES     40
#define RDMA_NOTE_BYTES     64 // of each receive buffer, and the most that is sent by SEND

// How a process can be called: part of its claim, carried by shuntd.
struct rdma_endpoint {
    uint8_t token[RDMA_TOKEN_BYTES]; // random, of the process; known to its peers only
    uint16_t port;                   // of its listener
};

// Private data of a call and of its answer.
struct rdma_hello {
    uint8_t from[RDMA_TOKEN_BYTES], to[RDMA_TOKEN_BYTES];
    uint64_t channel_id; // that the link is made for, which proves that the two were matched
    uint16_t credits;    // messages that the sender of this can take
};

// Where the peer may write: carried by shuntd.
struct rdma_open {
    uint64_t addr; // of the ring that the sender of this reads
    uint32_t rkey;
    uint32_t ring_bytes;
    uint16_t slot; // what the sender of this calls the channel
    uint64_t word; // where the peer may write its tail, 8 bytes
    uint32_t word_rkey;
};

// How far one side is: all that it has in the channel's header, and what lies behind it.
enum rdma_stage {
    RDMA_GOING = 0,
    RDMA_FIN,    // tail is final
    RDMA_CLOSED, // and this is the last message about the channel
};

struct rdma_lines {
    uint64_t tail, head, mark;
    uint32_t epoch, ack, hint;
    uint8_t granted, ready, want;
    uint8_t stage; // enum rdma_stage
};

// A message by SEND, or one carried by shuntd when the link is gone.
enum rdma_note_type {
    RDMA_NOTE_CREDITS = 1, // nothing but credits
    RDMA_NOTE_LINES,
    RDMA_NOTE_DATA, // bytes were written before: where the device has no immediate data
};

struct rdma_note {
    uint8_t type;     // enum rdma_note_type
    bool silent;      // tails may be written from now on, without a message
    uint16_t slot;    // what the receiver calls the channel
    uint16_t credits; // given back
    uint32_t bytes;   // of RDMA_NOTE_DATA
    struct rdma_lines lines;
};

// Each pack returns the bytes that it wrote; the buffer must have room for the constants above.
size_t rdma_pack_endpoint(uint8_t *to, const struct rdma_endpoint *e);
size_t rdma_pack_hello(uint8_t *to, const struct rdma_hello *h);
size_t rdma_pack_open(uint8_t *to, const struct rdma_open *o);
size_t rdma_pack_note(uint8_t *to, const struct rdma_note *n);

// 0 or -EPROTO.
int rdma_parse_endpoint(const uint8_t *from, size_t len, struct rdma_endpoint *e);
int rdma_parse_hello(const uint8_t *from, size_t len, struct rdma_hello *h);
int rdma_parse_open(const uint8_t *from, size_t len, struct rdma_open *o);
int rdma_parse_note(const uint8_t *from, size_t len, struct rdma_note *n);

// What shuntd carries from program to program begins with one of these.
enum rdma_relay_type {
    RDMA_RELAY_OPEN = 1,
    RDMA_RELAY_LINES, // a note of RDMA_NOTE_LINES; the link is gone
    RDMA_RELAY_REST,  // bytes of a process that has died, said in its name
};

#define RDMA_REST_HEAD_BYTES 9 // before the bytes

struct rdma_rest {
    uint64_t from; // ring position of the first
    const uint8_t *bytes;
    size_t len;
};

// The whole message; parse takes what follows its first byte.
size_t rdma_pack_rest_head(uint8_t *to, uint64_t from);
int rdma_parse_rest(const uint8_t *bytes, size_t len, struct rdma_rest *r);

// The immediate of a write: whose bytes, whether tails may be written from now on without a
// message, and credits given back.
static inline uint32_t rdma_imm(uint16_t slot, bool silent, uint16_t credits)
{
    return (uint32_t)slot << 16 | (uint32_t)silent << 15 | credits;
}
static inline bool rdma_imm_silent(uint32_t imm)
{
    return imm >> 15 & 1;
}
static inline uint16_t rdma_imm_slot(uint32_t imm)
{
    return (uint16_t)(imm >> 16);
}
static inline uint16_t rdma_imm_credits(uint32_t imm)
{
    return imm & 0x7fff;
}

#endif
