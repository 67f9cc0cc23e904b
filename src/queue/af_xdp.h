// SPDX-License-Identifier: BSD-2-Clause
// AF_XDP: a socket a hardware queue, each with its own packet memory and four rings that it shares
// with the kernel (Documentation/networking/af_xdp.rst). What is kept for the next driver beside
// the kernel's own cursors is which chunks are free to send from.
//
// On veth the program runs in generic mode with multi-buffer frames. Native mode there would switch
// the peer's TSO off and cost the kernel's own traffic on the device five times; generic mode costs
// a quarter, and hands super-frames of 64 KB over in chunks. Without multi-buffer support
// (XDP_USE_SG, Linux 6.6) generic mode drops them silently, and flows of a peer with TSO stall: use
// AF_PACKET.
#ifndef SHUNT_QUEUE_AF_XDP_H
#define SHUNT_QUEUE_AF_XDP_H

#include "queue/owner.h"
#include "queue/shared.h"

extern const struct queue_ops queue_af_xdp;
extern const struct queue_owner_ops queue_af_xdp_owner;

#define AF_XDP_CHUNK_BYTES 4096
#define AF_XDP_QUEUES_MAX  16
// A chunk to send from begins with what the kernel calls metadata, in the frame's first chunk the
// checksum to finish; it wants the room for that in every one. The bytes begin on a cache line.
#define AF_XDP_TX_META_BYTES 24
#define AF_XDP_TX_HEADROOM   64
#define AF_XDP_TX_BYTES      (AF_XDP_CHUNK_BYTES - AF_XDP_TX_HEADROOM)
// Chunks of one frame: what an skb has room for (MAX_SKB_FRAGS) and its first.
#define AF_XDP_FRAME_CHUNKS 17

// desc.ring of this door. Counts of chunks are powers of two, a hardware queue.
enum { AF_XDP_QUEUES, AF_XDP_RX_CHUNKS, AF_XDP_TX_CHUNKS, AF_XDP_FEATURES };

enum af_xdp_feature {
    AF_XDP_SG = 1,      // frames of several chunks
    AF_XDP_TX_META = 2, // the kernel finishes checksums
};

// fds of the grant: shared memory, packet memory, where there are several sockets an epoll of them
// all, the sockets.
enum { AF_XDP_MEMORY, AF_XDP_PACKETS, AF_XDP_EPOLL, AF_XDP_SOCKET };

// For each hardware queue, at af_xdp_lane_at().
struct af_xdp_lane {
    uint32_t free_count;
    uint32_t free[]; // chunks to send from, by number: a stack
};

// On the second page; the lanes follow on the third.
struct af_xdp_shared {
    uint32_t rx_lane; // the lane whose frames rx() gives
};

static inline uint64_t af_xdp_lane_bytes(const struct queue_desc *desc)
{
    return (sizeof(struct af_xdp_lane) + desc->ring[AF_XDP_TX_CHUNKS] * UINT64_C(4) + 63) &
           ~UINT64_C(63);
}

static inline uint64_t af_xdp_lane_at(const struct queue_desc *desc, unsigned lane)
{
    return 2 * QUEUE_PAGE + lane * af_xdp_lane_bytes(desc);
}

static inline uint64_t af_xdp_shared_bytes(const struct queue_desc *desc)
{
    return (af_xdp_lane_at(desc, desc->ring[AF_XDP_QUEUES]) + QUEUE_PAGE - 1) &
           ~(uint64_t)(QUEUE_PAGE - 1);
}

// Packet memory of one hardware queue: first the chunks to receive into, then those to send from.
static inline uint64_t af_xdp_packets_bytes(const struct queue_desc *desc)
{
    return ((uint64_t)desc->ring[AF_XDP_RX_CHUNKS] + desc->ring[AF_XDP_TX_CHUNKS]) *
           AF_XDP_CHUNK_BYTES;
}

#endif
