// SPDX-License-Identifier: BSD-2-Clause
// What AF_PACKET alone has: single segments only, to compare packet for packet.
#include "suite.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/util.h"

static void test_single_segments(void **state)
{
    struct rig *rig = *state;
    struct segment s = {
        .from = HERE, .source = PORT_HERE, .dest = PORT_THERE, .bytes = 3000, .gso_size = 1000};

    rig_options.no_super = true;
    rig_options.rx_slots = 3000;
    rig_open_pair(rig);
    rig_options.no_super = false;
    rig_options.rx_slots = 0;
    assert_int_equal(rig->queue[HERE]->caps->super_tx_bytes, 0);
    assert_int_equal(rig->queue[HERE]->caps->super_rx_bytes, 1514);
    assert_int_equal(frame_send(rig, &s), -EMSGSIZE);
    test_every_size_both_ways(state);
}

// A super-frame that does not fit a slot is counted, given as an empty frame, and harms nothing.
static void test_frame_beyond_a_slot(void **state)
{
    struct rig *rig = *state;
    struct queue_flow f = rig_flow(HERE, PORT_HERE, PORT_THERE);
    struct segment s = {.from = THERE,
                        .source = PORT_THERE,
                        .dest = PORT_HERE,
                        .tcp_flags = TH_ACK,
                        .bytes = 30000,
                        .gso_size = 1000};
    struct queue_frame frame;

    rig_open(rig, THERE);
    rig_options.no_super = true;
    rig_open(rig, HERE);
    rig_options.no_super = false;
    assert_int_equal(queue_flow_add(rig->owner[HERE], &f), 0);
    assert_int_equal(frame_send(rig, &s), 0);
    assert_true(frame_next(rig, HERE, &frame));
    assert_int_equal(frame.len_bytes, 0);
    assert_true(rig->queue[HERE]->counters->rx_bad > 0);
    frame_done(rig, HERE);
    s.bytes = 1000;
    s.gso_size = 0;
    assert_int_equal(frame_send(rig, &s), 0);
    assert_true(frame_next(rig, HERE, &frame));
    frame_expect(rig, HERE, &frame, &s);
}

const struct CMUnitTest packet_tests[] = {
    cmocka_unit_test_setup_teardown(test_single_segments, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_frame_beyond_a_slot, setup_links, teardown_rig),
};
const size_t packet_tests_count = ARRAY_LEN(packet_tests);
