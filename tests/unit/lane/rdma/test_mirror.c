// SPDX-License-Identifier: BSD-2-Clause
// Two channels, each with a mirror, and a wire between them that takes messages in order but when
// it likes.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/util.h"
#include "chan/pump.h"
#include "cm/record.h"
#include "cm/remains.h"
#include "lane/rdma/mirror.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RING_BYTES 4096
#define WIRE_MOST  4096 // messages under way

struct message {
    bool is_note;
    uint32_t offset, bytes;
    uint8_t at[RING_BYTES];
};

struct end {
    struct chan chan;
    struct chan_tx tx;
    struct chan_rx rx;
    struct mirror mirror;
    int memfd, bell;
    struct message *wire[WIRE_MOST]; // to the other end
    uint32_t first, last;
};

struct pair {
    struct end end[2];
    unsigned rng;
};

static uint32_t chance(struct pair *p, uint32_t n)
{
    p->rng = p->rng * 1103515245 + 12345;
    return (p->rng >> 16) % n;
}

// The tests push by themselves.
static void ring(struct chan *c)
{
}

static struct pump pump = {.ring = ring};

static int set_up(void **state)
{
    struct pair *p = calloc(1, sizeof *p);

    for (int i = 0; i < 2; i++) {
        struct end *e = &p->end[i];

        e->memfd = chan_create(RING_BYTES);
        e->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        assert_int_equal(chan_map(&e->chan, e->memfd, i, e->bell, e->bell), 0);
        e->chan.pump = &pump;
        mirror_init(&e->mirror, &e->chan);
    }
    p->rng = 7;
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;

    for (int i = 0; i < 2; i++) {
        struct end *e = &p->end[i];

        while (e->first != e->last)
            free(e->wire[e->first++ % WIRE_MOST]);
        chan_unmap(&e->chan);
        close(e->bell);
        close(e->memfd);
    }
    free(p);
    return 0;
}

static struct message *post(struct end *e)
{
    struct message *m = calloc(1, sizeof *m);

    assert_true(e->last - e->first < WIRE_MOST);
    e->wire[e->last++ % WIRE_MOST] = m;
    return m;
}

// As the lane does it.
static void push(struct end *e)
{
    struct rdma_note note = {.type = RDMA_NOTE_LINES};
    struct message *m;
    uint32_t offset, n;

    mirror_read(&e->mirror, &note.lines);
    while ((n = mirror_unposted(&e->mirror, &offset))) {
        m = post(e);
        m->offset = offset;
        m->bytes = n;
        memcpy(m->at, e->chan.tx_ring + offset, n);
        mirror_was_posted(&e->mirror, n, false);
    }
    if (!mirror_is_due(&e->mirror, &note.lines))
        return;
    m = post(e);
    m->is_note = true;
    m->bytes = (uint32_t)rdma_pack_note(m->at, &note);
    mirror_was_told(&e->mirror, &note.lines);
}

// One message of e's arrives.
static void arrive(struct end *e, struct end *other)
{
    struct message *m;
    struct rdma_note note;

    if (e->first == e->last)
        return;
    m = e->wire[e->first++ % WIRE_MOST];
    if (m->is_note) {
        assert_int_equal(rdma_parse_note(m->at, m->bytes, &note), 0);
        mirror_take_lines(&other->mirror, &note.lines);
    } else {
        memcpy(other->chan.rx_ring + m->offset, m->at, m->bytes);
        mirror_take_bytes(&other->mirror, m->bytes);
    }
    free(m);
}

static void all_arrives(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        push(&p->end[i]);
        while (p->end[i].first != p->end[i].last)
            arrive(&p->end[i], &p->end[!i]);
    }
}

static uint8_t byte_at(uint64_t at, int sender)
{
    return (uint8_t)((uint32_t)at * 2654435761u >> 24) ^ (uint8_t)sender;
}

static void produce(struct pair *p, int side)
{
    struct end *e = &p->end[side];
    uint64_t n = 1 + chance(p, RING_BYTES);
    int64_t room = chan_room(&e->chan, &e->tx, n);

    assert_true(room >= 0);
    n = u64_min(n, (uint64_t)room);
    for (uint64_t i = 0; i < n; i++)
        chan_tx_at(&e->chan, &e->tx)[i] = byte_at(e->tx.tail + i, side);
    chan_commit(&e->chan, &e->tx, n);
}

static uint64_t consume(struct pair *p, int side)
{
    struct end *e = &p->end[side];
    uint64_t n = 1 + chance(p, RING_BYTES);
    int64_t avail = chan_avail(&e->chan, &e->rx, n);

    assert_true(avail >= 0);
    n = u64_min(n, (uint64_t)avail);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(chan_rx_at(&e->chan, &e->rx)[i], byte_at(e->rx.head + i, !side));
    if (n)
        chan_consumed(&e->chan, &e->rx, n);
    return n;
}

// ---- tests ----

static void test_bytes_arrive_in_any_interleaving(void **state)
{
    struct pair *p = *state;
    uint64_t got[2] = {0};

    for (int i = 0; i < 200000; i++) {
        int side = (int)chance(p, 2);

        switch (chance(p, 4)) {
        case 0:
            produce(p, side);
            break;
        case 1:
            push(&p->end[side]);
            break;
        case 2:
            arrive(&p->end[side], &p->end[!side]);
            break;
        default:
            got[side] += consume(p, side);
        }
    }
    assert_true(got[0] > 100 * RING_BYTES && got[1] > 100 * RING_BYTES);
}

// As shuntd says it, and the lane hears it.
static void die(struct end *e, int side, struct end *other)
{
    static uint8_t words[CM_RELAY_MAX_BYTES];
    struct cm_remains remains;
    struct rdma_note note = {0};
    struct rdma_rest rest;
    size_t n;

    assert_int_equal(cm_remains_begin(&remains, e->memfd, side, RING_BYTES), 0);
    while ((n = cm_remains_next(&remains, words))) {
        assert_int_not_equal(note.type, RDMA_NOTE_LINES);
        if (words[0] == RDMA_RELAY_REST) {
            assert_int_equal(rdma_parse_rest(words + 1, n - 1, &rest), 0);
            assert_int_equal(mirror_take_rest(&other->mirror, &rest), 0);
        } else {
            assert_int_equal(rdma_parse_note(words + 1, n - 1, &note), 0);
            assert_int_equal(note.lines.tail, other->mirror.came);
            mirror_take_lines(&other->mirror, &note.lines);
        }
    }
}

static void test_what_the_dead_had_published_arrives(void **state)
{
    struct pair *p = *state;

    chan_tx_move(&p->end[0].chan, &p->end[0].tx, 0);
    for (int i = 0; i < 20000; i++) {
        produce(p, 0);
        push(&p->end[0]);
        for (uint32_t n = chance(p, 4); n; n--)
            arrive(&p->end[0], &p->end[1]);
        consume(p, 1);
        push(&p->end[1]);
        arrive(&p->end[1], &p->end[0]);
        if (chance(p, 10))
            continue;
        die(&p->end[0], 0, &p->end[1]);
        while (consume(p, 1))
            ;
        assert_int_equal(p->end[1].rx.head, p->end[0].tx.tail);
        assert_int_equal(p->end[1].mirror.peer_stage, RDMA_CLOSED);
        while (p->end[0].first != p->end[0].last) // lives again
            free(p->end[0].wire[p->end[0].first++ % WIRE_MOST]);
    }
    assert_true(p->end[0].tx.tail > 100 * RING_BYTES);
}

static void test_a_rest_that_does_not_fit_is_refused(void **state)
{
    struct end *e = &((struct pair *)*state)->end[1];
    uint8_t bytes[RING_BYTES] = {0};
    struct rdma_rest gap = {1, bytes, 1}, old = {(uint64_t)-10, bytes, 10};
    struct rdma_rest much = {0, bytes, RING_BYTES};

    assert_int_equal(mirror_take_rest(&e->mirror, &gap), -EPROTO);
    assert_int_equal(mirror_take_rest(&e->mirror, &old), 0);
    assert_int_equal(e->mirror.came, 0);
    assert_int_equal(mirror_take_rest(&e->mirror, &much), 0);
    assert_int_equal(e->mirror.came, RING_BYTES);
    much.from = RING_BYTES;
    assert_int_equal(mirror_take_rest(&e->mirror, &much), -EPROTO);
}

// How far it came with them is not known.
static void test_the_dead_that_sent_again_says_nothing(void **state)
{
    struct end *e = &((struct pair *)*state)->end[0];
    struct cm_remains remains;

    chan_tx_move(&e->chan, &e->tx, 0);
    chan_commit(&e->chan, &e->tx, 100);
    chan_tx_move(&e->chan, &e->tx, 40);
    assert_int_equal(cm_remains_begin(&remains, e->memfd, 0, RING_BYTES), -EPROTO);
    atomic_store(&e->chan.tx->tail, 40);
    assert_int_equal(cm_remains_begin(&remains, e->memfd, 0, RING_BYTES), 0);
}

static void test_head_is_told_by_quarters(void **state)
{
    struct pair *p = *state;
    struct rdma_lines l;

    all_arrives(p);
    chan_commit(&p->end[0].chan, &p->end[0].tx, RING_BYTES);
    all_arrives(p);
    assert_int_equal(chan_avail(&p->end[1].chan, &p->end[1].rx, 1), RING_BYTES);
    chan_consumed(&p->end[1].chan, &p->end[1].rx, RING_BYTES / 4 - 1);
    mirror_read(&p->end[1].mirror, &l);
    assert_false(mirror_is_due(&p->end[1].mirror, &l));
    chan_consumed(&p->end[1].chan, &p->end[1].rx, 1);
    mirror_read(&p->end[1].mirror, &l);
    assert_true(mirror_is_due(&p->end[1].mirror, &l));
}

static void test_head_is_told_at_once_to_who_asks(void **state)
{
    struct pair *p = *state;
    struct rdma_lines l;

    chan_commit(&p->end[0].chan, &p->end[0].tx, 10);
    atomic_fetch_add(&p->end[0].chan.tx->hint, 1);
    all_arrives(p);
    assert_int_equal(chan_avail(&p->end[1].chan, &p->end[1].rx, 1), 10);
    chan_consumed(&p->end[1].chan, &p->end[1].rx, 10);
    mirror_read(&p->end[1].mirror, &l);
    assert_true(mirror_is_due(&p->end[1].mirror, &l));
    all_arrives(p);
    assert_int_equal(atomic_load(&p->end[0].chan.tx->head), 10);
    chan_commit(&p->end[0].chan, &p->end[0].tx, 10);
    all_arrives(p);
    chan_avail(&p->end[1].chan, &p->end[1].rx, 1);
    chan_consumed(&p->end[1].chan, &p->end[1].rx, 10);
    mirror_read(&p->end[1].mirror, &l);
    assert_false(mirror_is_due(&p->end[1].mirror, &l));
}

static void test_a_move_arrives_with_all_that_was_before(void **state)
{
    struct pair *p = *state;
    uint64_t mark;

    chan_tx_move(&p->end[0].chan, &p->end[0].tx, 1234);
    chan_commit(&p->end[0].chan, &p->end[0].tx, 100);
    all_arrives(p);
    assert_true(chan_rx_moved(&p->end[1].chan, &p->end[1].rx, &mark));
    assert_int_equal(mark, 1234);
    assert_int_equal(chan_avail(&p->end[1].chan, &p->end[1].rx, 1), 100);
    assert_false(chan_tx_acked(&p->end[0].chan, &p->end[0].tx));
    chan_rx_follow(&p->end[1].chan, &p->end[1].rx);
    all_arrives(p);
    assert_true(chan_tx_acked(&p->end[0].chan, &p->end[0].tx));
}

static void test_a_tail_taken_back_arrives(void **state)
{
    struct pair *p = *state;

    chan_commit(&p->end[0].chan, &p->end[0].tx, 100);
    all_arrives(p);
    p->end[0].tx.tail = 40;
    atomic_store(&p->end[0].chan.tx->tail, 40);
    all_arrives(p);
    assert_int_equal(atomic_load(&p->end[1].chan.rx->tail), 40);
    chan_commit(&p->end[0].chan, &p->end[0].tx, 2);
    all_arrives(p);
    assert_int_equal(atomic_load(&p->end[1].chan.rx->tail), 42);
}

static bool rings(struct end *e)
{
    struct pollfd f = {e->bell, POLLIN, 0};

    return poll(&f, 1, 0) == 1;
}

static void test_the_bell_rings_for_who_has_armed(void **state)
{
    struct pair *p = *state;

    chan_commit(&p->end[0].chan, &p->end[0].tx, 1);
    all_arrives(p);
    assert_false(rings(&p->end[1]));
    chan_arm(&p->end[1].chan, true, false);
    chan_commit(&p->end[0].chan, &p->end[0].tx, 1);
    all_arrives(p);
    assert_true(rings(&p->end[1]));
    assert_false(rings(&p->end[0]));
}

static void test_detached_memory_is_not_touched(void **state)
{
    struct pair *p = *state;
    struct chan_shared before;
    struct rdma_lines l = {.tail = 9, .epoch = 1, .stage = RDMA_CLOSED};

    chan_commit(&p->end[1].chan, &p->end[1].tx, 5);
    all_arrives(p);
    p->end[1].mirror.stage = RDMA_CLOSED;
    mirror_detach(&p->end[1].mirror);
    memcpy(&before, p->end[1].chan.shared, sizeof before);
    mirror_take_lines(&p->end[1].mirror, &l);
    mirror_take_bytes(&p->end[1].mirror, 3);
    assert_memory_equal(&before, p->end[1].chan.shared, sizeof before);
    assert_int_equal(p->end[1].mirror.peer_stage, RDMA_CLOSED);
    mirror_read(&p->end[1].mirror, &l);
    assert_int_equal(l.tail, 5);
    assert_int_equal(l.stage, RDMA_CLOSED);
}

static void test_messages_survive_packing(void **state)
{
    uint8_t bytes[RDMA_NOTE_BYTES];
    struct rdma_endpoint e = {{1, 2, 3}, 4791}, e2;
    struct rdma_hello h = {{1}, {2}, 77, 128}, h2;
    struct rdma_open o = {0x123456789abcdef0, 0xdeadbeef, RING_BYTES, 513, 99, 5}, o2;
    struct rdma_note n = {RDMA_NOTE_LINES, true, 7, 9, 0, {1, 2, 3, 4, 5, 6, 1, 0, 2, RDMA_FIN}},
                     n2 = {0};

    assert_int_equal(rdma_pack_endpoint(bytes, &e), RDMA_ENDPOINT_BYTES);
    assert_int_equal(rdma_parse_endpoint(bytes, RDMA_ENDPOINT_BYTES, &e2), 0);
    assert_memory_equal(&e, &e2, sizeof e);
    assert_int_equal(rdma_parse_endpoint(bytes, RDMA_ENDPOINT_BYTES - 1, &e2), -EPROTO);
    assert_int_equal(rdma_pack_hello(bytes, &h), RDMA_HELLO_BYTES);
    assert_int_equal(rdma_parse_hello(bytes, RDMA_HELLO_BYTES, &h2), 0);
    assert_int_equal(h2.channel_id, 77);
    assert_int_equal(rdma_pack_open(bytes, &o), RDMA_OPEN_BYTES);
    assert_int_equal(rdma_parse_open(bytes, RDMA_OPEN_BYTES, &o2), 0);
    assert_int_equal(o2.addr, o.addr);
    assert_int_equal(o2.rkey, o.rkey);
    assert_int_equal(o2.word, 99);
    bytes[0]++; // the version
    assert_int_equal(rdma_parse_open(bytes, RDMA_OPEN_BYTES, &o2), -EPROTO);
    assert_int_equal(rdma_pack_note(bytes, &n), 48);
    assert_int_equal(rdma_parse_note(bytes, 48, &n2), 0);
    assert_memory_equal(&n.lines, &n2.lines, sizeof n.lines);
    assert_int_equal(rdma_parse_note(bytes, 47, &n2), -EPROTO);
    bytes[47] = RDMA_CLOSED + 1; // the stage
    assert_int_equal(rdma_parse_note(bytes, 48, &n2), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes_arrive_in_any_interleaving, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_the_dead_had_published_arrives, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_rest_that_does_not_fit_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_dead_that_sent_again_says_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_head_is_told_by_quarters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_head_is_told_at_once_to_who_asks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_move_arrives_with_all_that_was_before, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_tail_taken_back_arrives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_bell_rings_for_who_has_armed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_detached_memory_is_not_touched, set_up, tear_down),
        cmocka_unit_test(test_messages_survive_packing),
    };

    return cmocka_run_group_tests_name("lane/rdma/mirror", tests, NULL, NULL);
}
