// SPDX-License-Identifier: BSD-2-Clause
#include "link.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "wire/csum.h"
#include "wire/segment.h"

void link_init(struct link *l, const struct link_config *cfg, struct rng *rng)
{
    *l = (struct link){.cfg = *cfg, .rng = rng};
    list_init(&l->flight);
}

void link_fini(struct link *l)
{
    list_for_each_safe (it, &l->flight)
        free(list_entry(it, struct link_packet, node));
    list_init(&l->flight);
}

static struct link_packet *copy_of(const void *packet, size_t len)
{
    struct link_packet *p = malloc(sizeof(*p) + len);

    if (!p)
        abort();
    p->len = len;
    memcpy(p->bytes, packet, len);
    return p;
}

static void insert(struct link *l, struct link_packet *p, uint64_t arrival_ns)
{
    struct list *at = &l->flight;

    // behind all that arrive no later
    while (at->prev != &l->flight &&
           list_entry(at->prev, struct link_packet, node)->arrival_ns > arrival_ns)
        at = at->prev;
    p->arrival_ns = arrival_ns;
    list_add_tail(at, &p->node);
}

// Sets the CE mark of an ECN-capable packet, and mends the checksum of an IPv4 header.
static void mark_ce(struct link_packet *p)
{
    uint16_t check;

    if (p->bytes[0] >> 4 != 4 || !(p->bytes[1] & 3))
        return;
    p->bytes[1] |= IP_ECN_CE;
    memset(p->bytes + 10, 0, 2);
    check = (uint16_t)~csum(p->bytes, 20);
    memcpy(p->bytes + 10, &check, 2);
}

static void corrupt(struct link *l, struct link_packet *p)
{
    uint64_t bit = rng_below(l->rng, p->len * 8);

    p->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

// When a packet of that length arrives, or CLOCK_NEVER where the queue has no room for it.
static uint64_t arrival(struct link *l, uint64_t now_ns, size_t len, uint64_t *queued_bytes)
{
    const struct link_config *c = &l->cfg;
    uint64_t start = MAX(now_ns, l->free_at_ns);

    *queued_bytes = 0;
    if (!c->rate)
        return now_ns + c->delay_ns;
    *queued_bytes = (start - now_ns) * c->rate / NS_PER_S;
    if (c->queue_bytes && *queued_bytes + len > c->queue_bytes)
        return CLOCK_NEVER;
    l->free_at_ns = start + len * NS_PER_S / c->rate;
    return l->free_at_ns + c->delay_ns;
}

void link_send(struct link *l, uint64_t now_ns, const void *packet, size_t len)
{
    const struct link_config *c = &l->cfg;
    struct link_packet *p;
    uint64_t queued, at = arrival(l, now_ns, len, &queued);

    l->sent++;
    if (at == CLOCK_NEVER || rng_chance(l->rng, c->loss_ppm)) {
        l->lost++;
        return;
    }
    p = copy_of(packet, len);
    if (c->mark_bytes && queued > c->mark_bytes)
        mark_ce(p);
    if (rng_chance(l->rng, c->corrupt_ppm))
        corrupt(l, p);
    if (rng_chance(l->rng, c->duplicate_ppm))
        insert(l, copy_of(p->bytes, len), at + rng_below(l->rng, NS_PER_MS));
    if (rng_chance(l->rng, c->reorder_ppm))
        at += rng_below(l->rng, c->reorder_ns);
    insert(l, p, at);
}

uint64_t link_next(const struct link *l)
{
    if (list_empty(&l->flight))
        return CLOCK_NEVER;
    return list_entry(l->flight.next, struct link_packet, node)->arrival_ns;
}

struct link_packet *link_receive(struct link *l, uint64_t now_ns)
{
    struct link_packet *p;

    if (link_next(l) > now_ns)
        return NULL;
    p = list_entry(l->flight.next, struct link_packet, node);
    list_del(&p->node);
    l->delivered++;
    return p;
}
