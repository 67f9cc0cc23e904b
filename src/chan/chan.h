// SPDX-License-Identifier: BSD-2-Clause
// The channel: two byte rings in one memfd, one a direction, and what the two ends say about them.
//
// Memory. A sealed memfd holds a header page and two rings. Each ring is mapped twice in a row, so
// that any run of bytes is contiguous. Every line of the header is written by one side only. The
// peer can write anything at any time: values read from the header are checked before use, and
// nothing that this side relies on is kept there. What a side must remember it keeps in a
// struct chan_tx or chan_rx of its own, which the header only mirrors.
//
// Order. A producer copies bytes, then stores `tail` (release); a consumer loads `tail` (acquire),
// then copies bytes out, then stores `head` (release); a producer loads `head` (acquire) before it
// writes over them. A process killed between any two instructions leaves bytes unpublished or
// unconsumed, never half a state.
//
// Epochs. While a direction's epoch is even its bytes go by the carrier, while it is odd by the
// ring. The producer moves to the next epoch only when the consumer has acknowledged the current
// one, so at most one move is ever under way, and a consumer that reads all the carrier gives never
// reads past the point of a move:
//   even to odd: mark = bytes that the producer had put into the carrier by then
//   odd to even: mark = the ring's tail at that moment (or its head, when the rest is sent again)
//
// Sleep. Who wants to sleep arms its wait flag, fences, looks again, sleeps. Who publishes fences,
// then looks at the flag. A producer publishes `tail` with an exchange, which is that fence; a
// consumer fences only when the ring was at least half full or is now empty: see chan_consumed().
#ifndef SHUNT_CHAN_CHAN_H
#define SHUNT_CHAN_CHAN_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chanmem.h"

// One process's view of a channel. Copied by fork, and good in the child (the mapping is shared).
struct chan {
    struct chan_shared *shared; // NULL: not mapped
    struct chan_dir *tx, *rx;   // this side's two directions
    uint8_t *tx_ring, *rx_ring; // ring_bytes, twice in a row; NULL in a blank one
    uint32_t ring_bytes;        // checked against the memfd's size; never read from shared again
    int bell, peer_bell;        // eventfds: ours to sleep on, the peer's to ring
    struct pump *pump; // carries the bytes where the peer is no process; else NULL (pump.h)
    uint64_t pumped;   // the pump's own word
};

// What a producer relies on; lives in memory that the peer cannot write.
struct chan_tx {
    uint64_t tail;          // == dir.tail
    uint64_t head;          // the last valid dir.head seen
    _Atomic uint32_t epoch; // read by others, too
};

// What a consumer relies on.
struct chan_rx {
    uint64_t head;          // == dir.head
    uint64_t tail;          // the last valid dir.tail seen
    _Atomic uint32_t epoch; // read by others, too
};

// Makes a sealed memfd with two empty rings of ring_bytes (a power of two within the limits).
// Returns the fd (caller's, close-on-exec), or -EINVAL, -ENOMEM, -EMFILE, -ENFILE, -ENOSPC.
int chan_create(uint32_t ring_bytes);

// Maps memfd for side 0 or 1. The three fds stay the caller's; c remembers the bells. Returns 0,
// -EPROTO (wrong size, magic, version or seals), -ENOMEM.
int chan_map(struct chan *c, int memfd, int side, int bell, int peer_bell);

// ---- channels whose peer is an engine ----
//
// Where the rings belong to a TCP engine there is no carrier below them: both directions are on the
// ring, epoch 1, from the first byte to the last. Many such channels lie in one memfd, the arena.

// Lays a channel on zeroed memory of CHAN_HDR_BYTES, before anybody maps it. Its rings follow,
// side 0's sending one first.
void chan_format(struct chan_shared *at, uint32_t ring_bytes);

// Maps the channel at off (a multiple of CHAN_HDR_BYTES) of the sealed memfd arena for side 0. As
// chan_map() otherwise.
int chan_map_within(struct chan *c, int arena, uint64_t off, int bell, int peer_bell);

// What side 0 remembers of a channel that was just laid.
void chan_begin_on_ring(struct chan_tx *tx, struct chan_rx *rx);

// Has side written nothing yet into the header of the channel?
bool chan_is_untouched(int memfd, int side);

// Puts zeros of this process alone in the place of c's header: an idle channel, as it was in the
// beginning, at the same address. Threads that look without a lock at that moment see the one or
// the other. The rings, which nobody touches without a lock, are unmapped. 0 or -ENOMEM.
int chan_blank(struct chan *c);

// Puts another channel into the place of a blank one in the same way, with rings of any size, and
// its bells into the numbers of c's. The three fds stay the caller's. 0, -EPROTO as chan_map(),
// -ENOMEM, -EINVAL: the side is another one.
int chan_renew(struct chan *c, int memfd, int side, int bell, int peer_bell);

// Unmaps; closes nothing. Legal on a struct that was never mapped (shared NULL).
void chan_unmap(struct chan *c);

// Writes the peer's bell if it sleeps (or sleep is only suspected). Never blocks.
void chan_ring_peer(struct chan *c);

// Bytes between the two cursors as the header tells them: a hint for whoever holds no lock, and may
// be nonsense from a hostile peer. Decide by chan_room() and chan_avail().
static inline uint64_t chan_stored(const struct chan_dir *d)
{
    uint64_t head = atomic_load_explicit(&d->head, memory_order_relaxed);

    return atomic_load_explicit(&d->tail, memory_order_acquire) - head;
}

// ---- producer ----

// Room in the tx ring in bytes; looks at the peer's head when fewer than want are known.
// -EPROTO: the peer wrote nonsense; the connection must be reset.
static inline int64_t chan_room(struct chan *c, struct chan_tx *t, uint64_t want)
{
    uint64_t room = c->ring_bytes - (t->tail - t->head);

    if (room < want) {
        uint64_t head = atomic_load_explicit(&c->tx->head, memory_order_acquire);

        if (head - t->head > t->tail - t->head)
            return -EPROTO;
        t->head = head;
        room = c->ring_bytes - (t->tail - head);
    }
    return (int64_t)room;
}

// Where the next bytes go; as many as chan_room() said, contiguous.
static inline uint8_t *chan_tx_at(const struct chan *c, const struct chan_tx *t)
{
    return c->tx_ring + (t->tail & (c->ring_bytes - 1));
}

// Publishes n bytes that were written at chan_tx_at(), and wakes a sleeping consumer.
static inline void chan_commit(struct chan *c, struct chan_tx *t, uint64_t n)
{
    t->tail += n;
    atomic_exchange_explicit(&c->tx->tail, t->tail, memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&c->tx->rx_wait, memory_order_relaxed), 0))
        chan_ring_peer(c);
}

// May the producer move to its next epoch: has the consumer acknowledged the current one?
static inline bool chan_tx_acked(const struct chan *c, const struct chan_tx *t)
{
    return atomic_load_explicit(&c->tx->ack, memory_order_acquire) ==
           atomic_load_explicit(&t->epoch, memory_order_relaxed);
}

// Moves to the next epoch, beginning at mark. Legal only when chan_tx_acked().
void chan_tx_move(struct chan *c, struct chan_tx *t, uint64_t mark);

// What the consumer of our direction asks for.
static inline enum chan_want chan_wanted(const struct chan *c)
{
    return (enum chan_want)atomic_load_explicit(&c->tx->want, memory_order_acquire);
}

// ---- consumer ----

// Bytes to read; looks at the peer's tail when fewer than want are known. -EPROTO as above.
static inline int64_t chan_avail(struct chan *c, struct chan_rx *r, uint64_t want)
{
    uint64_t avail = r->tail - r->head;

    if (avail < want) {
        uint64_t tail = atomic_load_explicit(&c->rx->tail, memory_order_acquire);

        if (tail - r->head > c->ring_bytes || tail - r->head < avail)
            return -EPROTO;
        r->tail = tail;
        avail = tail - r->head;
    }
    return (int64_t)avail;
}

static inline const uint8_t *chan_rx_at(const struct chan *c, const struct chan_rx *r)
{
    return c->rx_ring + (r->head & (c->ring_bytes - 1));
}

// Fences, and wakes a producer that sleeps for room or for an acknowledgement.
void chan_room_made(struct chan *c);

// Consumes n bytes. A producer sleeps only with less than a quarter of the ring free. If it armed
// tx_wait before one of our fences we see the flag; if after, it saw the head that we stored before
// that fence. So it is enough to fence on the way from full to empty: here while at least half
// full, and in chan_drained() when nothing is left. How full is said by the producer's tail of this
// moment: the one that we know may be from before it filled the ring and fell asleep.
static inline void chan_consumed(struct chan *c, struct chan_rx *r, uint64_t n)
{
    uint64_t tail = atomic_load_explicit(&c->rx->tail, memory_order_relaxed);
    bool half = tail - r->head >= c->ring_bytes / 2;

    r->head += n;
    atomic_store_explicit(&c->rx->head, r->head, memory_order_release);
    if (__builtin_expect(half, 0))
        chan_room_made(c);
}

// To be called once whenever the ring was found empty, before waiting or saying EAGAIN.
static inline void chan_drained(struct chan *c)
{
    chan_room_made(c);
}

// To be called after chan_arm(), before sleeping for anything: wakes a producer that sleeps though
// it may use half of its room. One that has less finds what it found before it slept; two sides
// with full rings would wake each other for ever.
void chan_offer_room(struct chan *c);

// Has the producer moved to the epoch after the one that the consumer is in? Then *mark is where.
static inline bool chan_rx_moved(const struct chan *c, const struct chan_rx *r, uint64_t *mark)
{
    if (atomic_load_explicit(&c->rx->epoch, memory_order_acquire) ==
        atomic_load_explicit(&r->epoch, memory_order_relaxed))
        return false;
    *mark = atomic_load_explicit(&c->rx->mark, memory_order_relaxed);
    return true;
}

// Follows the producer into its next epoch and says so, waking it if it sleeps.
void chan_rx_follow(struct chan *c, struct chan_rx *r);

// Has the producer promised to stay on the carrier, or never been able to leave it? Meaningful
// after chan_ask(): a producer that says `ready` later looks at `want` later still.
static inline bool chan_rx_granted(const struct chan *c)
{
    return atomic_load(&c->rx->granted) || !atomic_load(&c->tx->ready);
}

// ---- sleep ----

// Arms the wait flags of the directions named, and fences. The caller must look again before it
// sleeps on the bell. Flags are never disarmed by the sleeper: another one may rely on them, and a
// stale one costs the peer a single write to the bell, which clears it. tx: 0, or what tx_wait is
// to be.
void chan_arm(struct chan *c, bool rx, uint32_t tx);

// Empties this side's bell; true when it was ringing. Whoever does so must arm again for every
// sleeper that there is, and ring again for those that have not heard it.
bool chan_bell_clear(struct chan *c);

// Tells the peer to look at the twin, and wakes it.
void chan_hint(struct chan *c);

// Asks the producer of our receiving direction to do something, and wakes it.
void chan_ask(struct chan *c, enum chan_want want);

#endif
