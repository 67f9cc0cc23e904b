// SPDX-License-Identifier: BSD-2-Clause
// Claims and matches, through the manager, against a real shuntd.
#include "rig.h"

#include "base/clock.h"
#include "chan/chan.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rig rig;

static int start(void **state)
{
    rig_start(&rig, NULL);
    return 0;
}

static int stop(void **state)
{
    rig_stop(&rig, SIGTERM);
    return 0;
}

static void pass_a_byte(struct chan *from, struct chan *to)
{
    struct chan_tx tx = {0};
    struct chan_rx rx = {0};

    *chan_tx_at(from, &tx) = 'x';
    chan_commit(from, &tx, 1);
    assert_int_equal(chan_avail(to, &rx, 1), 1);
    assert_int_equal(*chan_rx_at(to, &rx), 'x');
}

static void both_ends_in_one_process_are_matched(void **state)
{
    struct cm *cm = cm_init("test", rig.path, &rig_events);
    struct chan a, b;
    int tcp[2];

    tcp_pair(tcp);
    rig_claim(cm, tcp[0], -1);
    assert_true(cm_busy(cm));
    rig_claim(cm, tcp[1], -1);
    rig_wait_matched(cm, 2);
    assert_false(cm_busy(cm));
    assert_int_equal(told.matched[0].side + told.matched[1].side, 1);
    assert_int_equal(told.n_refused, 0);
    assert_int_equal(chan_map(&a, told.matched[0].memfd, told.matched[0].side, told.matched[0].bell,
                              told.matched[0].peer_bell),
                     0);
    assert_int_equal(chan_map(&b, told.matched[1].memfd, told.matched[1].side, told.matched[1].bell,
                              told.matched[1].peer_bell),
                     0);
    assert_int_equal(a.ring_bytes, RIG_RING_BYTES);
    pass_a_byte(&a, &b);
    pass_a_byte(&b, &a);
    chan_unmap(&a);
    chan_unmap(&b);
    close(tcp[0]);
    close(tcp[1]);
    cm_forked(cm); // hangs up
    rig_wait_count(&rig, "channels", 0);
}

static void shuntd_keeps_no_copy_of_the_socket(void **state)
{
    struct cm *cm = cm_init("test", rig.path, &rig_events);
    int tcp[2];
    char byte;

    tcp_pair(tcp);
    rig_claim(cm, tcp[0], -1);
    rig_wait_count(&rig, "claims", 1);
    close(tcp[0]);
    assert_int_equal(read(tcp[1], &byte, 1), 0); // the FIN is out
    close(tcp[1]);
    cm_forked(cm);
    rig_wait_count(&rig, "claims", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_in_one_process_are_matched),
        cmocka_unit_test(shuntd_keeps_no_copy_of_the_socket),
    };

    return cmocka_run_group_tests_name("daemon/claim", tests, start, stop);
}
