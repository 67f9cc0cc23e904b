// SPDX-License-Identifier: BSD-2-Clause
// Whose is a packet: what the queue gets, what the kernel keeps, and a kernel's TCP as peer.
#include "suite.h"

#include <errno.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

#define LISTEN_PORT 24100
#define KERNEL_PORT 24200

static void flow(struct rig *rig, enum side side, struct queue_flow f)
{
    assert_int_equal(queue_flow_add(rig->owner[side], &f), 0);
}

static void no_flow(struct rig *rig, enum side side, struct queue_flow f)
{
    assert_int_equal(queue_flow_del(rig->owner[side], &f), 0);
}

static struct segment to_here(uint16_t port)
{
    return (struct segment){
        .from = THERE, .source = PORT_THERE, .dest = port, .tcp_flags = TH_ACK, .bytes = 20};
}

static void expect_taken(struct rig *rig, const struct segment *s)
{
    struct queue_frame frame;

    assert_int_equal(frame_send(rig, s), 0);
    assert_true(frame_next(rig, HERE, &frame));
    frame_expect(rig, HERE, &frame, s);
    frame_done(rig, HERE);
}

static void expect_passed(struct rig *rig, const struct segment *s)
{
    assert_int_equal(frame_send(rig, s), 0);
    assert_true(frame_none(rig, HERE));
}

static void test_flow_table(void **state)
{
    struct rig *rig = *state;
    struct queue_flow f = rig_flow(HERE, PORT_HERE, PORT_THERE), bad = f;

    assert_int_equal(queue_flow_add(rig->owner[HERE], &f), -EEXIST);
    assert_int_equal(queue_flow_del(rig->owner[HERE], &f), 0);
    assert_int_equal(queue_flow_del(rig->owner[HERE], &f), -ENOENT);
    bad.local_port = 0;
    assert_int_equal(queue_flow_add(rig->owner[HERE], &bad), -EINVAL);
    bad = f;
    bad.remote_port = 0; // neither a flow nor a listening port
    assert_int_equal(queue_flow_add(rig->owner[HERE], &bad), -EINVAL);
}

static void test_flow_table_full(void **state)
{
    struct rig *rig = *state;
    struct queue_flow f;
    int err = 0;
    uint16_t n;

    rig_options.flows_max = 100;
    rig_open(rig, HERE);
    rig_options.flows_max = 0;
    for (n = 0; n < 1000 && !err; n++) {
        f = rig_flow(HERE, (uint16_t)(1000 + n), PORT_THERE);
        err = queue_flow_add(rig->owner[HERE], &f);
    }
    assert_int_equal(err, -ENOSPC);
    assert_true(n >= 100 && n <= 300); // the kernel rounds up, and caches entries a CPU
    no_flow(rig, HERE, rig_flow(HERE, 1000, PORT_THERE));
}

static void test_exact_and_listening(void **state)
{
    struct rig *rig = *state;
    struct segment s = to_here(PORT_HERE), near = s, v6 = s, listen = to_here(LISTEN_PORT);
    struct queue_flow any = rig_flow(HERE, LISTEN_PORT, 0),
                      any6 = {.local_port = htons(LISTEN_PORT)};

    expect_taken(rig, &s);
    near.source++;
    expect_passed(rig, &near);
    v6.v6 = true;
    expect_passed(rig, &v6);
    flow(rig, HERE, rig_flow6(HERE, PORT_HERE, PORT_THERE));
    expect_taken(rig, &v6);

    expect_passed(rig, &listen);
    flow(rig, HERE, any);
    expect_taken(rig, &listen);
    no_flow(rig, HERE, any);
    expect_passed(rig, &listen);
    memset(&any.local.s6_addr[12], 0, 4); // ::ffff:0.0.0.0
    flow(rig, HERE, any);
    expect_taken(rig, &listen);
    listen.v6 = true;
    expect_passed(rig, &listen);
    flow(rig, HERE, any6);
    expect_taken(rig, &listen);
    no_flow(rig, HERE, any6);
    expect_passed(rig, &listen);
}

static void test_flows_change_under_traffic(void **state)
{
    struct rig *rig = *state;
    struct segment s = to_here(PORT_HERE), second = to_here(LISTEN_PORT);
    struct queue_flow f = rig_flow(HERE, LISTEN_PORT, PORT_THERE);
    struct queue_frame frame;

    for (uint32_t i = 0; i < 1000; i++) {
        bool there = i / 10 & 1;

        if (i % 10 == 0 && i)
            (there ? flow : no_flow)(rig, HERE, f);
        s.seq = second.seq = i;
        assert_int_equal(frame_send(rig, &second), 0);
        assert_int_equal(frame_send(rig, &s), 0);
        if (there) {
            assert_true(frame_next(rig, HERE, &frame));
            frame_expect(rig, HERE, &frame, &second);
            frame_done(rig, HERE);
        }
        assert_true(frame_next(rig, HERE, &frame));
        frame_expect(rig, HERE, &frame, &s);
        frame_done(rig, HERE);
    }
}

// ---- what stays the kernel's ----

static int kernel_socket(enum side side, int type, int protocol)
{
    int fd;

    rig_enter(side);
    fd = socket(AF_INET, type | SOCK_CLOEXEC, protocol);
    rig_enter(HERE);
    assert_true(fd >= 0);
    return fd;
}

static int kernel_bound(enum side side, int type, uint16_t port)
{
    struct sockaddr_in address = rig_address(side, port);
    int fd = kernel_socket(side, type, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void wait_for(int fd, short events)
{
    struct pollfd pollfd = {.fd = fd, .events = events};

    assert_int_equal(poll(&pollfd, 1, 3000), 1);
}

static void kernel_tcp(void)
{
    int listener = kernel_bound(HERE, SOCK_STREAM, KERNEL_PORT), fd, accepted;
    struct sockaddr_in address = rig_address(HERE, KERNEL_PORT);
    char out[32768], in[32768];

    fd = kernel_socket(THERE, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    accepted = accept(listener, NULL, NULL);
    for (uint32_t i = 0; i < sizeof(out); i++)
        out[i] = (char)payload_byte(1, i);
    for (int turn = 0; turn < 8; turn++) {
        assert_int_equal(send(fd, out, sizeof(out), 0), sizeof(out));
        wait_for(accepted, POLLIN);
        assert_int_equal(recv(accepted, in, sizeof(in), MSG_WAITALL), sizeof(in));
        assert_memory_equal(in, out, sizeof(in));
    }
    close(fd);
    close(accepted);
    close(listener);
}

// Fragments: 4000 bytes of UDP at an MTU of 1500.
static void kernel_udp(void)
{
    int here = kernel_bound(HERE, SOCK_DGRAM, KERNEL_PORT), there;
    struct sockaddr_in address = rig_address(HERE, KERNEL_PORT);
    char out[4000] = "fragments", in[5000];

    there = kernel_socket(THERE, SOCK_DGRAM, 0);
    assert_int_equal(
        sendto(there, out, sizeof(out), 0, (struct sockaddr *)&address, sizeof(address)),
        sizeof(out));
    wait_for(here, POLLIN);
    assert_int_equal(recv(here, in, sizeof(in), 0), sizeof(out));
    assert_memory_equal(in, out, sizeof(out));
    close(here);
    close(there);
}

static void kernel_ping(void)
{
    int fd = kernel_socket(THERE, SOCK_RAW, IPPROTO_ICMP);
    struct sockaddr_in address = rig_address(HERE, 0);
    struct icmphdr echo = {.type = ICMP_ECHO, .checksum = (uint16_t) ~(ICMP_ECHO)};
    uint8_t answer[200];

    assert_int_equal(
        sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&address, sizeof(address)),
        sizeof(echo));
    wait_for(fd, POLLIN);
    assert_true(recv(fd, answer, sizeof(answer), 0) >= 28);
    assert_int_equal(answer[20], ICMP_ECHOREPLY);
    close(fd);
}

static void test_other_traffic_is_the_kernels(void **state)
{
    struct rig *rig = *state;
    struct queue_verdicts v;
    struct segment s = to_here(PORT_HERE);

    rig_run(HERE, "neigh flush dev %s", device_of[HERE]); // ARP goes anew
    for (int turn = 0; turn < 3; turn++) {
        kernel_tcp();
        kernel_udp();
        kernel_ping();
        expect_taken(rig, &s);
    }
    assert_true(frame_none(rig, HERE));
    rig->owner[HERE]->ops->verdicts(rig->owner[HERE], &v);
    assert_int_equal(v.taken, 3);
    if (rig->door != QUEUE_VERBS_RAW) { // a NIC does not tell
        assert_true(v.passed >= 3 * 4); // kernel TCP
        assert_true(v.other >= 3 * 4);  // three fragments and a ping
    }
    assert_int_equal(v.overflow, 0);
}

static void test_damaged_headers_are_the_kernels(void **state)
{
    struct rig *rig = *state;
    struct segment s = to_here(PORT_HERE);
    static struct built b;

    for (uint32_t i = 0; i < 60; i++) {
        frame_build(&b, rig, &s);
        switch (i % 4) {
        case 0: // a header that ends beyond the frame
            b.head[14] = 0x4f;
            b.out.payload_count = 0;
            break;
        case 1: // no IP version, or a header of no length
            b.head[14] = i & 4 ? 0x75 : 0x40;
            break;
        case 2: // a fragment
            b.head[20] = i & 4 ? 0x20 : 0;
            b.head[21] = i & 4 ? 0 : 1;
            break;
        case 3: // cut off anywhere
            b.out.payload_count = 0;
            b.out.head_bytes = (uint16_t)(14 + i / 3);
            break;
        }
        queue_tx(rig->queue[THERE], &b.out, clock_now_ns());
        queue_kick(rig->queue[THERE], clock_now_ns());
    }
    assert_true(frame_none(rig, HERE));
    expect_taken(rig, &s);
}

// ---- a kernel as peer ----

struct peer {
    struct rig *rig;
    struct segment out; // ours to the kernel: seq and ack are where we are
    int fd;
    uint32_t longest; // frame that came
    bool unfinished;
};

static void receive(struct peer *p, struct seen *seen)
{
    struct queue_frame frame;

    assert_true(frame_next(p->rig, HERE, &frame));
    frame_read(p->rig, HERE, &frame, seen);
    assert_true(seen->csum_good);
    assert_false(seen->segment.tcp_flags & TH_RST);
    p->longest = MAX(p->longest, frame.len_bytes);
    p->unfinished |= frame.flags & (QUEUE_CSUM_UNFINISHED | QUEUE_CSUM_EITHER);
    frame_done(p->rig, HERE);
}

static void peer_connect(struct peer *p, struct rig *rig)
{
    struct sockaddr_in address = rig_address(HERE, LISTEN_PORT);
    static struct seen seen;
    int err;
    socklen_t len = sizeof(err);

    *p = (struct peer){.rig = rig, .fd = kernel_socket(THERE, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    assert_int_equal(connect(p->fd, (struct sockaddr *)&address, sizeof(address)), -1);
    assert_int_equal(errno, EINPROGRESS);
    receive(p, &seen);
    assert_true(seen.segment.tcp_flags & TH_SYN);
    p->out = (struct segment){.from = HERE,
                              .source = LISTEN_PORT,
                              .dest = seen.segment.source,
                              .seq = 5000,
                              .ack = seen.segment.seq + 1,
                              .tcp_flags = TH_SYN | TH_ACK,
                              .csum = CSUM_OPEN};
    assert_int_equal(frame_send(rig, &p->out), 0);
    wait_for(p->fd, POLLOUT);
    assert_int_equal(getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
    assert_int_equal(err, 0);
    p->out.seq++;
    p->out.tcp_flags = TH_ACK;
    receive(p, &seen);
}

static void peer_to_us(struct peer *p, uint32_t total)
{
    static char bytes[60000];
    static struct seen seen;
    uint32_t sent = 0, done = 0;

    for (uint32_t i = 0; i < total; i++)
        bytes[i] = (char)payload_byte(9, i);
    while (done < total) {
        ssize_t n = send(p->fd, bytes + sent, total - sent, 0);

        sent += n > 0 ? (uint32_t)n : 0; // what its buffer has room for
        receive(p, &seen);
        if (seen.segment.seq != p->out.ack) // sent again before our ACK came
            continue;
        assert_memory_equal(seen.bytes, bytes + done, seen.segment.bytes);
        done += seen.segment.bytes;
        p->out.ack += seen.segment.bytes;
        assert_int_equal(frame_send(p->rig, &p->out), 0);
    }
}

static void us_to_peer(struct peer *p, uint32_t bytes, uint16_t gso_size)
{
    static char in[65536];

    p->out.bytes = bytes;
    p->out.seed = bytes;
    p->out.gso_size = gso_size;
    assert_int_equal(frame_send(p->rig, &p->out), 0);
    p->out.seq += bytes;
    p->out.bytes = p->out.gso_size = 0;
    for (uint32_t done = 0; done < bytes;) {
        ssize_t n;

        wait_for(p->fd, POLLIN);
        n = recv(p->fd, in, sizeof(in), 0);
        assert_true(n > 0 && done + n <= bytes);
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal((uint8_t)in[i], payload_byte(bytes, done + (uint32_t)i));
        done += (uint32_t)n;
    }
}

void test_kernel_peer(void **state)
{
    struct rig *rig = *state;
    const struct queue_caps *caps;
    struct peer p;

    rig_open(rig, HERE);
    caps = rig->queue[HERE]->caps;
    flow(rig, HERE, rig_flow(HERE, LISTEN_PORT, 0));
    peer_connect(&p, rig);
    peer_to_us(&p, 60000);
    for (uint32_t bytes = 1; bytes <= 1460; bytes += 97)
        us_to_peer(&p, bytes, 0);
    if (caps->super_tx_bytes)
        us_to_peer(&p, 20000, 1400);
    peer_to_us(&p, 30000);
    // veth has TSO and leaves checksums open, so both have been seen
    if (caps->super_rx_bytes > 1514)
        assert_true(p.longest > 1514);
    if (rig->door != QUEUE_VERBS_RAW) // a NIC sums what goes out
        assert_true(p.unfinished);
    p.out.tcp_flags = TH_RST | TH_ACK;
    assert_int_equal(frame_send(rig, &p.out), 0);
    wait_for(p.fd, POLLHUP);
    close(p.fd);
}

const struct CMUnitTest steer_tests[] = {
    cmocka_unit_test_setup_teardown(test_jumbo_frames, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_flow_table, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_flow_table_full, setup_links, teardown_rig),
    cmocka_unit_test_setup_teardown(test_exact_and_listening, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_flows_change_under_traffic, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_other_traffic_is_the_kernels, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_damaged_headers_are_the_kernels, setup_pair, teardown_rig),
    cmocka_unit_test_setup_teardown(test_kernel_peer, setup_links, teardown_rig),
};
const size_t steer_tests_count = ARRAY_LEN(steer_tests);
