// SPDX-License-Identifier: BSD-2-Clause
// The life of a channel on a link: offered to the peer, answered, open, closed or lost.
#include "base/clock.h"
#include "base/util.h"
#include "lane/rdma/state.h"

#include <stdlib.h>
#include <string.h>

void chan_fail(struct rdma_chan *ch, enum mirror_state state, const char *why)
{
    if (ch->state == MIRROR_OPENING)
        atomic_fetch_sub(&lane.opening, 1);
    ch->why = why;
    ch->state = state;
    ch->relay_bytes = 0;
    mirror_wake(&ch->mirror, true);
}

// ---- memory that the devices use ----

static int register_rings(struct rdma_chan *ch)
{
    const struct chan *c = &ch->mirror.chan;
    struct ibv_pd *pd = ch->link->hub->pd;

    ch->tx_mr = ibv_reg_mr(pd, c->tx_ring, c->ring_bytes, 0);
    ch->rx_mr =
        ibv_reg_mr(pd, c->rx_ring, c->ring_bytes, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    return ch->tx_mr && ch->rx_mr ? 0 : -errno;
}

static void deregister_rings(struct rdma_chan *ch)
{
    if (ch->tx_mr)
        ibv_dereg_mr(ch->tx_mr);
    if (ch->rx_mr)
        ibv_dereg_mr(ch->rx_mr);
    ch->tx_mr = ch->rx_mr = NULL;
}

// ---- opening ----

static void offer(struct rdma_chan *ch)
{
    const struct chan *c = &ch->mirror.chan;
    struct rdma_open o = {
        .addr = (uintptr_t)c->rx_ring,
        .rkey = ch->rx_mr->rkey,
        .ring_bytes = c->ring_bytes,
        .slot = ch->slot,
        .word = (uintptr_t)&ch->link->words[ch->slot],
        .word_rkey = ch->link->words_mr->rkey,
    };

    atomic_store(&ch->link->words[ch->slot], 0);
    ch->relay[0] = RDMA_RELAY_OPEN;
    ch->relay_bytes = 1 + rdma_pack_open(ch->relay + 1, &o);
    ch->is_offered = true;
}

static void try_open(struct rdma_chan *ch)
{
    if (ch->state != MIRROR_OPENING || !ch->is_offered || !ch->is_answered)
        return;
    atomic_fetch_sub(&lane.opening, 1);
    ch->state = MIRROR_OPEN;
    mirror_wake(&ch->mirror, true);
    chan_push(ch);
}

static void attach(struct rdma_chan *ch, struct rdma_link *l)
{
    if (link_add_chan(l, ch, &ch->slot)) {
        chan_fail(ch, MIRROR_FAILED, "the link has no room for more channels");
        return;
    }
    ch->link = l;
    if (register_rings(ch)) {
        chan_fail(ch, MIRROR_FAILED, "the rings cannot be registered");
        return;
    }
    offer(ch);
    try_open(ch);
}

static bool waits_for(const struct rdma_chan *ch, const struct rdma_link *l)
{
    return ch->state == MIRROR_OPENING && !ch->link && ch->active == l->active &&
           !memcmp(ch->peer.token, l->peer, sizeof l->peer);
}

void chans_link_up(struct rdma_link *l)
{
    list_for_each (it, &lane.chans) {
        struct rdma_chan *ch = list_entry(it, struct rdma_chan, node);

        if (waits_for(ch, l))
            attach(ch, l);
    }
}

void chan_join(struct rdma_chan *ch, struct rdma_link *l)
{
    attach(ch, l);
}

void chan_answered(struct rdma_chan *ch, const struct rdma_open *o)
{
    if (o->ring_bytes != ch->mirror.chan.ring_bytes) {
        chan_fail(ch, MIRROR_FAILED, "the peer's ring has another size");
        return;
    }
    ch->peer_addr = o->addr;
    ch->peer_rkey = o->rkey;
    ch->peer_slot = o->slot;
    ch->peer_word = o->word;
    ch->word_rkey = o->word_rkey;
    ch->is_answered = true;
    try_open(ch);
}

// ---- sending ----

// Without credits, bytes go without a message.
static void send_bytes(struct rdma_chan *ch, const struct link_write *w)
{
    struct mirror *m = &ch->mirror;
    bool loud = !ch->silent && link_can_write(ch->link);

    if (!loud && !ch->silent) {
        ch->silent = true;
        ch->link->n_silent++;
    }
    mirror_was_posted(m, w->bytes, !loud);
    if (loud)
        link_write(ch->link, w);
    else
        link_whisper(ch->link, w, m->posted, ch->peer_word, ch->word_rkey);
}

// Posts all published bytes. False: the device cannot take them now.
static bool push_bytes(struct rdma_chan *ch)
{
    struct mirror *m = &ch->mirror;
    uint32_t offset, n;

    while ((n = mirror_unposted(m, &offset))) {
        struct link_write w = {
            .from = m->chan.tx_ring + offset,
            .to = ch->peer_addr + offset,
            .bytes = n,
            .lkey = ch->tx_mr->lkey,
            .rkey = ch->peer_rkey,
            .slot = ch->peer_slot,
        };

        if (!link_can_whisper(ch->link))
            return false;
        send_bytes(ch, &w);
    }
    return true;
}

// The tail in the lines says it all.
static void end_silence(struct rdma_chan *ch)
{
    if (ch->silent)
        ch->link->n_silent--;
    ch->silent = false;
}

static bool push_lines(struct rdma_chan *ch, struct rdma_lines *l)
{
    struct rdma_note n = {.type = RDMA_NOTE_LINES, .slot = ch->peer_slot};

    if (!mirror_is_due(&ch->mirror, l))
        return true;
    if (!link_can_note(ch->link))
        return false;
    n.lines = *l;
    end_silence(ch);
    link_note(ch->link, &n);
    mirror_was_told(&ch->mirror, l);
    return true;
}

void chan_push(struct rdma_chan *ch)
{
    struct rdma_lines l;
    bool all;

    if (ch->state != MIRROR_OPEN || !ch->link)
        return;
    mirror_read(&ch->mirror, &l);
    if (ch->silent && link_can_write(ch->link))
        push_lines(ch, &l);
    all = push_bytes(ch) && push_lines(ch, &l);
    list_del(&ch->dirty);
    if (!all && ch->link->state == LINK_UP)
        list_add_tail(&lane.dirty, &ch->dirty);
}

// ---- loss ----

// Who has closed needs no link any more: all its bytes are here, and it reads none.
static bool needs_link(const struct rdma_chan *ch)
{
    return ch->state == MIRROR_OPEN && ch->mirror.peer_stage != RDMA_CLOSED;
}

void chans_link_lost(struct rdma_link *l)
{
    list_for_each (it, &lane.chans) {
        struct rdma_chan *ch = list_entry(it, struct rdma_chan, node);

        if (ch->link != l && !waits_for(ch, l))
            continue;
        if (ch->state == MIRROR_OPENING)
            chan_fail(ch, MIRROR_FAILED, l->why);
        else if (needs_link(ch))
            chan_lost(ch, l->why);
    }
}

void chan_lost(struct rdma_chan *ch, const char *why)
{
    list_del(&ch->dirty);
    ch->tell_loss = true;
    chan_fail(ch, MIRROR_LOST, why);
}

// By the control path: how far this side is, whenever that changes.
size_t chan_tell_lines(struct rdma_chan *ch, uint8_t *to)
{
    struct rdma_note n = {.type = RDMA_NOTE_LINES};

    mirror_read(&ch->mirror, &n.lines);
    if (!mirror_is_due(&ch->mirror, &n.lines) && !ch->tell_loss)
        return 0;
    ch->tell_loss = false;
    mirror_was_told(&ch->mirror, &n.lines);
    to[0] = RDMA_RELAY_LINES;
    return 1 + rdma_pack_note(to + 1, &n);
}

// ---- the end ----

#define UNANSWERED_NS (30 * NS_PER_S) // longer than any peer goes on opening

// May the peer not write into our ring any more?
static bool is_over(const struct rdma_chan *ch, uint64_t now_ns)
{
    if (!ch->link || ch->link->state == LINK_LOST || !ch->is_offered)
        return true;
    return ch->mirror.peer_stage == RDMA_CLOSED ||
           (!ch->is_answered && now_ns >= ch->deadline_ns + UNANSWERED_NS);
}

// A link that is lost keeps the device for itself while it has channels.
static void detach(struct rdma_chan *ch)
{
    list_del(&ch->dirty);
    deregister_rings(ch);
    if (!ch->link)
        return;
    end_silence(ch);
    if (link_chan(ch->link, ch->slot) == ch)
        link_del_chan(ch->link, ch->slot);
    ch->link = NULL;
}

static void chan_free(struct rdma_chan *ch)
{
    if (ch->state == MIRROR_OPENING)
        atomic_fetch_sub(&lane.opening, 1);
    list_del(&ch->node);
    detach(ch);
    lane.pinned_bytes -= 2 * (uint64_t)ch->mirror.chan.ring_bytes;
    free(ch);
}

void chans_advance(uint64_t now_ns)
{
    list_for_each_safe (it, &lane.chans) {
        struct rdma_chan *ch = list_entry(it, struct rdma_chan, node);

        if (ch->state == MIRROR_OPENING && now_ns >= ch->deadline_ns)
            chan_fail(ch, MIRROR_FAILED, "the peer did not open its side in time");
        if (ch->link && ch->link->state == LINK_LOST)
            detach(ch);
        if (ch->is_closed && is_over(ch, now_ns))
            chan_free(ch);
    }
}
