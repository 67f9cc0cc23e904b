// SPDX-License-Identifier: BSD-2-Clause
// Plays the peer of a channel whose memory the peer does not share. Pure: knows no verbs.
//
// Outwards it tells what of this side's lines and ring bytes the peer does not know yet; inwards it
// writes what came from the peer into the channel's header, as the peer would have done, and rings
// this side's bell. The header is memory of this host alone. What came is written as it is: the
// channel's user checks everything that he reads there.
//
// A line's fields are read in such an order that no state is told before what it rests upon, and
// are written in the opposite one.
#ifndef SHUNT_LANE_RDMA_MIRROR_H
#define SHUNT_LANE_RDMA_MIRROR_H

#include "chan/chan.h"
#include "lane/rdma/wire.h"

struct mirror {
    struct chan chan;
    uint64_t posted;        // ring bytes handed to the device
    uint64_t came;          // ring bytes of the peer that have arrived
    struct rdma_lines told; // to the peer, lately
    struct rdma_lines last; // once detached
    bool detached;          // the channel's memory must not be touched any more
    bool eager;             // the peer waits for its bytes to be consumed
    uint8_t stage;          // enum rdma_stage: ours
    _Atomic uint8_t peer_stage;
};

// Takes over the mapping that chan describes; nothing was published in it yet.
void mirror_init(struct mirror *m, const struct chan *chan);

// Reads this side's lines. To be called before mirror_unposted(), so that what they rest upon is
// posted before they are told.
void mirror_read(const struct mirror *m, struct rdma_lines *l);

// Ring bytes to post next: bytes in a row from *offset in the ring; 0: none.
uint32_t mirror_unposted(struct mirror *m, uint32_t *offset);
// quietly: the peer is not told how many, but by the next lines.
void mirror_was_posted(struct mirror *m, uint32_t bytes, bool quietly);

// Must the peer be told l (with the tail that is posted now)? Consumed bytes alone are told when
// they make a quarter of the ring.
bool mirror_is_due(const struct mirror *m, struct rdma_lines *l);
void mirror_was_told(struct mirror *m, const struct rdma_lines *l);

// The channel's memory is not touched any more. What was published and not posted is forgotten.
void mirror_detach(struct mirror *m);

// From the peer: its bytes are in our ring; its lines.
void mirror_take_bytes(struct mirror *m, uint32_t bytes);
// Its bytes up to tail; an old tail changes nothing.
void mirror_take_tail(struct mirror *m, uint64_t tail);
void mirror_take_lines(struct mirror *m, const struct rdma_lines *l);
// Its bytes by the control path, of which some may be here. -EPROTO: some are missing before them,
// or there is no room.
int mirror_take_rest(struct mirror *m, const struct rdma_rest *r);

// Wakes whoever sleeps on this side's bell; at once: even if nobody has armed.
void mirror_wake(struct mirror *m, bool at_once);

#endif
