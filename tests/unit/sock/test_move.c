// SPDX-License-Identifier: BSD-2-Clause
// Two processes, one connection: bytes stay in order and whole while it is switched, taken back,
// held, cut short and lied to. No daemon and no shim.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "fake_cm.h"
#include "sock/move.h"
#include "sock/real.h"
#include "sock/self.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RING    (64 << 10)
#define LIMIT_S 60

// ---- two processes ----

struct side {
    struct conn *c;
    int fd;
    uint64_t sent, received; // bytes of the pattern
    unsigned seed;
};

static struct policy *policy;

static void load_policy(void)
{
    char path[] = "/tmp/shunt-test-move-XXXXXX";
    int fd = mkstemp(path);

    assert_true(
        dprintf(fd, "defaults = { after_bytes = 0; lanes = [ \"shm\" ]; spin_us = 20; };\n") > 0);
    close(fd);
    assert_int_equal(policy_load(path, &policy, NULL), 0);
    unlink(path);
}

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 7 + (at >> 16));
}

static void need(int ok, const char *what, long got)
{
    if (ok)
        return;
    dprintf(2, "side %d: %s: %ld\n", getpid(), what, got);
    _exit(1);
}

static ssize_t put(struct side *s, size_t n, int flags)
{
    static uint8_t buf[1 << 18];
    struct iovec v[2] = {{buf, n / 3}, {buf + n / 3, n - n / 3}};
    ssize_t done;

    for (size_t i = 0; i < n; i++)
        buf[i] = pattern(s->sent + i);
    done = conn_send(s->c, s->fd, v, 2, flags | MSG_NOSIGNAL);
    if (done > 0)
        s->sent += (uint64_t)done;
    return done;
}

static ssize_t get(struct side *s, size_t n, int flags)
{
    static uint8_t buf[1 << 18];
    struct iovec v = {buf, n};
    ssize_t done = conn_recv(s->c, s->fd, &v, 1, flags);

    for (ssize_t i = 0; i < done; i++)
        need(buf[i] == pattern(s->received + (uint64_t)i), "wrong byte", (long)s->received + i);
    if (done > 0 && !(flags & MSG_PEEK))
        s->received += (uint64_t)done;
    return done;
}

static void put_all(struct side *s, size_t n)
{
    ssize_t done = put(s, n, 0);

    need(done == (ssize_t)n, "send", done);
}

static void get_all(struct side *s, size_t n)
{
    while (n > 0) {
        ssize_t done = get(s, n, 0);

        need(done > 0, "recv", done);
        n -= (size_t)done;
    }
}

// Until both directions go by the ring. Both sides call it.
static void warm(struct side *s, bool first)
{
    for (int i = 0; i < 50; i++) {
        if (first)
            put_all(s, 10);
        get_all(s, 10);
        if (!first)
            put_all(s, 10);
    }
    need(conn_tx_ring(s->c), "not switched", 0);
}

static int channels = 1; // for the next connection

static void connect_sides(struct side *here, void (*child)(struct side *), pid_t *pid)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int l = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(l, (void *)&at, len) | listen(l, 1), 0);
    assert_int_equal(getsockname(l, (void *)&at, &len), 0);
    fake_cm_channels(channels, RING);
    if (self.cm)
        conn_before_fork();
    *pid = fork();
    if (self.cm)
        conn_after_fork(*pid == 0);
    if (*pid == 0) {
        struct side s = {.fd = accept(l, NULL, NULL), .seed = 2};

        alarm(LIMIT_S);
        close(l);
        fake_cm_side(1);
        self_start(policy);
        conn_accepted(s.fd, 0, NULL);
        s.c = conn_get(s.fd);
        child(&s);
        _exit(0);
    }
    close(l);
    *here = (struct side){.fd = socket(AF_INET, SOCK_STREAM, 0), .seed = 1};
    fake_cm_side(0);
    self_start(policy);
    conn_made(here->fd, 0);
    here->c = conn_get(here->fd);
    assert_int_equal(connect(here->fd, (void *)&at, len), 0);
    conn_connected(here->c, here->fd);
}

static void done(struct side *s, pid_t pid, int want_signal)
{
    int status;

    conn_put(s->c);
    if (s->fd >= 0)
        conn_close(s->fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (want_signal)
        assert_int_equal(WTERMSIG(status), want_signal);
    else
        assert_int_equal(status, 0);
}

// ---- switching ----

static void echo(struct side *s)
{
    char buf[5000];
    struct iovec v = {buf, sizeof buf};
    ssize_t n;

    while ((n = conn_recv(s->c, s->fd, &v, 1, 0)) > 0) {
        struct iovec w = {buf, (size_t)n};
        ssize_t m = conn_send(s->c, s->fd, &w, 1, MSG_NOSIGNAL);

        need(m == n, "echo", m);
    }
    need(n == 0, "end", n);
}

static void test_a_connection_is_switched_and_whole(void **state)
{
    struct side s;
    pid_t pid;

    connect_sides(&s, echo, &pid);
    for (int i = 0; i < 3000; i++) {
        size_t n = 1 + (size_t)rand_r(&s.seed) % 4000;

        put_all(&s, n);
        get_all(&s, n);
    }
    assert_true(conn_tx_ring(s.c) && conn_rx_ring(s.c));
    assert_int_equal(s.c->end->rec.switches, 2);
    assert_true(s.c->end->rec.bytes_tx[0] < 20000);
    done(&s, pid, 0);
}

static void both_ways(struct side *s)
{
    for (int i = 0; i < 4000; i++) {
        ssize_t n = put(s, 1 + (size_t)rand_r(&s->seed) % 9000, MSG_DONTWAIT);
        ssize_t m = get(s, 1 + (size_t)rand_r(&s->seed) % 9000, MSG_DONTWAIT);

        need(n > 0 || n == -EAGAIN, "put", n);
        need(m >= 0 || m == -EAGAIN, "get", m);
    }
    conn_put(s->c);
    s->c = conn_get(s->fd);
}

static void both_then_drain(struct side *s)
{
    both_ways(s);
    shutdown(s->fd, SHUT_WR);
    end_set(s->c->end, END_TX_SHUT);
    for (ssize_t n = 1; n > 0;) {
        n = get(s, 100000, 0);
        need(n >= 0, "drain", n);
    }
}

static void test_both_directions_at_once(void **state)
{
    struct side s;
    pid_t pid;

    connect_sides(&s, both_then_drain, &pid);
    both_then_drain(&s);
    done(&s, pid, 0);
}

// ---- going back ----

static void pump(struct side *s)
{
    warm(s, true);
    for (int i = 0; i < 2000; i++) {
        put_all(s, 1 + (size_t)rand_r(&s->seed) % 3000);
        if (i % 3 == 0)
            get(s, 3000, MSG_DONTWAIT);
    }
    shutdown(s->fd, SHUT_WR);
    end_set(s->c->end, END_TX_SHUT);
    for (ssize_t n = 1; n > 0;) {
        n = get(s, 100000, 0);
        need(n >= 0, "pump drain", n);
    }
}

static void go_back_under_load(bool unread_too)
{
    struct side s;
    pid_t pid;
    int err;

    connect_sides(&s, pump, &pid);
    warm(&s, false);
    for (int i = 0; i < 500; i++) {
        put_all(&s, 100);
        get_all(&s, 1000);
    }
    assert_true(conn_rx_ring(s.c));
    err = conn_go_back(s.c, s.fd, unread_too, clock_now_ns() + 20 * NS_PER_S, "test");
    if (unread_too)
        assert_int_equal(err, 0);
    for (ssize_t n = 1; n > 0;) {
        n = get(&s, 100000, 0);
        assert_true(n >= 0);
        if (n > 0)
            assert_true(put(&s, 100, MSG_DONTWAIT) != 0);
    }
    assert_false(conn_tx_ring(s.c));
    assert_false(conn_rx_ring(s.c));
    done(&s, pid, 0);
}

static void test_going_back_under_load(void **state)
{
    go_back_under_load(false);
}

static void test_going_back_with_unread_bytes(void **state)
{
    go_back_under_load(true);
}

// ---- there and back again ----

static void leave(struct side *s)
{
    sock_enter();
    conn_lane_lost(s->c, s->fd, "test");
    sock_leave();
}

// Both sides lose the lane at moments of their own, while bytes go both ways.
static void restless(struct side *s)
{
    for (int i = 0; !s->c->end || s->c->end->generation < 6; i++) {
        ssize_t n = put(s, 1 + (size_t)rand_r(&s->seed) % 9000, MSG_DONTWAIT);
        ssize_t m = get(s, 1 + (size_t)rand_r(&s->seed) % 9000, MSG_DONTWAIT);

        need(n > 0 || n == -EAGAIN, "put", n);
        need(m >= 0 || m == -EAGAIN, "get", m);
        if (m == 0)
            break; // the other one has seen it often enough
        if (conn_tx_ring(s->c) && conn_rx_ring(s->c) && rand_r(&s->seed) % 300 == 0)
            leave(s);
        if (i % 64 == 0)
            usleep(200);
    }
    shutdown(s->fd, SHUT_WR);
    end_set(s->c->end, END_TX_SHUT);
    for (ssize_t n = 1; n > 0;) {
        n = get(s, 100000, 0);
        need(n >= 0, "drain", n);
    }
}

static void restless_peer(struct side *s)
{
    restless(s);
    need(s->c->end->generation >= 5, "channels", s->c->end->generation);
}

static void test_a_lost_lane_is_left_and_found_again(void **state)
{
    struct side s;
    pid_t pid;

    channels = FAKE_CM_CHANNELS;
    connect_sides(&s, restless_peer, &pid);
    restless(&s);
    assert_true(s.c->end->generation >= 5);
    assert_true(s.c->end->rec.switches >= 10);
    done(&s, pid, 0);
    channels = 1;
}

// Each time bytes lie unread in both rings.
static void test_unread_bytes_come_along_each_time(void **state)
{
    struct side s;
    pid_t pid;

    channels = FAKE_CM_CHANNELS;
    connect_sides(&s, echo, &pid);
    for (int round = 0; round < 8; round++) {
        while (!conn_tx_ring(s.c) || !conn_rx_ring(s.c)) {
            put_all(&s, 10);
            get_all(&s, 10);
        }
        put_all(&s, 3 * RING / 4);
        get_all(&s, 100);
        leave(&s);
        get_all(&s, 3 * RING / 4 - 100);
        while (s.c->end->generation == (uint32_t)round) {
            put_all(&s, 10);
            get_all(&s, 10);
        }
    }
    assert_int_equal(s.c->end->generation, 8);
    assert_true(s.c->end->rec.switches >= 4 * 8);
    done(&s, pid, 0);
    channels = 1;
}

// ---- ends ----

static void warm_then_wait_to_be_killed(struct side *s)
{
    warm(s, true);
    put_all(s, 777);
    for (;;)
        pause();
}

static void kill_soon(pid_t pid)
{
    if (fork() == 0) {
        usleep(50000);
        kill(pid, SIGKILL);
        _exit(0);
    }
}

static void test_a_sleeping_reader_sees_the_peer_killed(void **state)
{
    struct side s;
    pid_t pid;
    uint64_t start;

    connect_sides(&s, warm_then_wait_to_be_killed, &pid);
    warm(&s, false);
    kill_soon(pid);
    get_all(&s, 777);
    start = clock_now_ns();
    assert_int_equal(get(&s, 10, 0), 0);
    assert_true(clock_now_ns() - start < 10 * NS_PER_S);
    done(&s, pid, SIGKILL);
    wait(NULL);
}

static void test_a_writer_on_a_full_ring_sees_the_peer_killed(void **state)
{
    struct side s;
    ssize_t n = 0;
    pid_t pid;
    uint64_t start;

    connect_sides(&s, warm_then_wait_to_be_killed, &pid);
    warm(&s, false);
    kill_soon(pid);
    start = clock_now_ns();
    for (int i = 0; i < 100 && n >= 0; i++)
        n = put(&s, 10000, 0);
    assert_true(n == -EPIPE || n == -ECONNRESET);
    assert_true(clock_now_ns() - start < 10 * NS_PER_S);
    done(&s, pid, SIGKILL);
    wait(NULL);
}

static void close_with_unread(struct side *s)
{
    warm(s, true);
    usleep(20000); // the other side's bytes arrive, unread
    conn_close(s->fd);
}

static void test_a_close_with_unread_bytes_is_a_reset(void **state)
{
    struct side s;
    pid_t pid;

    connect_sides(&s, close_with_unread, &pid);
    warm(&s, false);
    put_all(&s, 100);
    assert_int_equal(get(&s, 10, 0), -ECONNRESET);
    done(&s, pid, 0);
}

static void half_close(struct side *s)
{
    warm(s, true);
    put_all(s, 5000);
    shutdown(s->fd, SHUT_WR);
    end_set(s->c->end, END_TX_SHUT);
    get_all(s, 300000);
    need(get(s, 1, 0) == 0, "end", 0);
}

static void test_a_half_closed_stream_goes_on_the_other_way(void **state)
{
    struct side s;
    pid_t pid;

    connect_sides(&s, half_close, &pid);
    warm(&s, false);
    get_all(&s, 5000);
    assert_int_equal(get(&s, 1, 0), 0);
    for (int i = 0; i < 30; i++)
        put_all(&s, 10000);
    done(&s, pid, 0);
}

// ---- liars ----

static void lie_about_tail(struct side *s)
{
    warm(s, true);
    atomic_store(&s->c->chan.tx->tail, UINT64_MAX / 2);
    chan_ring_peer(&s->c->chan);
    usleep(100000);
}

static void test_a_liar_loses_its_connection_only(void **state)
{
    struct side s;
    pid_t pid;

    connect_sides(&s, lie_about_tail, &pid);
    log_setup(LOG_QUIET, 2);
    warm(&s, false);
    assert_int_equal(get(&s, 10, 0), -ECONNRESET);
    assert_true(put(&s, 10, 0) < 0);
    log_setup(LOG_ERROR, 2);
    done(&s, pid, 0);
}

static int begin(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    sock_real_init();
    load_policy();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_is_switched_and_whole),
        cmocka_unit_test(test_both_directions_at_once),
        cmocka_unit_test(test_going_back_under_load),
        cmocka_unit_test(test_going_back_with_unread_bytes),
        cmocka_unit_test(test_a_lost_lane_is_left_and_found_again),
        cmocka_unit_test(test_unread_bytes_come_along_each_time),
        cmocka_unit_test(test_a_sleeping_reader_sees_the_peer_killed),
        cmocka_unit_test(test_a_writer_on_a_full_ring_sees_the_peer_killed),
        cmocka_unit_test(test_a_close_with_unread_bytes_is_a_reset),
        cmocka_unit_test(test_a_half_closed_stream_goes_on_the_other_way),
        cmocka_unit_test(test_a_liar_loses_its_connection_only),
    };

    alarm(120);
    return cmocka_run_group_tests(tests, begin, NULL);
}
