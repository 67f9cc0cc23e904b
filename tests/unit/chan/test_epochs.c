// SPDX-License-Identifier: BSD-2-Clause
// Every interleaving of a producer that sends bytes and moves between carrier and ring as often as
// it may, a carrier that delivers late, and a consumer that reads as the socket layer does (all
// that the carrier has; follows a move once it has reached the mark). Explored state by state with
// the real chan.c until no new state is found: the consumer must see 1, 2, 3, ... in order and,
// when everybody is done, all of it.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "chan/chan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BYTES 5 // sent in all
#define MOVES 5 // most moves of the producer
#define TABLE (1 << 20)

// All that tells one state from another; small enough to be compared as bytes.
struct state {
    uint8_t sent, seen;              // by the producer, by the consumer
    uint8_t flight[BYTES], n_flight; // in the carrier, not delivered
    uint8_t queue[BYTES], n_queue;   // delivered, not read
    uint8_t written, read;           // bytes put into and taken from the carrier
    uint8_t ring[8];                 // ring content
    uint8_t tail, head, tx_epoch, rx_epoch, mark;
    uint8_t again_from, again_to; // ring bytes that the carrier must carry again
    uint8_t want, held;
};

static struct chan a, b;
static struct chan_tx tx;
static struct chan_rx rx;
static struct state *table;
static uint8_t *taken;
static size_t states, ends, switched, returned_again;

static void load(const struct state *s)
{
    struct chan_dir *d = a.tx;

    memcpy(a.tx_ring, s->ring, sizeof s->ring);
    atomic_store(&d->tail, s->tail);
    atomic_store(&d->head, s->head);
    atomic_store(&d->epoch, s->tx_epoch);
    atomic_store(&d->ack, s->rx_epoch);
    atomic_store(&d->mark, s->mark);
    atomic_store(&d->want, s->want);
    tx.tail = s->tail;
    tx.head = rx.head = s->head;
    rx.tail = s->head;
    tx.epoch = s->tx_epoch;
    rx.epoch = s->rx_epoch;
}

static void save(struct state *s)
{
    memcpy(s->ring, a.tx_ring, sizeof s->ring);
    s->tail = (uint8_t)tx.tail;
    s->head = (uint8_t)rx.head;
    s->tx_epoch = (uint8_t)tx.epoch;
    s->rx_epoch = (uint8_t)rx.epoch;
    s->mark = (uint8_t)atomic_load(&a.tx->mark);
    s->want = (uint8_t)atomic_load(&a.tx->want);
}

// ---- what can happen; each returns false when it cannot happen now ----

static void to_carrier(struct state *s, uint8_t byte)
{
    s->flight[s->n_flight++] = byte;
    s->written++;
}

static bool send_byte(struct state *s)
{
    if (s->sent == BYTES || s->again_from != s->again_to)
        return false;
    s->sent++;
    if (tx.epoch & 1) {
        *chan_tx_at(&a, &tx) = s->sent;
        chan_commit(&a, &tx, 1);
    } else {
        to_carrier(s, s->sent);
    }
    return true;
}

static bool send_again(struct state *s)
{
    if (s->again_from == s->again_to)
        return false;
    to_carrier(s, a.tx_ring[s->again_from++]);
    if (s->again_from == s->again_to) {
        tx.tail = tx.head;
        atomic_store(&a.tx->tail, tx.tail);
    }
    return true;
}

static bool move_to_ring(struct state *s)
{
    if ((tx.epoch & 1) || tx.epoch >= MOVES || !chan_tx_acked(&a, &tx) ||
        s->again_from != s->again_to || chan_wanted(&a))
        return false;
    chan_tx_move(&a, &tx, s->written);
    switched++;
    return true;
}

static bool move_to_carrier(struct state *s)
{
    if (!(tx.epoch & 1) || !chan_tx_acked(&a, &tx) || chan_wanted(&a) == CHAN_WANT_AGAIN)
        return false;
    chan_tx_move(&a, &tx, tx.tail);
    return true;
}

static bool grant_again(struct state *s)
{
    if (!(tx.epoch & 1) || !chan_tx_acked(&a, &tx) || chan_wanted(&a) != CHAN_WANT_AGAIN)
        return false;
    if (chan_room(&a, &tx, UINT64_MAX) < 0)
        return false;
    s->again_from = (uint8_t)tx.head;
    s->again_to = (uint8_t)tx.tail;
    chan_tx_move(&a, &tx, tx.head);
    if (s->again_from != s->again_to)
        returned_again++;
    return true;
}

static bool deliver(struct state *s)
{
    if (!s->n_flight)
        return false;
    s->queue[s->n_queue++] = s->flight[0];
    memmove(s->flight, s->flight + 1, --s->n_flight);
    s->flight[s->n_flight] = 0;
    return true;
}

static void see(struct state *s, uint8_t byte)
{
    if (byte != s->seen + 1)
        fail_msg("byte %d after %d", byte, s->seen);
    s->seen = byte;
}

static bool follow(struct state *s)
{
    uint64_t mark;

    if (!chan_rx_moved(&b, &rx, &mark))
        return false;
    if ((rx.epoch & 1) && s->held && rx.head != mark) {
        s->held = 0; // it had moved of its own accord before it saw the wish
        return true;
    }
    if ((rx.epoch & 1) ? rx.head != mark : s->read != mark)
        return false;
    if (rx.epoch & 1) {
        rx.tail = rx.head;
        s->held = 0;
    }
    chan_rx_follow(&b, &rx);
    return true;
}

static bool read_some(struct state *s)
{
    if (rx.epoch & 1) {
        if (s->held || chan_avail(&b, &rx, 1) <= 0)
            return follow(s);
        see(s, *chan_rx_at(&b, &rx));
        chan_consumed(&b, &rx, 1);
        return true;
    }
    if (!s->n_queue)
        return follow(s);
    for (int i = 0; i < s->n_queue; i++) // a large read takes all that is there
        see(s, s->queue[i]);
    s->read += s->n_queue;
    memset(s->queue, 0, sizeof s->queue);
    s->n_queue = 0;
    return true;
}

static bool ask_again(struct state *s)
{
    if (!(rx.epoch & 1) || s->held || chan_wanted(&a))
        return false;
    s->held = 1;
    chan_ask(&b, CHAN_WANT_AGAIN);
    return true;
}

static bool (*const events[])(struct state *) = {
    send_byte,   send_again, move_to_ring, move_to_carrier,
    grant_again, deliver,    read_some,    ask_again,
};

// ---- exploration ----

static bool known(const struct state *s)
{
    const uint8_t *at = (const uint8_t *)s;
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < sizeof *s; i++)
        h = (h ^ at[i]) * 1099511628211u;
    for (h %= TABLE; taken[h]; h = (h + 1) % TABLE)
        if (!memcmp(&table[h], s, sizeof *s))
            return true;
    taken[h] = 1;
    table[h] = *s;
    assert_true(++states < TABLE / 2);
    return false;
}

static void explore(struct state s)
{
    bool stuck = true;

    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        struct state next = s;

        load(&s);
        if (!events[i](&next))
            continue;
        save(&next);
        stuck = false;
        if (!known(&next))
            explore(next);
    }
    if (stuck) {
        ends++;
        if (s.seen != BYTES) // nothing more can happen: all must have been seen
            fail_msg(
                "stuck: sent %d seen %d, epochs %d %d, ring %d to %d, mark %d, held %d, want %d",
                s.sent, s.seen, s.tx_epoch, s.rx_epoch, s.head, s.tail, s.mark, s.held, s.want);
    }
}

static void test_every_interleaving(void **state)
{
    struct state start = {0};
    int fd = chan_create(4096), bell = eventfd(0, EFD_NONBLOCK);

    table = calloc(TABLE, sizeof *table);
    taken = calloc(TABLE, 1);
    assert_int_equal(chan_map(&a, fd, 0, bell, bell), 0);
    assert_int_equal(chan_map(&b, fd, 1, bell, bell), 0);
    close(fd);
    explore(start);
    printf("# %zu states, %zu ends, %zu moves to the ring, %zu returns with bytes sent again\n",
           states, ends, switched, returned_again);
    assert_true(states > 1000 && ends > 0 && switched > 0 && returned_again > 0);
    chan_unmap(&a);
    chan_unmap(&b);
    close(bell);
    free(table);
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_interleaving)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
