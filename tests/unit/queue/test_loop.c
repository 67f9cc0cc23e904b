// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "queue/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

struct pair {
    struct queue_grant grant[2];
    struct queue *end[2];
};

static uint8_t bytes[QUEUE_SUPER_MAX];

static int setup_with(void **state, const struct loop_options *o)
{
    struct pair *p = calloc(1, sizeof(*p));

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    assert_int_equal(loop_open(p->grant, o), 0);
    assert_int_equal(queue_attach(&p->end[0], &p->grant[0]), 0);
    assert_int_equal(queue_attach(&p->end[1], &p->grant[1]), 0);
    *state = p;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, &(struct loop_options){.slots = 8});
}

static int setup_pieces(void **state)
{
    return setup_with(state, &(struct loop_options){.slots = 8, .piece_bytes = 4096});
}

static int setup_no_super(void **state)
{
    return setup_with(state, &(struct loop_options){.no_super = true});
}

static int teardown(void **state)
{
    struct pair *p = *state;

    queue_detach(p->end[0]);
    queue_detach(p->end[1]);
    free(p);
    return 0;
}

// Sends the first len of `bytes`, the head of 54 and the rest in two pieces.
static int send_len(struct queue *q, uint32_t len)
{
    uint32_t head = MIN(len, 54u), half = (len - head) / 2;
    struct iovec payload[2] = {{bytes + head, half}, {bytes + head + half, len - head - half}};
    struct queue_out out = {
        .head = bytes, .head_bytes = (uint16_t)head, .payload = payload, .payload_count = 2};

    if (len > q->caps->frame_max_bytes)
        out.gso = QUEUE_GSO_TCP4, out.gso_size = 1448, out.csum_start = 34, out.csum_offset = 16;
    return queue_tx(q, &out, 0);
}

static void expect_len(struct queue *q, const struct queue_frame *frame, uint32_t len)
{
    static uint8_t copy[QUEUE_SUPER_MAX + 1];

    assert_int_equal(frame->len_bytes, len);
    assert_int_equal(queue_frame_copy(q, frame, 0, copy, sizeof(copy)), len);
    assert_memory_equal(copy, bytes, len);
    assert_int_equal(queue_frame_copy(q, frame, len / 2, copy, 10), MIN(10, len - len / 2));
    assert_memory_equal(copy, bytes + len / 2, MIN(10, len - len / 2));
}

static void test_all_sizes(void **state)
{
    struct pair *p = *state;
    struct queue_frame frame;

    for (uint32_t len = 14; len <= QUEUE_SUPER_MAX; len += len < 3000 ? 1 : 977) {
        assert_int_equal(send_len(p->end[0], len), 0);
        assert_int_equal(queue_rx(p->end[1], &frame, 1, 0), 0); // not kicked yet
        assert_int_equal(queue_kick(p->end[0], 0), 0);
        assert_int_equal(queue_rx(p->end[1], &frame, 1, 0), 1);
        expect_len(p->end[1], &frame, len);
        assert_int_equal(frame.gso, len > 1514 ? QUEUE_GSO_TCP4 : QUEUE_GSO_NONE);
        assert_int_equal(frame.gso_size, len > 1514 ? 1448 : 0);
        assert_int_equal(frame.flags, len > 1514 ? QUEUE_CSUM_UNFINISHED : QUEUE_CSUM_GOOD);
        queue_release(p->end[1], 1);
    }
}

static void test_pieces(void **state)
{
    struct pair *p = *state;
    struct queue_frame frame;

    assert_int_equal(send_len(p->end[0], 10000), 0);
    queue_kick(p->end[0], 0);
    assert_int_equal(queue_rx(p->end[1], &frame, 1, 0), 1);
    assert_int_equal(frame.pieces, 3);
    assert_int_equal(frame.head.len_bytes, 4096);
    assert_int_equal(queue_piece(p->end[1], &frame, 2).len_bytes, 10000 - 8192);
    expect_len(p->end[1], &frame, 10000);
}

static void test_full_and_again(void **state)
{
    struct pair *p = *state;
    struct queue_frame frames[16];

    for (int turn = 0; turn < 5; turn++) {
        for (uint32_t i = 0; i < 8; i++)
            assert_int_equal(send_len(p->end[1], 100 + i), 0);
        assert_int_equal(send_len(p->end[1], 200), -EAGAIN);
        queue_kick(p->end[1], 0);
        assert_int_equal(queue_rx(p->end[0], frames, 3, 0), 3);
        assert_int_equal(queue_rx(p->end[0], frames, 16, 0), 8); // nothing was taken
        queue_release(p->end[0], 3);
        assert_int_equal(queue_rx(p->end[0], frames, 16, 0), 5);
        expect_len(p->end[0], &frames[0], 103);
        assert_int_equal(send_len(p->end[1], 300), 0);
        queue_kick(p->end[1], 0);
        assert_int_equal(queue_rx(p->end[0], frames, 16, 0), 6);
        expect_len(p->end[0], &frames[5], 300);
        queue_release(p->end[0], 6);
    }
    assert_int_equal(p->end[0]->counters->rx_frames, 45);
    assert_int_equal(p->end[1]->counters->tx_frames, 45);
    assert_int_equal(p->end[1]->counters->tx_full, 5);
}

static void test_refuses_what_caps_forbid(void **state)
{
    struct pair *p = *state;
    struct queue_out out = {.head = bytes, .head_bytes = QUEUE_HEAD_MAX + 1};

    assert_int_equal(p->end[0]->caps->super_tx_bytes, 0);
    assert_int_equal(send_len(p->end[0], 1514), 0);
    assert_int_equal(send_len(p->end[0], 1515), -EMSGSIZE);
    assert_int_equal(queue_tx(p->end[0], &out, 0), -EMSGSIZE);
    out = (struct queue_out){.head = bytes, .head_bytes = 40, .csum_start = 34, .csum_offset = 16};
    assert_int_equal(queue_tx(p->end[0], &out, 0), -EMSGSIZE);
}

static bool readable(const struct queue *q)
{
    struct pollfd pollfd = {.fd = queue_wait_fd(q), .events = POLLIN};

    return poll(&pollfd, 1, 0) == 1;
}

static void test_wait_fd(void **state)
{
    struct pair *p = *state;
    struct queue_frame frame;

    assert_false(readable(p->end[1]));
    send_len(p->end[0], 60);
    assert_false(readable(p->end[1]));
    queue_kick(p->end[0], 0);
    assert_true(readable(p->end[1]));
    assert_int_equal(queue_rx(p->end[1], &frame, 1, 0), 1);
    queue_release(p->end[1], 1);
    assert_int_equal(queue_arm(p->end[1]), 0);
    assert_int_equal(queue_rx(p->end[1], &frame, 1, 0), 0);
    assert_false(readable(p->end[1]));
    assert_int_equal(queue_deadline(p->end[1]), CLOCK_NEVER);
}

// Another process attaches, takes what this one left, and leaves the rest to it.
static void test_driver_changes(void **state)
{
    struct pair *p = *state;
    struct queue_frame frames[8];
    struct queue_grant copy;
    int status;

    for (uint32_t i = 0; i < 6; i++)
        send_len(p->end[0], 100 + i);
    queue_kick(p->end[0], 0);
    assert_int_equal(queue_rx(p->end[1], frames, 8, 0), 6);
    queue_release(p->end[1], 2);
    assert_int_equal(queue_grant_dup(&copy, &p->grant[1]), 0);
    if (fork() == 0) {
        struct queue *other;
        bool good = queue_attach(&other, &copy) == 0 && queue_rx(other, frames, 8, 0) == 4 &&
                    frames[0].len_bytes == 102;

        queue_release(other, 1);
        queue_release(p->end[1], 1); // the inherited view is the same queue
        good = good && send_len(other, 700) == 0 && queue_kick(p->end[1], 0) == 0;
        _exit(!good);
    }
    assert_true(wait(&status) > 0 && status == 0);
    queue_grant_close(&copy);
    assert_int_equal(queue_rx(p->end[1], frames, 8, 0), 2);
    assert_int_equal(frames[0].len_bytes, 104);
    assert_int_equal(queue_rx(p->end[0], frames, 8, 0), 1);
    expect_len(p->end[0], &frames[0], 700);
}

static void test_down(void **state)
{
    struct pair *p = *state;
    struct queue_frame frame;

    loop_down(p->end[0]);
    for (int i = 0; i < 2; i++) {
        assert_true(readable(p->end[i]));
        assert_int_equal(queue_rx(p->end[i], &frame, 1, 0), -ENETDOWN);
        assert_int_equal(queue_kick(p->end[i], 0), -ENETDOWN);
        assert_int_equal(queue_arm(p->end[i]), -ENETDOWN);
        assert_true(readable(p->end[i]));
    }
}

static void test_grants_that_do_not_fit(void **state)
{
    struct queue_grant ends[2], bad;
    struct queue *q;

    assert_int_equal(loop_open(ends, &(struct loop_options){.slots = 3}), -EINVAL);
    assert_int_equal(loop_open(ends, &(struct loop_options){.mtu_bytes = 70000}), -EINVAL);
    assert_int_equal(loop_open(ends, &(struct loop_options){0}), 0);
    bad = ends[0];
    bad.desc.ring[0] *= 2; // more than the memory holds
    assert_int_equal(queue_attach(&q, &bad), -EPROTO);
    bad = ends[0];
    bad.desc.door = QUEUE_DOORS;
    assert_int_equal(queue_attach(&q, &bad), -EPROTO);
    bad = ends[0];
    bad.desc.fd_count--;
    assert_int_equal(queue_attach(&q, &bad), -EPROTO);
    bad = ends[0];
    bad.fd[0] = bad.fd[1]; // no memory
    assert_int_equal(queue_attach(&q, &bad), -EPROTO);
    queue_grant_close(&ends[0]);
    queue_grant_close(&ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces, setup_pieces, teardown),
        cmocka_unit_test_setup_teardown(test_full_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_what_caps_forbid, setup_no_super, teardown),
        cmocka_unit_test_setup_teardown(test_wait_fd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_driver_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_down, setup, teardown),
        cmocka_unit_test(test_grants_that_do_not_fit),
    };

    return cmocka_run_group_tests_name("queue/loop", tests, NULL, NULL);
}
