// SPDX-License-Identifier: BSD-2-Clause
// Queues that end, owners that die, links that come and go.
#include "suite.h"

#include <errno.h>
#include <linux/capability.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

#define LISTEN_PORT 24300
#define SLOW_FRAMES 350 // more than a socket has room for

static const struct segment to_here = {
    .from = THERE, .source = PORT_THERE, .dest = PORT_HERE, .tcp_flags = TH_ACK, .bytes = 99};

// 0: the connection is under way; else what connect() ended with, within 150 ms.
static int connect_here(int *fd)
{
    struct sockaddr_in address = rig_address(HERE, LISTEN_PORT);
    struct pollfd pollfd = {.events = POLLOUT};
    socklen_t len = sizeof(int);
    int err = 0;

    rig_enter(THERE);
    *fd = pollfd.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    rig_enter(HERE);
    assert_int_equal(connect(*fd, (struct sockaddr *)&address, sizeof(address)), -1);
    assert_int_equal(errno, EINPROGRESS);
    if (poll(&pollfd, 1, 150) == 1)
        getsockopt(*fd, SOL_SOCKET, SO_ERROR, &err, &len);
    return -err;
}

// The kernel answers RST. It empties a dead owner's maps in a worker of its own, after a grace
// period of RCU, so SYNs that come before may be dropped still: for seconds, on a busy machine.
static bool refused_soon(void)
{
    int fd, err = 0;

    for (int turn = 0; turn < 150 && err != -ECONNREFUSED; turn++) {
        err = connect_here(&fd);
        close(fd);
    }
    return err == -ECONNREFUSED;
}

// A process that owns the queue of `here` with a listening port, until it is killed. We drive the
// queue: the kernel must have its traffic back though we still have all descriptors.
static pid_t owner_process(struct rig *rig)
{
    struct queue_flow f = rig_flow(HERE, LISTEN_PORT, 0);
    struct queue_grant grant;
    int sockets[2];
    pid_t child;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
    child = fork();
    if (child == 0) {
        rig_open(rig, HERE);
        assert_int_equal(queue_flow_add(rig->owner[HERE], &f), 0);
        grant_pass(sockets[1], &rig->owner[HERE]->grant);
        for (;;)
            pause();
    }
    close(sockets[1]);
    assert_true(grant_take(sockets[0], &grant));
    close(sockets[0]);
    assert_int_equal(queue_attach(&rig->queue[HERE], &grant), 0);
    return child;
}

static void kill_and_wait(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void test_killed_owner_leaves_the_kernel(void **state)
{
    struct rig *rig = *state;
    int fd;

    for (int turn = 0; turn < 3; turn++) {
        pid_t child = owner_process(rig);

        assert_int_equal(connect_here(&fd), 0);
        close(fd);
        kill_and_wait(child);
        assert_true(refused_soon());
        rig_close(rig, HERE); // or AF_XDP's hardware queue is taken
    }
}

// The same by the way of older kernels, whose attachments outlive their maker, and the next owner
// after that.
static void test_killed_owner_without_links(void **state)
{
    rig_options.direct = true;
    test_killed_owner_leaves_the_kernel(state);
    rig_options.direct = false;
}

// The kernel's TCP gets a segment that it does not know, and answers RST.
static void test_killed_owner_resets_connections(void **state)
{
    struct rig *rig = *state;
    struct pollfd pollfd = {.events = POLLIN};
    pid_t child = owner_process(rig);
    int err;
    socklen_t len = sizeof(err);

    assert_int_equal(connect_here(&pollfd.fd), 0);
    kill_and_wait(child);
    // the SYN goes again after 1, 3 and 7 seconds
    assert_int_equal(poll(&pollfd, 1, 20000), 1);
    assert_int_equal(getsockopt(pollfd.fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    assert_int_equal(err, ECONNREFUSED);
    close(pollfd.fd);
}

static void test_close_leaves_the_kernel(void **state)
{
    struct rig *rig = *state;
    struct queue_flow f = rig_flow(HERE, LISTEN_PORT, 0);
    struct queue_frame frame;
    struct queue *driver;
    int fd;

    rig_open(rig, HERE);
    assert_int_equal(queue_flow_add(rig->owner[HERE], &f), 0);
    assert_int_equal(connect_here(&fd), 0);
    close(fd);
    assert_true(frame_next(rig, HERE, &frame));
    frame_done(rig, HERE);
    driver = rig->queue[HERE]; // outlives the owner
    rig->queue[HERE] = NULL;
    rig_close(rig, HERE);
    while (queue_rx(driver, &frame, 1, 0) == 1)
        queue_release(driver, 1);
    assert_int_equal(queue_rx(driver, &frame, 1, 0), -ENETDOWN);
    assert_int_equal(queue_kick(driver, 0), -ENETDOWN);
    assert_int_equal(queue_arm(driver), -ENETDOWN);
    assert_true(refused_soon());
    queue_detach(driver);
}

static void expect_frame(struct rig *rig)
{
    struct queue_frame frame;

    assert_int_equal(frame_send(rig, &to_here), 0);
    assert_true(frame_next(rig, HERE, &frame));
    frame_expect(rig, HERE, &frame, &to_here);
    frame_done(rig, HERE);
}

static void test_reopen_at_once(void **state)
{
    struct rig *rig = *state;
    struct queue_flow f = rig_flow(HERE, PORT_HERE, PORT_THERE);

    for (int turn = 0; turn < 8; turn++) {
        rig_close(rig, HERE);
        rig_open(rig, HERE);
        assert_int_equal(queue_flow_add(rig->owner[HERE], &f), 0);
        expect_frame(rig);
    }
}

static void test_link_down_and_up(void **state)
{
    struct rig *rig = *state;
    struct pollfd pollfd = {.fd = queue_wait_fd(rig->queue[HERE]), .events = POLLIN};
    struct segment s = {.from = HERE, .source = PORT_HERE, .dest = PORT_THERE, .tcp_flags = TH_ACK};

    for (int turn = 0; turn < 2; turn++) {
        expect_frame(rig);
        rig_run(HERE, "link set %s down", device_of[HERE]);
        assert_int_equal(frame_send(rig, &s), -ENETDOWN);
        assert_int_equal(queue_arm(rig->queue[HERE]), 0);
        assert_int_equal(poll(&pollfd, 1, 0), 0); // no error stays to be polled
        rig_run(HERE, "link set %s up", device_of[HERE]);
        // the kernel lets a device send a little after it is up, and drops until then
        while (frame_send(rig, &to_here) != 0 || frame_none(rig, HERE))
            ;
        frame_done(rig, HERE);
        while (!frame_none(rig, HERE))
            frame_done(rig, HERE);
    }
    while (frame_send(rig, &s) != 0 || frame_none(rig, THERE))
        ;
}

// What a slow device does not take at once waits, and comes once and in order.
static void test_slow_device(void **state)
{
    struct rig *rig = *state;
    struct queue *from = rig->queue[HERE];
    struct segment s = {.from = HERE,
                        .source = PORT_HERE,
                        .dest = PORT_THERE,
                        .tcp_flags = TH_ACK,
                        .bytes = from->caps->super_tx_bytes ? 60000 : 1400,
                        .gso_size = from->caps->super_tx_bytes ? 1400 : 0};
    uint32_t sent = 0, came = 0;
    bool slow = true;

    rig_enter(HERE);
    if (system("tc qdisc add dev qa root tbf rate 2mbit burst 128kb limit 100mb"))
        fail_msg("tc");
    while (came < SLOW_FRAMES) {
        struct queue_frame frame;
        int err = -EAGAIN;

        s.seq = s.seed = sent;
        if (sent < SLOW_FRAMES)
            err = frame_send(rig, &s);
        assert_true(err == 0 || err == -EAGAIN);
        sent += err == 0;
        if (err)
            assert_int_equal(queue_kick(from, clock_now_ns()), 0);
        if (slow && (from->counters->tx_full || sent == SLOW_FRAMES)) {
            slow = false; // it has been full: a slow sender would never fill a faster device
            if (system("tc qdisc change dev qa root tbf rate 200mbit burst 128kb limit 100mb"))
                fail_msg("tc");
        }
        while (queue_rx(rig->queue[THERE], &frame, 1, clock_now_ns()) == 1) {
            s.seq = s.seed = came++;
            frame_expect(rig, THERE, &frame, &s);
            frame_done(rig, THERE);
        }
    }
    assert_true(frame_none(rig, THERE));
    assert_int_equal(from->counters->tx_dropped, 0);
    if (rig->door == QUEUE_AF_PACKET) // AF_XDP goes by no queueing discipline
        assert_true(from->counters->tx_full > 0);
}

static void test_device_goes_away(void **state)
{
    struct rig *rig = *state;
    struct segment s = {.from = HERE, .source = PORT_HERE, .dest = PORT_THERE, .tcp_flags = TH_ACK};
    struct queue_frame frame;
    int err;

    expect_frame(rig);
    rig_run(HERE, "link del %s", device_of[HERE]);
    err = frame_send(rig, &s);
    assert_true(err == -ENXIO || err == -ENETDOWN);
    assert_true(queue_rx(rig->queue[HERE], &frame, 1, 0) <= 0);
}

// All that the owner's process may do from now on.
static bool only_capabilities(uint64_t bits)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)bits, .permitted = (uint32_t)bits},
        {.effective = (uint32_t)(bits >> 32), .permitted = (uint32_t)(bits >> 32)},
    };

    return syscall(SYS_capset, &head, data) == 0;
}

static int open_with(uint64_t capabilities)
{
    struct queue_options options = rig_options;
    struct queue_flow f = rig_flow(HERE, PORT_HERE, PORT_THERE);
    struct queue_owner *owner;
    char why[200] = "";

    options.device = device_of[HERE];
    if (!only_capabilities(capabilities))
        return 2;
    if (queue_open(&owner, &options, why, sizeof(why))) {
        print_message("# %s\n", why);
        return 3;
    }
    if (queue_flow_add(owner, &f) || queue_flow_del(owner, &f))
        return 4;
    queue_close(owner);
    return 0;
}

static void test_few_capabilities(void **state)
{
    struct rig *rig = *state;
    uint64_t bits =
        UINT64_C(1) << CAP_NET_RAW | UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_BPF;
    int status;

    if (rig->door == QUEUE_AF_XDP) // packet memory is locked
        bits |= UINT64_C(1) << CAP_IPC_LOCK;
    if (fork() == 0)
        _exit(open_with(bits));
    assert_true(wait(&status) > 0 && status == 0);
}

static void test_no_such_device(void **state)
{
    struct queue_options options = rig_options;
    struct queue_owner *owner;
    char why[200] = "";

    options.device = "no-such-device";
    assert_int_equal(queue_open(&owner, &options, why, sizeof(why)), -ENODEV);
    assert_non_null(strstr(why, "no-such-device"));
}

static void test_auto_chooses_af_packet_on_veth(void **state)
{
    struct rig *rig = *state;
    const char *why = "";

    assert_int_equal(queue_choose(device_of[HERE], &why), QUEUE_AF_PACKET);
    assert_non_null(strstr(why, "zero copy"));
    assert_non_null(rig);
}

static void test_grants_that_do_not_fit(void **state)
{
    struct rig *rig = *state;
    struct queue_grant good = rig->owner[HERE]->grant, bad;
    struct queue *q;

    for (unsigned i = 0; i < ARRAY_LEN(good.desc.ring); i++) {
        bad = good;
        bad.desc.ring[i] = bad.desc.ring[i] * 2 + 4096;
        if (good.desc.ring[i])
            assert_int_equal(queue_attach(&q, &bad), -EPROTO);
    }
    bad = good;
    bad.desc.fd_count = 0;
    assert_int_equal(queue_attach(&q, &bad), -EPROTO);
    bad = good;
    bad.fd[1] = bad.fd[0];
    assert_int_equal(queue_attach(&q, &bad), -EPROTO);
}

const struct CMUnitTest life_tests[] = {
    cmocka_unit_test_setup_teardown(test_close_leaves_the_kernel, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_reopen_at_once, setup_pair, teardown_rig),
    cmocka_unit_test(test_no_such_device),
    cmocka_unit_test_setup_teardown(test_auto_chooses_af_packet_on_veth, setup_links, teardown_rig),
};
const size_t life_tests_count = ARRAY_LEN(life_tests);

const struct CMUnitTest socket_tests[] = {
    cmocka_unit_test_setup_teardown(test_two_processes_in_turn, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_fork, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_killed_owner_leaves_the_kernel, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_killed_owner_without_links, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_killed_owner_resets_connections, setup_links,
                                    teardown_rig),
    cmocka_unit_test_setup_teardown(test_link_down_and_up, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_few_capabilities, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_slow_device, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_device_goes_away, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_grants_that_do_not_fit, setup_pair, teardown_rig),
};
const size_t socket_tests_count = ARRAY_LEN(socket_tests);
