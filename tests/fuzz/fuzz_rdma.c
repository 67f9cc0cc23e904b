// SPDX-License-Identifier: BSD-2-Clause
// Whatever a peer of the lane rdma can say: messages in any order and of any content, to a channel
// whose user goes on using it. The user may find the peer out (-EPROTO), and must stay within the
// ring.
#include "fuzz.h"

#include "lane/rdma/mirror.h"

#include <string.h>
#include <sys/eventfd.h>

#define RING_BYTES 4096

static struct chan chan;
static struct mirror mirror;

static void map_once(void)
{
    static int bell = -1;
    int memfd;

    if (bell < 0) {
        bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        memfd = chan_create(RING_BYTES);
        must(!chan_map(&chan, memfd, 0, bell, bell));
    }
    memset(chan.shared->dir, 0, sizeof chan.shared->dir);
    mirror_init(&mirror, &chan);
}

static void others(const uint8_t *bytes, size_t n)
{
    struct rdma_endpoint e;
    struct rdma_hello h;
    struct rdma_open o;
    uint8_t again[RDMA_NOTE_BYTES];

    if (!rdma_parse_endpoint(bytes, n, &e))
        must(rdma_pack_endpoint(again, &e) == RDMA_ENDPOINT_BYTES &&
             !memcmp(bytes, again, RDMA_ENDPOINT_BYTES));
    if (!rdma_parse_hello(bytes, n, &h))
        must(rdma_pack_hello(again, &h) == RDMA_HELLO_BYTES);
    if (!rdma_parse_open(bytes, n, &o))
        must(rdma_pack_open(again, &o) == RDMA_OPEN_BYTES);
}

static void note(const uint8_t *bytes, size_t n)
{
    struct rdma_note got;
    struct rdma_rest rest;

    others(bytes, n);
    if (!rdma_parse_rest(bytes, n, &rest))
        mirror_take_rest(&mirror, &rest);
    if (rdma_parse_note(bytes, n, &got))
        return;
    if (got.type == RDMA_NOTE_LINES)
        mirror_take_lines(&mirror, &got.lines);
    else if (got.type == RDMA_NOTE_DATA && got.silent)
        mirror_take_tail(&mirror, got.bytes);
    else if (got.type == RDMA_NOTE_DATA)
        mirror_take_bytes(&mirror, got.bytes);
}

// The user of the channel. False: he has found the peer out.
static bool use(struct chan_tx *tx, struct chan_rx *rx, uint32_t n)
{
    int64_t room = chan_room(&chan, tx, n), avail = chan_avail(&chan, rx, n);

    if (room < 0 || avail < 0)
        return false;
    must(room <= RING_BYTES && avail <= RING_BYTES);
    chan_commit(&chan, tx, n < (uint64_t)room ? n : (uint64_t)room);
    chan_consumed(&chan, rx, n < (uint64_t)avail ? n : (uint64_t)avail);
    return true;
}

static void push(void)
{
    struct rdma_lines l;
    uint32_t offset, n;

    mirror_read(&mirror, &l);
    while ((n = mirror_unposted(&mirror, &offset))) {
        must(offset + n <= RING_BYTES);
        mirror_was_posted(&mirror, n, n & 1);
    }
    if (mirror_is_due(&mirror, &l))
        mirror_was_told(&mirror, &l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct chan_tx tx = {0};
    struct chan_rx rx = {0};
    bool well = true;

    map_once();
    while (in.left && well) {
        uint8_t n = input_u8(&in);

        n = n < in.left ? n : (uint8_t)in.left;
        note(in.p, n);
        in.p += n;
        in.left -= n;
        well = use(&tx, &rx, input_u16(&in) % (2 * RING_BYTES));
        push();
    }
    return 0;
}
