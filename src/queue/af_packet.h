// SPDX-License-Identifier: BSD-2-Clause
// A packet socket with a memory-mapped receive ring (TPACKET_V2; V3 hands blocks over by a timer of
// a millisecond at least) and virtio-net headers, so that super-frames of 64 KB and unfinished
// checksums go both ways whole: packet(7), Documentation/networking/packet_mmap.rst. On virtual
// Ethernet nothing is faster, in latency and in bulk (docs/TOUR.md).
//
// There is no transmit ring. The kernel gives a slot of it back when the skb loses its socket,
// which on veth is before the peer has read the bytes: a slot written again then would change data
// that is already acknowledged. So frames are copied by sendmmsg(), straight from the caller's
// payload.
#ifndef SHUNT_QUEUE_AF_PACKET_H
#define SHUNT_QUEUE_AF_PACKET_H

#include "queue/owner.h"
#include "queue/shared.h"

extern const struct queue_ops queue_af_packet;
extern const struct queue_owner_ops queue_af_packet_owner;

#define AF_PACKET_BATCH 64

// desc.ring of this door.
enum { AF_PACKET_SLOT_BYTES, AF_PACKET_BLOCK_BYTES, AF_PACKET_BLOCKS };
// fds of the grant
enum { AF_PACKET_MEMORY, AF_PACKET_SOCKET, AF_PACKET_FDS };

// A frame that the socket would not take at once, behind its virtio-net header.
struct af_packet_kept {
    uint32_t bytes; // of header and frame
    uint8_t data[16 + QUEUE_SUPER_MAX];
};

// The second page on.
struct af_packet_shared {
    uint32_t rx_next;             // slot of the oldest frame that is not released
    uint32_t kept_from, kept_end; // of kept[]; empty when equal, and both are 0 then
    struct af_packet_kept kept[AF_PACKET_BATCH];
};

#define AF_PACKET_SHARED_BYTES                                                                     \
    ((QUEUE_PAGE + sizeof(struct af_packet_shared) + QUEUE_PAGE - 1) & ~(uint64_t)(QUEUE_PAGE - 1))

#endif
