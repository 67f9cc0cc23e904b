// SPDX-License-Identifier: BSD-2-Clause
// What every door does with frames: all sizes, bursts, checksums, super-frames, several drivers.
#include "suite.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

static const struct segment plain[SIDES] = {
    {.from = HERE, .source = PORT_HERE, .dest = PORT_THERE, .tcp_flags = TH_ACK},
    {.from = THERE, .source = PORT_THERE, .dest = PORT_HERE, .tcp_flags = TH_ACK},
};

static enum side other(enum side side)
{
    return side == HERE ? THERE : HERE;
}

static void exchange(struct rig *rig, const struct segment *s)
{
    struct queue_frame frame;

    assert_int_equal(frame_send(rig, s), 0);
    assert_true(frame_next(rig, other(s->from), &frame));
    frame_expect(rig, other(s->from), &frame, s);
    frame_done(rig, other(s->from));
}

void test_every_size_both_ways(void **state)
{
    struct rig *rig = *state;

    for (uint32_t bytes = 0; bytes <= 1514 - FRAME_HEAD; bytes++) {
        struct segment s = plain[bytes & 1];

        s.bytes = bytes;
        s.seed = s.seq = bytes * 31;
        s.csum = bytes % 3 ? CSUM_DONE : CSUM_OPEN;
        exchange(rig, &s);
    }
    for (enum side side = HERE; side < SIDES; side++) {
        assert_int_equal(rig->queue[side]->counters->tx_dropped, 0);
        assert_int_equal(rig->queue[side]->counters->rx_bad, 0);
    }
}

static void test_unfinished_checksum_of_every_length(void **state)
{
    struct rig *rig = *state;

    for (uint32_t bytes = 0; bytes < 300; bytes++) {
        struct segment s = plain[HERE];

        s.bytes = bytes;
        s.seed = bytes * 7919; // some sums come out as 0 or 0xffff
        s.csum = CSUM_OPEN;
        exchange(rig, &s);
    }
}

static void test_super_frames(void **state)
{
    struct rig *rig = *state;
    uint32_t most = rig->queue[HERE]->caps->super_tx_bytes;

    if (!most) {
        struct segment s = plain[HERE];

        s.bytes = 2000;
        s.gso_size = 1000;
        assert_int_equal(frame_send(rig, &s), -EMSGSIZE);
        return;
    }
    most = MIN(most, 65535u) - FRAME_HEAD;
    for (uint32_t bytes = 1461; bytes <= most;
         bytes += bytes + 3001 > most && bytes < most ? most - bytes : 3001) {
        struct segment s = plain[bytes & 1];

        s.bytes = bytes;
        s.seed = bytes;
        s.gso_size = 1460;
        exchange(rig, &s);
    }
}

static void test_refuses_what_is_too_long(void **state)
{
    struct rig *rig = *state;
    struct queue *q = rig->queue[HERE];
    uint8_t head[14] = {0};
    struct iovec payload = {calloc(1, 70000), q->caps->frame_max_bytes - 13};
    struct queue_out out = {
        .head = head, .head_bytes = 14, .payload = &payload, .payload_count = 1};

    assert_int_equal(queue_tx(q, &out, 0), -EMSGSIZE);
    payload.iov_len = 70000 - 14;
    out.gso = QUEUE_GSO_TCP4;
    assert_int_equal(queue_tx(q, &out, 0), -EMSGSIZE);
    out.head_bytes = 13;
    assert_int_equal(queue_tx(q, &out, 0), -EMSGSIZE);
    free(payload.iov_base);
    exchange(rig, &plain[HERE]);
}

// Frames as long as the MTU lets them be, of one piece or many.
void test_jumbo_frames(void **state)
{
    struct rig *rig = *state;
    uint32_t most;

    for (enum side side = HERE; side < SIDES; side++)
        rig_run(side, "link set %s mtu 65000", device_of[side]);
    rig_open_pair(rig);
    most = MIN(rig->queue[HERE]->caps->frame_max_bytes, 65000u) - FRAME_HEAD;
    for (uint32_t bytes = 1400; bytes <= most; bytes += bytes > 60000 ? 37 : 1009) {
        struct segment s = plain[bytes & 1];

        s.bytes = s.seed = bytes;
        s.csum = bytes % 3 ? CSUM_DONE : CSUM_OPEN;
        exchange(rig, &s);
    }
}

// Takes what has come in; each frame is whole, and none comes twice or out of order.
static uint32_t drain(struct rig *rig, enum side side, uint32_t *next)
{
    struct queue_frame frame;
    static struct seen seen;
    uint32_t n = 0;

    while (queue_rx(rig->queue[side], &frame, 1, clock_now_ns()) == 1) {
        struct segment s = plain[other(side)];

        frame_read(rig, side, &frame, &seen);
        assert_true(seen.segment.seq >= *next);
        s.seq = s.seed = seen.segment.seq;
        s.bytes = 1000;
        frame_expect(rig, side, &frame, &s);
        *next = s.seq + 1;
        frame_done(rig, side);
        n++;
    }
    return n;
}

// Far more frames than the rings hold, with nobody taking them: some are lost, no ring breaks.
static void test_burst_beyond_the_ring(void **state)
{
    struct rig *rig = *state;
    struct segment s = plain[HERE];
    uint32_t next = 0, got = 0, taken = 0;

    s.bytes = 1000;
    for (uint32_t i = 0; i < 12000; i++) {
        int err;

        s.seq = s.seed = i;
        err = frame_send(rig, &s);
        assert_true(err == 0 || err == -EAGAIN);
        taken += err == 0;
    }
    while (rig->queue[HERE]->counters->tx_frames - rig->queue[HERE]->counters->tx_dropped > got) {
        uint32_t n = drain(rig, THERE, &next);

        got += n;
        if (!n && frame_none(rig, THERE))
            break;
    }
    assert_true(got >= 100 && got <= taken);
    for (uint32_t i = 0; i < 3000; i++) {
        s.seq = s.seed = 20000 + i;
        assert_int_equal(frame_send(rig, &s), 0);
        got = drain(rig, THERE, &next);
    }
    exchange(rig, &plain[THERE]);
}

static void test_batches(void **state)
{
    struct rig *rig = *state;
    static struct built built[40];
    struct queue_frame frames[40];
    struct segment s = plain[HERE];
    int n = 0;

    for (uint32_t i = 0; i < ARRAY_LEN(built); i++) {
        s.bytes = s.seed = s.seq = i * 20;
        frame_build(&built[i], rig, &s);
        assert_int_equal(queue_tx(rig->queue[HERE], &built[i].out, clock_now_ns()), 0);
    }
    assert_int_equal(queue_kick(rig->queue[HERE], clock_now_ns()), 0);
    for (uint64_t until = clock_now_ns() + NS_PER_S; n < 40 && clock_now_ns() < until;)
        n = queue_rx(rig->queue[THERE], frames, 40, clock_now_ns());
    assert_int_equal(n, 40); // and rx() took nothing: they are all still there
    for (uint32_t i = 0; i < 40; i++) {
        s.bytes = s.seed = s.seq = i * 20;
        frame_expect(rig, THERE, &frames[i], &s);
    }
    queue_release(rig->queue[THERE], 25);
    assert_int_equal(queue_rx(rig->queue[THERE], frames, 40, clock_now_ns()), 15);
    s.bytes = s.seed = s.seq = 25 * 20;
    frame_expect(rig, THERE, &frames[0], &s);
    queue_release(rig->queue[THERE], 15);
    assert_true(frame_none(rig, THERE));
}

// ---- several drivers ----

#define TURNS 200

// Answers each odd frame that comes with the next number, when it is its turn.
static bool take_turns(struct rig *rig, int turn_fd, uint32_t first)
{
    struct queue_frame frame;
    static struct seen seen;
    char token;

    for (uint32_t i = first; i < TURNS; i += 2) {
        struct segment s = plain[HERE];

        if (read(turn_fd, &token, 1) != 1 || !frame_next(rig, HERE, &frame))
            return false;
        frame_read(rig, HERE, &frame, &seen);
        if (seen.segment.seq != i || seen.segment.bytes != i || !seen.csum_good)
            return false;
        frame_done(rig, HERE);
        s.seq = s.seed = s.bytes = i;
        if (frame_send(rig, &s) != 0 || write(turn_fd, &token, 1) != 1)
            return false;
    }
    return true;
}

// An unprivileged process that has only the grant.
static void other_driver(struct rig *rig, int socket)
{
    struct queue_grant grant;
    bool good;

    if (setgid(65534) || setuid(65534) || !grant_take(socket, &grant))
        _exit(2);
    if (queue_attach(&rig->queue[HERE], &grant))
        _exit(3);
    good = take_turns(rig, socket, 1);
    _exit(!good);
}

void test_two_processes_in_turn(void **state)
{
    struct rig *rig = *state;
    struct queue_grant grant;
    int sockets[2], status;
    struct queue_frame frame;
    char token = 't';
    pid_t child;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    grant = rig->owner[HERE]->grant;
    grant_pass(sockets[0], &grant);
    child = fork();
    if (child == 0)
        other_driver(rig, sockets[1]);
    for (uint32_t i = 0; i < TURNS; i++) {
        struct segment s = plain[THERE];

        s.seq = s.seed = s.bytes = i;
        assert_int_equal(frame_send(rig, &s), 0);
        if (i & 1) { // the other's turn
            assert_int_equal(write(sockets[0], &token, 1), 1);
            assert_int_equal(read(sockets[0], &token, 1), 1);
        } else { // ours, by a token of our own
            int own[2];

            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, own), 0);
            assert_int_equal(write(own[1], &token, 1), 1);
            assert_true(frame_next(rig, HERE, &frame));
            s = plain[HERE];
            s.seq = s.seed = s.bytes = i;
            frame_done(rig, HERE);
            assert_int_equal(frame_send(rig, &s), 0);
            close(own[0]);
            close(own[1]);
        }
        s = plain[HERE];
        s.seq = s.seed = s.bytes = i;
        assert_true(frame_next(rig, THERE, &frame));
        frame_expect(rig, THERE, &frame, &s);
        frame_done(rig, THERE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(sockets[0]);
    close(sockets[1]);
}

// A forked child goes on with what it inherited, and the parent after it.
void test_fork(void **state)
{
    struct rig *rig = *state;
    struct segment s = plain[HERE];
    int status;

    for (uint32_t i = 0; i < 20; i++) {
        struct queue_frame frame;

        s.seq = s.seed = s.bytes = 100 + i;
        if (fork() == 0)
            _exit(frame_send(rig, &s) != 0);
        assert_true(wait(&status) > 0 && status == 0);
        assert_true(frame_next(rig, THERE, &frame));
        frame_expect(rig, THERE, &frame, &s);
        if (fork() == 0) {
            frame_done(rig, THERE);
            _exit(0);
        }
        assert_true(wait(&status) > 0 && status == 0);
        exchange(rig, &plain[THERE]);
    }
}

const struct CMUnitTest frames_tests[] = {
    cmocka_unit_test_setup_teardown(test_every_size_both_ways, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_unfinished_checksum_of_every_length, setup_pair,
                                    teardown_rig),
    cmocka_unit_test_setup_teardown(test_super_frames, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_refuses_what_is_too_long, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_burst_beyond_the_ring, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_batches, setup_pair, teardown_rig),
};
const size_t frames_tests_count = ARRAY_LEN(frames_tests);
