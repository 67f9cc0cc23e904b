// SPDX-License-Identifier: BSD-2-Clause
// What AF_XDP alone has: native mode, and several hardware queues behind one queue.
#include "suite.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

#define HW_QUEUES   4
#define CONNECTIONS 40
#define LISTEN_PORT 24400

static void in_native_mode(void **state, void (*test)(void **))
{
    rig_options.native = true;
    test(state);
    rig_options.native = false;
}

static void test_native_mode(void **state)
{
    struct rig *rig = *state;

    rig_options.native = true;
    rig_open_pair(rig);
    rig_options.native = false;
    assert_non_null(strstr(rig->queue[HERE]->caps->why, "native"));
    test_every_size_both_ways(state);
}

static void test_busy_poll(void **state)
{
    struct rig *rig = *state;

    rig_options.busy_poll_us = 20;
    rig_open_pair(rig);
    rig_options.busy_poll_us = 0;
    assert_non_null(strstr(rig->queue[HERE]->caps->why, "busy poll"));
    test_every_size_both_ways(state);
}

static void test_native_mode_kernel_peer(void **state)
{
    in_native_mode(state, test_kernel_peer);
}

static void test_native_mode_jumbo_frames(void **state)
{
    in_native_mode(state, test_jumbo_frames);
}

static void many_queues(struct rig *rig)
{
    rig_run(HERE, "link del %s", device_of[HERE]);
    rig_links(rig, HW_QUEUES);
    rig_open(rig, HERE);
    assert_int_equal(rig->queue[HERE]->caps->hw_queues, HW_QUEUES);
}

// A kernel's connections come by hardware queues of its choice; all must reach us.
static void test_hardware_queues(void **state)
{
    struct rig *rig = *state;
    struct sockaddr_in address = rig_address(HERE, LISTEN_PORT);
    struct queue_flow f = rig_flow(HERE, LISTEN_PORT, 0);
    int fd[CONNECTIONS];
    bool seen[65536] = {false};
    int found = 0;

    many_queues(rig);
    assert_int_equal(queue_flow_add(rig->owner[HERE], &f), 0);
    rig_enter(THERE);
    for (int i = 0; i < CONNECTIONS; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_int_equal(connect(fd[i], (struct sockaddr *)&address, sizeof(address)), -1);
        assert_int_equal(errno, EINPROGRESS);
    }
    rig_enter(HERE);
    while (found < CONNECTIONS) {
        struct queue_frame frame;
        static struct seen syn;

        assert_true(frame_next(rig, HERE, &frame));
        frame_read(rig, HERE, &frame, &syn);
        assert_true(syn.segment.tcp_flags & TH_SYN && syn.csum_good);
        found += !seen[syn.segment.source];
        seen[syn.segment.source] = true;
        frame_done(rig, HERE);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        close(fd[i]);
}

// Two owners cannot have one device's hardware queue.
static void test_second_owner(void **state)
{
    struct rig *rig = *state;
    struct queue_options options = rig_options;
    struct queue_owner *owner;
    char why[200] = "";

    options.device = device_of[HERE];
    assert_int_equal(queue_open(&owner, &options, why, sizeof(why)), -EBUSY);
    assert_non_null(strstr(why, "busy"));
    assert_true(frame_none(rig, HERE));
}

static void test_no_such_hardware_queue(void **state)
{
    struct queue_options options = rig_options;
    struct queue_owner *owner;
    char why[200] = "";

    options.device = device_of[HERE];
    options.hw_first = 100;
    assert_int_equal(queue_open(&owner, &options, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "hardware queues"));
    assert_non_null(*state);
}

const struct CMUnitTest xdp_tests[] = {
    cmocka_unit_test_setup_teardown(test_native_mode, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_native_mode_kernel_peer, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_native_mode_jumbo_frames, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_busy_poll, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_hardware_queues, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_second_owner, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_no_such_hardware_queue, setup_links, teardown_rig),
};
const size_t xdp_tests_count = ARRAY_LEN(xdp_tests);
