// SPDX-License-Identifier: BSD-2-Clause
#include "lane/rdma/mirror.h"

#include "base/sys.h"
#include "base/util.h"

#include <errno.h>
#include <string.h>

void mirror_init(struct mirror *m, const struct chan *chan)
{
    *m = (struct mirror){.chan = *chan};
    // the peer seems to sleep, always: so chan_ring_peer() is called for all that is published
    atomic_store(&m->chan.tx->rx_wait, 1);
    atomic_store(&m->chan.rx->tx_wait, 1);
}

// The peer's producer seems to sleep only while it could matter how far its bytes are consumed, or
// that we follow it: whoever finds the ring empty need not ring then.
static void mind_consumer(struct mirror *m)
{
    struct chan_dir *rx = m->chan.rx;

    if (!m->detached)
        atomic_store(&rx->tx_wait, m->eager || atomic_load(&rx->want) ||
                                       m->came - m->told.head >= m->chan.ring_bytes / 4 ||
                                       atomic_load(&rx->epoch) != m->told.ack);
}

// ---- outwards ----

// What rests upon others is read first: a grant upon the epoch, a wish and an acknowledgement upon
// the head, an epoch upon its mark.
void mirror_read(const struct mirror *m, struct rdma_lines *l)
{
    struct chan_dir *tx = m->chan.tx, *rx = m->chan.rx;

    if (m->detached) {
        *l = m->last;
        return;
    }
    l->granted = atomic_load(&tx->granted) != 0;
    l->want = (uint8_t)atomic_load(&rx->want);
    l->ack = atomic_load(&rx->ack);
    l->ready = atomic_load(&rx->ready) != 0;
    l->hint = atomic_load(&tx->hint);
    l->epoch = atomic_load(&tx->epoch);
    l->mark = atomic_load(&tx->mark);
    l->head = atomic_load(&rx->head);
    l->stage = m->stage;
    l->tail = m->posted;
}

// The tail goes back only when the carrier has sent again what lay behind it.
uint32_t mirror_unposted(struct mirror *m, uint32_t *offset)
{
    uint64_t tail = m->detached ? m->posted : atomic_load(&m->chan.tx->tail);

    if ((int64_t)(tail - m->posted) < 0)
        m->posted = tail;
    *offset = (uint32_t)(m->posted & (m->chan.ring_bytes - 1));
    return (uint32_t)u64_min(tail - m->posted, m->chan.ring_bytes - *offset);
}

void mirror_was_posted(struct mirror *m, uint32_t bytes, bool quietly)
{
    m->posted += bytes;
    if (!quietly)
        m->told.tail += bytes;
}

// Must consumed bytes be told though they are few?
static bool is_eager(const struct mirror *m, const struct rdma_lines *l)
{
    return (m->eager || l->want) && l->head != m->told.head;
}

bool mirror_is_due(const struct mirror *m, struct rdma_lines *l)
{
    const struct rdma_lines *t = &m->told;

    l->tail = m->posted;
    return l->tail != t->tail || is_eager(m, l) || l->head - t->head >= m->chan.ring_bytes / 4 ||
           l->epoch != t->epoch || l->mark != t->mark || l->ack != t->ack || l->hint != t->hint ||
           l->granted != t->granted || l->ready != t->ready || l->want != t->want ||
           l->stage != t->stage;
}

void mirror_was_told(struct mirror *m, const struct rdma_lines *l)
{
    m->told = *l;
    if (l->head == m->came)
        m->eager = false;
    mind_consumer(m);
}

void mirror_detach(struct mirror *m)
{
    mirror_read(m, &m->last);
    m->detached = true;
}

// ---- inwards ----

// As chan_ring_peer() does it on the other side of shared memory.
void mirror_wake(struct mirror *m, bool at_once)
{
    static const uint64_t one = 1;
    struct chan *c = &m->chan;

    if (m->detached)
        return;
    atomic_thread_fence(memory_order_seq_cst);
    if (!at_once && !atomic_load_explicit(&c->rx->rx_wait, memory_order_relaxed) &&
        !atomic_load_explicit(&c->tx->tx_wait, memory_order_relaxed))
        return;
    atomic_store(&c->rx->rx_wait, 0);
    atomic_store(&c->tx->tx_wait, 0);
    sys_write(c->bell, &one, sizeof one);
}

void mirror_take_bytes(struct mirror *m, uint32_t bytes)
{
    m->came += bytes;
    if (m->detached)
        return;
    mind_consumer(m);
    atomic_store(&m->chan.rx->tail, m->came);
    mirror_wake(m, false);
}

void mirror_take_tail(struct mirror *m, uint64_t tail)
{
    if ((int64_t)(tail - m->came) > 0)
        mirror_take_bytes(m, (uint32_t)(tail - m->came));
}

int mirror_take_rest(struct mirror *m, const struct rdma_rest *r)
{
    const struct chan *c = &m->chan;
    uint64_t here = m->came - r->from, used;
    size_t n;

    if (m->detached)
        return 0;
    if (here > c->ring_bytes)
        return -EPROTO;
    if (here >= r->len)
        return 0;
    n = r->len - here;
    used = m->came - atomic_load(&c->rx->head);
    if (used > c->ring_bytes || n > c->ring_bytes - used)
        return -EPROTO;
    memcpy(c->rx_ring + (m->came & (c->ring_bytes - 1)), r->bytes + here, n);
    mirror_take_bytes(m, (uint32_t)n);
    return 0;
}

static void take_header(struct mirror *m, const struct rdma_lines *l)
{
    struct chan_dir *tx = m->chan.tx, *rx = m->chan.rx;

    m->eager |= l->hint != atomic_load(&rx->hint);
    atomic_store(&rx->tx_wait, 1);
    atomic_store(&rx->tail, l->tail);
    atomic_store(&tx->head, l->head);
    atomic_store(&rx->mark, l->mark);
    atomic_store(&rx->epoch, l->epoch);
    atomic_store(&rx->hint, l->hint);
    atomic_store(&tx->ready, l->ready);
    atomic_store(&tx->ack, l->ack);
    atomic_store(&tx->want, l->want);
    atomic_store(&rx->granted, l->granted);
    mind_consumer(m);
}

void mirror_take_lines(struct mirror *m, const struct rdma_lines *l)
{
    m->came = l->tail;
    if (!m->detached)
        take_header(m, l);
    // last of all: who sees it looks at the others
    if (l->stage > atomic_load(&m->peer_stage))
        atomic_store(&m->peer_stage, l->stage);
    mirror_wake(m, false);
}
