// SPDX-License-Identifier: BSD-2-Clause
#include "lane/rdma/wire.h"

#include "chan/chan.h"

#include <errno.h>
#include <string.h>

// A place in a message; reads and writes move it on.
struct at {
    uint8_t *to;
    const uint8_t *from;
};

static void put(struct at *a, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *a->to++ = (uint8_t)(value >> 8 * i);
}

static uint64_t get(struct at *a, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)*a->from++ << 8 * i;
    return value;
}

static void put_bytes(struct at *a, const void *bytes, size_t n)
{
    memcpy(a->to, bytes, n);
    a->to += n;
}

static void get_bytes(struct at *a, void *bytes, size_t n)
{
    memcpy(bytes, a->from, n);
    a->from += n;
}

// ---- endpoint: version, 0, port, token ----

size_t rdma_pack_endpoint(uint8_t *to, const struct rdma_endpoint *e)
{
    struct at a = {.to = to};

    put(&a, RDMA_VERSION, 2);
    put(&a, e->port, 2);
    put_bytes(&a, e->token, sizeof e->token);
    return (size_t)(a.to - to);
}

int rdma_parse_endpoint(const uint8_t *from, size_t len, struct rdma_endpoint *e)
{
    struct at a = {.from = from};

    if (len < RDMA_ENDPOINT_BYTES || get(&a, 2) != RDMA_VERSION)
        return -EPROTO;
    e->port = (uint16_t)get(&a, 2);
    get_bytes(&a, e->token, sizeof e->token);
    return e->port ? 0 : -EPROTO;
}

// ---- hello: version, credits, 4 x 0, channel id, from, to ----

size_t rdma_pack_hello(uint8_t *to, const struct rdma_hello *h)
{
    struct at a = {.to = to};

    put(&a, RDMA_VERSION, 2);
    put(&a, h->credits, 2);
    put(&a, 0, 4);
    put(&a, h->channel_id, 8);
    put_bytes(&a, h->from, sizeof h->from);
    put_bytes(&a, h->to, sizeof h->to);
    return (size_t)(a.to - to);
}

int rdma_parse_hello(const uint8_t *from, size_t len, struct rdma_hello *h)
{
    struct at a = {.from = from};

    if (len < RDMA_HELLO_BYTES || get(&a, 2) != RDMA_VERSION)
        return -EPROTO;
    h->credits = (uint16_t)get(&a, 2);
    get(&a, 4);
    h->channel_id = get(&a, 8);
    get_bytes(&a, h->from, sizeof h->from);
    get_bytes(&a, h->to, sizeof h->to);
    return 0;
}

// ---- open: version, slot, ring bytes, address, rkey, word's rkey, word, 8 x 0 ----

size_t rdma_pack_open(uint8_t *to, const struct rdma_open *o)
{
    struct at a = {.to = to};

    put(&a, RDMA_VERSION, 2);
    put(&a, o->slot, 2);
    put(&a, o->ring_bytes, 4);
    put(&a, o->addr, 8);
    put(&a, o->rkey, 4);
    put(&a, o->word_rkey, 4);
    put(&a, o->word, 8);
    put(&a, 0, 8);
    return (size_t)(a.to - to);
}

int rdma_parse_open(const uint8_t *from, size_t len, struct rdma_open *o)
{
    struct at a = {.from = from};

    if (len < RDMA_OPEN_BYTES || get(&a, 2) != RDMA_VERSION)
        return -EPROTO;
    o->slot = (uint16_t)get(&a, 2);
    o->ring_bytes = (uint32_t)get(&a, 4);
    o->addr = get(&a, 8);
    o->rkey = (uint32_t)get(&a, 4);
    o->word_rkey = (uint32_t)get(&a, 4);
    o->word = get(&a, 8);
    return 0;
}

// ---- notes: type, silent, slot, credits, 2 x 0; then what the type says ----

#define NOTE_HEAD_BYTES  8
#define NOTE_DATA_BYTES  (NOTE_HEAD_BYTES + 4)
#define NOTE_LINES_BYTES (NOTE_HEAD_BYTES + 40)

_Static_assert(NOTE_LINES_BYTES <= RDMA_NOTE_BYTES, "a note fits its buffer");

static void put_lines(struct at *a, const struct rdma_lines *l)
{
    put(a, l->tail, 8);
    put(a, l->head, 8);
    put(a, l->mark, 8);
    put(a, l->epoch, 4);
    put(a, l->ack, 4);
    put(a, l->hint, 4);
    put(a, l->granted, 1);
    put(a, l->ready, 1);
    put(a, l->want, 1);
    put(a, l->stage, 1);
}

static int get_lines(struct at *a, struct rdma_lines *l)
{
    l->tail = get(a, 8);
    l->head = get(a, 8);
    l->mark = get(a, 8);
    l->epoch = (uint32_t)get(a, 4);
    l->ack = (uint32_t)get(a, 4);
    l->hint = (uint32_t)get(a, 4);
    l->granted = get(a, 1) != 0;
    l->ready = get(a, 1) != 0;
    l->want = (uint8_t)get(a, 1);
    l->stage = (uint8_t)get(a, 1);
    return l->want <= (CHAN_WANT_AGAIN | CHAN_WANT_ANEW) && l->stage <= RDMA_CLOSED ? 0 : -EPROTO;
}

size_t rdma_pack_note(uint8_t *to, const struct rdma_note *n)
{
    struct at a = {.to = to};

    put(&a, n->type, 1);
    put(&a, n->silent, 1);
    put(&a, n->slot, 2);
    put(&a, n->credits, 2);
    put(&a, 0, 2);
    if (n->type == RDMA_NOTE_DATA)
        put(&a, n->bytes, 4);
    if (n->type == RDMA_NOTE_LINES)
        put_lines(&a, &n->lines);
    return (size_t)(a.to - to);
}

int rdma_parse_note(const uint8_t *from, size_t len, struct rdma_note *n)
{
    struct at a = {.from = from};

    if (len < NOTE_HEAD_BYTES)
        return -EPROTO;
    n->type = (uint8_t)get(&a, 1);
    n->silent = get(&a, 1) != 0;
    n->slot = (uint16_t)get(&a, 2);
    n->credits = (uint16_t)get(&a, 2);
    get(&a, 2);
    switch (n->type) {
    case RDMA_NOTE_CREDITS:
        return 0;
    case RDMA_NOTE_DATA:
        if (len < NOTE_DATA_BYTES)
            return -EPROTO;
        n->bytes = (uint32_t)get(&a, 4);
        return 0;
    case RDMA_NOTE_LINES:
        return len < NOTE_LINES_BYTES ? -EPROTO : get_lines(&a, &n->lines);
    default:
        return -EPROTO;
    }
}

// ---- what a dead process leaves: type, position; then bytes ----

size_t rdma_pack_rest_head(uint8_t *to, uint64_t from)
{
    struct at a = {.to = to};

    put(&a, RDMA_RELAY_REST, 1);
    put(&a, from, 8);
    return (size_t)(a.to - to);
}

int rdma_parse_rest(const uint8_t *bytes, size_t len, struct rdma_rest *r)
{
    struct at a = {.from = bytes};

    if (len < RDMA_REST_HEAD_BYTES - 1)
        return -EPROTO;
    r->from = get(&a, 8);
    r->bytes = a.from;
    r->len = len - (RDMA_REST_HEAD_BYTES - 1);
    return 0;
}
