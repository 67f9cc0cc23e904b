// SPDX-License-Identifier: BSD-2-Clause
// Several threads sleep on one bell: whoever hears it first, and whatever moves between the last
// look of another and its sleep, that one is woken. What happens there is done by what stands in
// the place of the system call that sleeps.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"
#include "base/clock.h"
#include "sock/move.h"
#include "sock/real.h"
#include "sock/sock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define PATIENCE_S 5  // of a sleep that nobody ends
#define OFTEN      50 // more than a ring is passed on at once

static struct sock_real libc;
static struct rig_pair pair;
static void (*meanwhile)(void);
static unsigned sleeps, unheard; // unheard: ended by nothing but their timeouts

static int gap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *t, const sigset_t *mask)
{
    void (*work)(void) = meanwhile;

    int found;

    meanwhile = NULL;
    if (work)
        work();
    found = libc.ppoll(fds, n, t, mask);
    sleeps++;
    unheard += found == 0;
    return found;
}

static int begin(void **state)
{
    rig_open(&pair, 0);
    rig_switch(&pair);
    pair.a.c->end->rcvtimeo_ns = pair.a.c->end->sndtimeo_ns = PATIENCE_S * NS_PER_S;
    libc = real;
    real.ppoll = gap_ppoll;
    sleeps = unheard = 0;
    return 0;
}

static int end(void **state)
{
    real = libc;
    rig_close(&pair);
    assert_null(meanwhile);
    assert_int_equal(unheard, 0);
    return 0;
}

// Another thread of a's hears the bell whenever it rings.
static void other_sleeps(bool rx, bool tx)
{
    for (int i = 0; i < OFTEN; i++)
        conn_woken(pair.a.c, rx, conn_sleep(pair.a.c, rx, tx));
}

static void go_to_twin(struct rig_end *e)
{
    sock_enter();
    end_set(e->c->end, END_FROZEN);
    assert_true(conn_tx_return(e->c));
    sock_leave();
}

// ---- moves ----

static void the_peer_goes_to_the_twin(void)
{
    go_to_twin(&pair.b);
    rig_write(&pair.b, 1);
    sock_enter();
    conn_mask(pair.a.c, pair.a.fd); // another thread's look
    sock_leave();
    assert_false(conn_rx_ring(pair.a.c));
    other_sleeps(false, true);
}

static void a_reader_hears_the_twin(void **state)
{
    meanwhile = the_peer_goes_to_the_twin;
    rig_read(&pair.a, 1);
}

static void a_poller_hears_the_twin(void **state)
{
    const struct timespec patience = {PATIENCE_S, 0};
    struct pollfd f = {pair.a.fd, POLLIN, 0};

    meanwhile = the_peer_goes_to_the_twin;
    assert_int_equal(sock_ppoll(&f, 1, &patience, NULL), 1);
    assert_int_equal(f.revents, POLLIN);
}

static void another_goes_to_the_twin(void)
{
    go_to_twin(&pair.a);
    other_sleeps(true, false);
}

static void a_writer_goes_on_by_the_twin(void **state)
{
    rig_fill(&pair.a);
    meanwhile = another_goes_to_the_twin;
    rig_write(&pair.a, 1);
}

static void a_poller_for_room_finds_it_in_the_twin(void **state)
{
    const struct timespec patience = {PATIENCE_S, 0};
    struct pollfd f = {pair.a.fd, POLLOUT, 0};

    rig_fill(&pair.a);
    meanwhile = another_goes_to_the_twin;
    assert_int_equal(sock_ppoll(&f, 1, &patience, NULL), 1);
    assert_int_equal(f.revents, POLLOUT);
}

// ---- bytes and room ----

static void bytes_come(void)
{
    rig_write(&pair.b, 1);
    other_sleeps(false, true);
}

static void a_reader_gets_its_ring_though_a_writer_heard_it(void **state)
{
    rig_fill(&pair.a);
    meanwhile = bytes_come;
    rig_read(&pair.a, 1);
}

static void room_comes(void)
{
    rig_read(&pair.b, RIG_RING_BYTES / 2);
    other_sleeps(true, false);
}

static void a_writer_gets_its_ring_though_a_reader_heard_it(void **state)
{
    rig_fill(&pair.a);
    meanwhile = room_comes;
    rig_write(&pair.a, 1);
}

static bool goes_to_sleep_and_wakes(struct rig_end *sleeper, struct rig_end *other)
{
    conn_woken(sleeper->c, false, conn_sleep(sleeper->c, false, true));
    return chan_bell_clear(&other->c->chan);
}

static void two_full_rings_do_not_wake_each_other(void **state)
{
    rig_fill(&pair.a);
    rig_fill(&pair.b);
    conn_arm(pair.a.c, false, true);
    conn_arm(pair.b.c, false, true);
    chan_bell_clear(&pair.a.c->chan);
    chan_bell_clear(&pair.b.c->chan);
    assert_false(goes_to_sleep_and_wakes(&pair.a, &pair.b));
    assert_false(goes_to_sleep_and_wakes(&pair.b, &pair.a));
}

// The rest of what was asked for is in the twin: nobody waits for it in the ring.
static void a_reader_of_many_bytes_is_not_kept_by_the_ring(void **state)
{
    const struct timespec patience = {PATIENCE_S, 0};
    struct pollfd f = {pair.a.fd, POLLIN, 0};
    char bytes[10];
    const struct iovec v = {bytes, sizeof bytes};

    rig_write(&pair.b, 4);
    go_to_twin(&pair.b);
    rig_write(&pair.b, 6);
    assert_int_equal(conn_recv(pair.a.c, pair.a.fd, &v, 1, MSG_PEEK | MSG_WAITALL), 4);
    pair.a.c->end->rcvlowat = sizeof bytes;
    assert_int_equal(sock_ppoll(&f, 1, &patience, NULL), 1);
    assert_int_equal(conn_recv(pair.a.c, pair.a.fd, &v, 1, 0), sizeof bytes);
}

// ---- who is gone ----

static void *reads(void *unused)
{
    rig_read(&pair.a, 1);
    return NULL;
}

static void a_cancelled_thread_is_not_counted_as_asleep(void **state)
{
    pthread_t thread;

    real = libc;
    pair.a.c->end->rcvtimeo_ns = 0;
    assert_int_equal(pthread_create(&thread, NULL, reads, NULL), 0);
    while (!atomic_load(&pair.a.c->end->rx_sleepers))
        sched_yield();
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&pair.a.c->end->rx_sleepers), 0);
}

// Somebody who was killed in its sleep remains counted: for its sake the bell is rung again and
// again, but that takes no core.
static void one_that_is_gone_takes_no_core(void **state)
{
    char byte;
    const struct iovec v = {&byte, 1};
    uint64_t begin_ns = clock_now_ns(), took_ms;

    pair.a.c->end->rcvtimeo_ns = 200 * NS_PER_MS;
    atomic_fetch_add(&pair.a.c->end->tx_sleepers, 1);
    go_to_twin(&pair.a);
    conn_rouse(pair.a.c);
    assert_int_equal(conn_recv(pair.a.c, pair.a.fd, &v, 1, 0), -EAGAIN);
    took_ms = (clock_now_ns() - begin_ns) / NS_PER_MS;
    assert_in_range(sleeps, 1, took_ms + OFTEN);
    rig_write(&pair.b, 1);
    rig_read(&pair.a, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reader_hears_the_twin, begin, end),
        cmocka_unit_test_setup_teardown(a_poller_hears_the_twin, begin, end),
        cmocka_unit_test_setup_teardown(a_writer_goes_on_by_the_twin, begin, end),
        cmocka_unit_test_setup_teardown(a_poller_for_room_finds_it_in_the_twin, begin, end),
        cmocka_unit_test_setup_teardown(a_reader_gets_its_ring_though_a_writer_heard_it, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_writer_gets_its_ring_though_a_reader_heard_it, begin,
                                        end),
        cmocka_unit_test_setup_teardown(two_full_rings_do_not_wake_each_other, begin, end),
        cmocka_unit_test_setup_teardown(a_reader_of_many_bytes_is_not_kept_by_the_ring, begin, end),
        cmocka_unit_test_setup_teardown(one_that_is_gone_takes_no_core, begin, end),
        cmocka_unit_test_setup_teardown(a_cancelled_thread_is_not_counted_as_asleep, begin, end),
    };

    rig_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
