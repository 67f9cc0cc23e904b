// SPDX-License-Identifier: BSD-2-Clause
// The bad link, on loop queues and in virtual time.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "queue/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "queue/loop.h"

#define FRAMES 20000
#define BYTES  300

struct link {
    struct queue *bad, *good; // the two ends
    struct queue_grant grant; // of bad, for another driver
    uint64_t now_ns;
    uint32_t came[FRAMES]; // how often each frame came, whole
    uint32_t damaged, disordered, last;
};

static struct link *link_new(const struct fault_options *options)
{
    struct link *l = calloc(1, sizeof(*l));
    struct queue_grant ends[2], outer;

    assert_int_equal(loop_open(ends, &(struct loop_options){0}), 0);
    assert_int_equal(fault_grant(&outer, &ends[0], options), 0);
    assert_int_equal(queue_grant_dup(&l->grant, &outer), 0);
    assert_int_equal(queue_attach(&l->bad, &outer), 0);
    assert_int_equal(queue_attach(&l->good, &ends[1]), 0);
    queue_grant_close(&ends[0]);
    l->now_ns = NS_PER_S;
    return l;
}

static void link_free(struct link *l)
{
    queue_detach(l->bad);
    queue_detach(l->good);
    queue_grant_close(&l->grant);
    free(l);
}

static uint8_t byte_of(uint32_t number, uint32_t i)
{
    return (uint8_t)((number ^ number >> 8 ^ number >> 16 ^ number >> 24) * 7 + i * 13);
}

// Frame `number`: Ethernet's head, the number, then bytes that depend on it.
static int send_number(struct link *l, struct queue *q, uint32_t number)
{
    uint8_t bytes[BYTES] = {0};
    struct queue_out out = {.head = bytes, .head_bytes = QUEUE_HEAD_MAX, .payload_count = 1};
    struct iovec payload = {bytes + QUEUE_HEAD_MAX, BYTES - QUEUE_HEAD_MAX};
    int err;

    memcpy(bytes + 14, &number, 4);
    for (uint32_t i = 18; i < BYTES; i++)
        bytes[i] = byte_of(number, i);
    out.payload = &payload;
    err = queue_tx(q, &out, l->now_ns);
    queue_kick(q, l->now_ns);
    return err;
}

static void note(struct link *l, const uint8_t *bytes)
{
    uint32_t number, wrong = 0;

    memcpy(&number, bytes + 14, 4);
    for (uint32_t i = 18; i < BYTES; i++)
        wrong += bytes[i] != byte_of(number, i);
    if (number >= FRAMES || wrong) {
        l->damaged++;
        return;
    }
    l->came[number]++;
    l->disordered += number < l->last;
    l->last = MAX(number, l->last);
}

static int take(struct link *l, struct queue *q)
{
    struct queue_frame frames[8];
    int n = queue_rx(q, frames, 8, l->now_ns);

    for (int i = 0; i < n; i++) {
        uint8_t bytes[BYTES];

        assert_int_equal(queue_frame_copy(q, &frames[i], 0, bytes, sizeof(bytes)), BYTES);
        note(l, bytes);
    }
    queue_release(q, MAX(n, 0));
    return n;
}

// Sends all frames, 1 us apart, and takes what comes, until nothing is held.
static void run(struct link *l, enum fault_way way)
{
    struct queue *from = way == FAULT_TX ? l->bad : l->good;
    struct queue *to = way == FAULT_TX ? l->good : l->bad;

    for (uint32_t i = 0; i < FRAMES; i++) {
        assert_int_equal(send_number(l, from, i), 0);
        l->now_ns += NS_PER_US;
        take(l, to);
    }
    while (queue_deadline(l->bad) != CLOCK_NEVER) {
        assert_true(queue_deadline(l->bad) <= l->now_ns + NS_PER_S);
        l->now_ns = MAX(l->now_ns, queue_deadline(l->bad));
        queue_kick(l->bad, l->now_ns);
        while (take(l, to) > 0)
            ;
    }
}

static uint32_t came(const struct link *l, uint32_t times)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < FRAMES; i++)
        n += l->came[i] == times;
    return n;
}

static void near(uint64_t n, uint64_t expected)
{
    assert_in_range(n, expected * 8 / 10, expected * 12 / 10);
}

static void both_ways(const struct fault_rates *rates, void (*check)(struct link *, enum fault_way))
{
    for (enum fault_way way = FAULT_RX; way < FAULT_WAYS; way++) {
        struct fault_options options = {.seed = 42};
        struct link *l;

        options.way[way] = *rates;
        l = link_new(&options);
        run(l, way);
        check(l, way);
        link_free(l);
    }
}

static void check_nothing(struct link *l, enum fault_way way)
{
    assert_int_equal(came(l, 1), FRAMES);
    assert_int_equal(l->disordered, 0);
}

static void test_no_fault(void **state)
{
    both_ways(&(struct fault_rates){0}, check_nothing);
}

static void check_drop(struct link *l, enum fault_way way)
{
    struct fault_counts counts;

    fault_counts(l->bad, way, &counts);
    near(counts.dropped, FRAMES / 20);
    assert_int_equal(came(l, 0), counts.dropped);
    assert_int_equal(came(l, 1), FRAMES - counts.dropped);
    assert_int_equal(l->disordered, 0);
}

static void test_drop(void **state)
{
    both_ways(&(struct fault_rates){.drop_ppm = 50000}, check_drop);
}

static void check_duplicate(struct link *l, enum fault_way way)
{
    struct fault_counts counts;

    fault_counts(l->bad, way, &counts);
    near(counts.duplicated, FRAMES / 20);
    assert_int_equal(came(l, 2), counts.duplicated);
    assert_int_equal(came(l, 1), FRAMES - counts.duplicated);
}

static void test_duplicate(void **state)
{
    both_ways(&(struct fault_rates){.duplicate_ppm = 50000}, check_duplicate);
}

static void check_corrupt(struct link *l, enum fault_way way)
{
    struct fault_counts counts;

    fault_counts(l->bad, way, &counts);
    near(counts.corrupted, FRAMES / 20);
    // a bit of the number may be turned so that it is another frame's: never whole, since all
    // other bytes depend on the number
    assert_int_equal(l->damaged, counts.corrupted);
    assert_int_equal(came(l, 1), FRAMES - counts.corrupted);
}

static void test_corrupt(void **state)
{
    both_ways(&(struct fault_rates){.corrupt_ppm = 50000}, check_corrupt);
}

static void check_reorder(struct link *l, enum fault_way way)
{
    struct fault_counts counts;

    fault_counts(l->bad, way, &counts);
    near(counts.reordered, FRAMES / 20);
    assert_int_equal(came(l, 1), FRAMES);
    near(l->disordered, counts.reordered);
}

static void test_reorder(void **state)
{
    both_ways(&(struct fault_rates){.reorder_ppm = 50000, .reorder_ns = 20 * NS_PER_US},
              check_reorder);
}

static void test_delay(void **state)
{
    struct fault_options options = {.way[FAULT_RX].delay_ns = 5 * NS_PER_MS};
    struct link *l = link_new(&options);

    assert_int_equal(queue_deadline(l->bad), CLOCK_NEVER);
    send_number(l, l->good, 1);
    assert_int_equal(take(l, l->bad), 0);
    assert_int_equal(queue_deadline(l->bad), NS_PER_S + 5 * NS_PER_MS);
    l->now_ns += 5 * NS_PER_MS - 1;
    assert_int_equal(take(l, l->bad), 0);
    l->now_ns++;
    assert_int_equal(take(l, l->bad), 1);
    assert_int_equal(queue_deadline(l->bad), CLOCK_NEVER);
    link_free(l);
}

// 300 bytes at 3 MB/s are 100 us each; what does not fit into the queue before it is lost.
static void test_rate(void **state)
{
    struct fault_options options = {.way[FAULT_TX].rate_bytes_per_s = 3000000, .held_max = 50};
    struct link *l = link_new(&options);
    struct fault_counts counts;

    for (uint32_t i = 0; i < 60; i++)
        send_number(l, l->bad, i);
    fault_counts(l->bad, FAULT_TX, &counts);
    assert_int_equal(counts.overflowed, 10);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(queue_deadline(l->bad), NS_PER_S + (i + 1) * 100 * NS_PER_US);
        l->now_ns = queue_deadline(l->bad);
        queue_kick(l->bad, l->now_ns);
        assert_int_equal(take(l, l->good), 1);
    }
    assert_int_equal(came(l, 1), 50);
    link_free(l);
}

static void test_super_frame_is_dropped_not_damaged(void **state)
{
    struct fault_options options = {.way[FAULT_TX].corrupt_ppm = 1000000};
    struct link *l = link_new(&options);
    static uint8_t bytes[10000];
    struct iovec payload = {bytes, sizeof(bytes)};
    struct queue_out out = {.head = bytes,
                            .head_bytes = 54,
                            .payload = &payload,
                            .payload_count = 1,
                            .csum_start = 34,
                            .csum_offset = 16,
                            .gso_size = 1000,
                            .gso = QUEUE_GSO_TCP4};
    struct queue_frame frame;

    assert_int_equal(queue_tx(l->bad, &out, l->now_ns), 0);
    queue_kick(l->bad, l->now_ns);
    assert_int_equal(queue_rx(l->good, &frame, 1, l->now_ns), 0);
    link_free(l);
}

// The bit that is turned in a frame with an unfinished checksum must not be summed over.
static void test_damage_can_be_seen(void **state)
{
    struct fault_options options = {.way[FAULT_TX].corrupt_ppm = 1000000, .seed = 3};
    struct link *l = link_new(&options);
    uint8_t head[QUEUE_HEAD_MAX] = {0}, bytes[QUEUE_HEAD_MAX];
    struct queue_out out = {
        .head = head, .head_bytes = sizeof(head), .csum_start = 14, .csum_offset = 2};
    struct queue_frame frame;

    for (int turn = 0; turn < 200; turn++) {
        uint32_t sum = 0;

        for (uint32_t i = 18; i < sizeof(head); i++)
            head[i] = (uint8_t)(i * (uint32_t)turn);
        assert_int_equal(queue_tx(l->bad, &out, l->now_ns), 0);
        queue_kick(l->bad, l->now_ns);
        assert_int_equal(queue_rx(l->good, &frame, 1, l->now_ns), 1);
        assert_int_equal(frame.flags, QUEUE_CSUM_GOOD); // as loop says of finished ones
        queue_frame_copy(l->good, &frame, 0, bytes, sizeof(bytes));
        for (uint32_t i = 14; i < sizeof(bytes); i += 2)
            sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        assert_int_not_equal(sum, 0xffff);
        queue_release(l->good, 1);
    }
    link_free(l);
}

// One driver takes a frame in and holds it back, another gives it out.
static void test_two_drivers(void **state)
{
    struct fault_options options = {.way[FAULT_RX].delay_ns = NS_PER_MS,
                                    .way[FAULT_TX].delay_ns = NS_PER_MS};
    struct link *l = link_new(&options);
    struct queue *other;
    int status;

    for (uint32_t i = 0; i < 5; i++) {
        send_number(l, l->good, i);
        send_number(l, l->bad, 100 + i);
    }
    assert_int_equal(take(l, l->bad), 0);
    if (fork() == 0) {
        l->now_ns += NS_PER_MS;
        if (queue_attach(&other, &l->grant) || take(l, other) != 5 || came(l, 1) != 5)
            _exit(1);
        _exit(queue_kick(other, l->now_ns) != 0);
    }
    assert_true(wait(&status) > 0 && status == 0);
    l->now_ns += NS_PER_MS;
    assert_int_equal(take(l, l->bad), 0);
    assert_int_equal(take(l, l->good), 5);
    assert_int_equal(queue_deadline(l->bad), CLOCK_NEVER);
    link_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_fault),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_reorder),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_super_frame_is_dropped_not_damaged),
        cmocka_unit_test(test_damage_can_be_seen),
        cmocka_unit_test(test_two_drivers),
    };

    return cmocka_run_group_tests_name("queue/fault", tests, NULL, NULL);
}
