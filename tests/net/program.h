// SPDX-License-Identifier: BSD-2-Clause
// A socket's rings as a program uses them, through the stack's own mapping of the arena.
#ifndef TESTS_NET_PROGRAM_H
#define TESTS_NET_PROGRAM_H

#include "base/clock.h"
#include "base/ring.h"
#include "base/util.h"
#include "net/net.h"

// dir 0: what the program sends; 1: what it receives.
static inline struct ring program_ring(struct net *n, uint32_t sock, int dir)
{
    struct chan_shared *ch = net_channel_at(n, sock);

    return (struct ring){(uint8_t *)ch + CHAN_HDR_BYTES + (dir ? ch->ring_bytes : 0),
                         ch->ring_bytes - 1, &ch->dir[dir].tail, &ch->dir[dir].head};
}

// Bytes that were there to be written or read now: 0 to len.
static inline uint32_t program_write(struct net *n, uint32_t sock, const void *data, uint32_t len)
{
    struct ring r = program_ring(n, sock, 0);
    uint64_t at = *r.head;

    len = (uint32_t)MIN(len, ring_space(&r, at));
    ring_write(&r, at, data, len);
    ring_publish_head(&r, at + len);
    if (len)
        net_poke(n, clock_now_ns(), sock);
    return len;
}

static inline uint32_t program_read(struct net *n, uint32_t sock, void *data, uint32_t len)
{
    struct ring r = program_ring(n, sock, 1);
    uint64_t at = *r.tail;

    len = (uint32_t)MIN(len, ring_ready(&r, at));
    ring_read(&r, at, data, len);
    ring_publish_tail(&r, at + len);
    if (len)
        net_poke(n, clock_now_ns(), sock);
    return len;
}

#endif
