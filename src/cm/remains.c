// SPDX-License-Identifier: BSD-2-Clause
#include "cm/remains.h"

#include "base/chanmem.h"
#include "base/util.h"
#include "cm/record.h"
#include "lane/rdma/wire.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

_Static_assert(1 + RDMA_NOTE_BYTES <= sizeof((struct cm_remains){0}.last), "lines fit");

static void last_lines(struct cm_remains *rem, const struct chan_dir *tx, const struct chan_dir *rx)
{
    const struct rdma_note n = {
        .type = RDMA_NOTE_LINES,
        .lines = {.tail = tx->tail,
                  .head = rx->head,
                  .mark = tx->mark,
                  .epoch = tx->epoch,
                  .ack = rx->ack,
                  .hint = tx->hint,
                  .granted = tx->granted != 0,
                  .ready = rx->ready != 0,
                  .want = (uint8_t)rx->want,
                  .stage = RDMA_CLOSED},
    };

    rem->last[0] = RDMA_RELAY_LINES;
    rem->last_bytes = 1 + rdma_pack_note(rem->last + 1, &n);
}

int cm_remains_begin(struct cm_remains *rem, int memfd, int side, uint32_t ring_bytes)
{
    struct chan_shared shared;
    const struct chan_dir *tx = &shared.dir[side];

    *rem = (struct cm_remains){.memfd = memfd, .side = side, .ring_bytes = ring_bytes};
    if (pread(memfd, &shared, sizeof shared, 0) != sizeof shared)
        return -EPROTO;
    rem->tail = tx->tail;
    rem->at = tx->epoch & 1 ? tx->head : tx->mark;
    if (rem->tail - rem->at > (tx->epoch & 1 ? ring_bytes : 0))
        return -EPROTO;
    last_lines(rem, tx, &shared.dir[!side]);
    return 0;
}

// Bytes that lie in a row.
static size_t next_bytes(struct cm_remains *rem, uint8_t *to)
{
    uint64_t offset = rem->at & (rem->ring_bytes - 1);
    size_t head = rdma_pack_rest_head(to, rem->at);
    size_t n = MIN(rem->tail - rem->at, (uint64_t)(CM_RELAY_MAX_BYTES - head));
    off_t ring = CHAN_HDR_BYTES + (off_t)rem->side * rem->ring_bytes;

    n = MIN(n, rem->ring_bytes - offset);
    if (pread(rem->memfd, to + head, n, ring + (off_t)offset) != (ssize_t)n)
        return 0;
    rem->at += n;
    return head + n;
}

size_t cm_remains_next(struct cm_remains *rem, uint8_t *to)
{
    size_t n = rem->last_bytes;

    if (rem->at != rem->tail)
        return next_bytes(rem, to);
    memcpy(to, rem->last, n);
    rem->last_bytes = 0;
    return n;
}
