// SPDX-License-Identifier: BSD-2-Clause
// A stack over AF_PACKET on veth against the kernel's TCP in another namespace.
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct host host;

static int setup(void **state)
{
    rig_new();
    host_open(&host, HERE, device_of[HERE]);
    return 0;
}

static int teardown(void **state)
{
    host_close(&host);
    rig_free();
    return 0;
}

static struct end ours(uint32_t sock)
{
    return (struct end){.host = &host, .sock = sock};
}

static struct end theirs(int fd)
{
    return (struct end){.fd = fd};
}

static void active_open(bool v6)
{
    struct ip_addr to = rig_addr(THERE, v6);
    int listener = kernel_listen(THERE, v6, PORT), fd;
    uint32_t sock = host_connect(&host, NULL, &to, PORT);

    fd = kernel_accept(&host, listener);
    rig_stream(ours(sock), theirs(fd), 30 << 20, NULL, NULL);
    rig_stream(theirs(fd), ours(sock), 30 << 20, NULL, NULL);
    assert_true(net_counters(host.net)->super_in > 0);
    assert_true(net_counters(host.net)->super_out > 0);
    close(fd);
    close(listener);
}

static void test_active_open_ip4(void **state)
{
    active_open(false);
}

static void test_active_open_ip6(void **state)
{
    active_open(true);
}

static void passive_open(bool v6)
{
    struct ip_addr at = rig_addr(HERE, v6);
    uint32_t listener = host_listen(&host, &at, PORT), sock;
    int fd = kernel_connect(THERE, &at, PORT);

    sock = host_accept(&host, NULL, listener);
    rig_stream(ours(sock), theirs(fd), 5 << 20, NULL, NULL);
    rig_stream(theirs(fd), ours(sock), 5 << 20, NULL, NULL);
    close(fd);
    host_expect(&host, NULL, sock, NET_FIN);
}

static void test_passive_open_ip4(void **state)
{
    passive_open(false);
}

static void test_passive_open_ip6(void **state)
{
    passive_open(true);
}

static bool peer_reads_eof(void *arg)
{
    char c;

    return recv(*(int *)arg, &c, 1, MSG_DONTWAIT) == 0;
}

static void test_close_sends_fin(void **state)
{
    struct ip_addr to = rig_addr(THERE, false);
    int listener = kernel_listen(THERE, false, PORT), fd;
    uint32_t sock = host_connect(&host, NULL, &to, PORT);

    fd = kernel_accept(&host, listener);
    net_request(host.net, clock_now_ns(), sock, NET_CLOSE);
    assert_true(rig_until(&host, NULL, 100, peer_reads_eof, &fd));
    close(fd);
    close(listener);
}

static void test_port_without_a_listener(void **state)
{
    struct net_open o = {.remote = rig_addr(THERE, false), .remote_port = PORT};
    uint32_t sock;

    o.local = rig_addr(HERE, false);
    assert_int_equal(net_ports_take(host.ports, &o.local, &o.local_port), 0);
    assert_int_equal(net_open(host.net, clock_now_ns() + NS_PER_S, &o, &sock), 0);
    host_expect(&host, NULL, sock, NET_CLOSED);
    assert_int_equal(net_error(host.net, sock), -ECONNREFUSED);
}

// Nobody has the address: the kernel looks for it for three seconds.
static void test_host_that_is_not_there(void **state)
{
    struct ip_addr nobody = ip_addr_v4(htobe32(0x0a4e0063));
    struct net_open o = {.remote = nobody, .remote_port = PORT};
    uint64_t start_ns = clock_now_ns();
    uint32_t sock;

    assert_int_equal(net_mirror_resolve(host.mirror, &nobody, clock_now_ns() + NS_PER_S / 10),
                     -EHOSTUNREACH);
    assert_int_equal(net_open(host.net, clock_now_ns() + NS_PER_S, &o, &sock), 0);
    host_expect(&host, NULL, sock, NET_CLOSED);
    assert_int_equal(net_error(host.net, sock), -EHOSTUNREACH);
    assert_true(clock_now_ns() - start_ns < 8 * NS_PER_S);
}

static void test_neighbour_is_asked_for(void **state)
{
    struct ip_addr to = rig_addr(THERE, false), any = {.b = {0}};
    struct net_path path;

    assert_int_equal(net_path(host.net, &to, &any, &path), 0);
    assert_false(path.reachable);
    assert_int_equal(net_mirror_resolve(host.mirror, &to, clock_now_ns() + NS_PER_S), 0);
    assert_int_equal(net_path(host.net, &to, &any, &path), 0);
    assert_true(path.reachable);
    assert_int_equal(path.mtu, 1500);
    assert_int_equal(path.ifindex, host.ifindex);
}

static int bind_kernel(const struct ip_addr *addr, uint16_t port, int *fd)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;

    sin.sin_addr.s_addr = addr->w[3];
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    return bind(*fd, (struct sockaddr *)&sin, sizeof sin) ? -errno : 0;
}

// Never two owners of a port.
static void test_ports_are_reserved(void **state)
{
    struct ip_addr addr = rig_addr(HERE, false);
    uint16_t port = 0, taken = 27501;
    int fd, other;

    assert_int_equal(net_ports_take(host.ports, &addr, &port), 0);
    assert_true(port > 0);
    assert_int_equal(bind_kernel(&addr, port, &fd), -EADDRINUSE);
    close(fd);
    assert_int_equal(net_ports_take(host.ports, &addr, &port), -EADDRINUSE);
    assert_int_equal(bind_kernel(&addr, taken, &other), 0);
    assert_int_equal(net_ports_take(host.ports, &addr, &taken), -EADDRINUSE);
    close(other);
    net_ports_release(host.ports, &addr, port);
    for (int i = 0; i < 3; i++)
        net_ports_run(host.ports);
    assert_int_equal(net_ports_count(host.ports), 0);
    assert_int_equal(bind_kernel(&addr, port, &fd), 0);
    close(fd);
}

// A port is kept while a connection on it is in TIME-WAIT.
static void test_port_is_ours_in_time_wait(void **state)
{
    struct ip_addr to = rig_addr(THERE, false);
    int listener = kernel_listen(THERE, false, PORT), fd;
    uint32_t sock = host_connect(&host, NULL, &to, PORT);
    struct net_info info;

    fd = kernel_accept(&host, listener);
    net_info(host.net, sock, &info);
    net_request(host.net, clock_now_ns(), sock, NET_CLOSE);
    assert_true(rig_until(&host, NULL, 100, peer_reads_eof, &fd));
    close(fd);
    net_ports_release(host.ports, &info.tuple.local, info.tuple.local_port);
    for (int i = 0; i < 5; i++) {
        host_drive(&host);
        net_ports_run(host.ports);
    }
    assert_int_equal(net_ports_count(host.ports), 1);
    close(listener);
}

enum { PORTS = 1100, RESTED_US = 1700000 };

static void take_ports(uint16_t port[], int n)
{
    struct ip_addr addr = rig_addr(HERE, false);

    for (int i = 0; i < n; i++) {
        port[i] = 0;
        assert_int_equal(net_ports_take(host.ports, &addr, &port[i]), 0);
    }
}

static void release_ports(const uint16_t port[], int n)
{
    struct ip_addr addr = rig_addr(HERE, false);

    for (int i = 0; i < n; i++)
        net_ports_release(host.ports, &addr, port[i]);
}

// Where many ports rest, those that have rested are taken again, and not one with a live
// connection.
static void test_many_ports_are_taken_in_turn(void **state)
{
    struct ip_addr to = rig_addr(THERE, false);
    int listener = kernel_listen(THERE, false, PORT), fd;
    uint16_t port[PORTS], again[3];
    struct net_info live;

    net_info(host.net, host_connect(&host, NULL, &to, PORT), &live);
    fd = kernel_accept(&host, listener);
    take_ports(port, PORTS);
    release_ports(&live.tuple.local_port, 1);
    release_ports(port, PORTS);
    take_ports(again, 1);
    assert_int_equal(net_ports_count(host.ports), 1 + PORTS + 1); // a fresh one
    net_ports_run(host.ports);
    usleep(RESTED_US);
    take_ports(again + 1, 2);
    assert_int_equal(net_ports_count(host.ports), 1 + PORTS + 1);
    assert_int_equal(again[1], port[0]);
    assert_int_equal(again[2], port[1]);
    close(fd);
    close(listener);
}

static void set_range(const char *range)
{
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "w");

    assert_non_null(f);
    fprintf(f, "%s\n", range);
    assert_int_equal(fclose(f), 0);
}

static void test_ports_that_have_run_out_come_back(void **state)
{
    struct ip_addr addr = rig_addr(HERE, false);
    uint16_t port[8], more = 0;

    set_range("27600 27607");
    take_ports(port, 8);
    assert_int_equal(net_ports_take(host.ports, &addr, &more), -EADDRINUSE);
    release_ports(port + 3, 1);
    take_ports(&more, 1);
    assert_int_equal(more, port[3]); // there is no other
    set_range("27600 27615");
    usleep(RESTED_US); // the kernel is asked again
    take_ports(&more, 1);
    assert_in_range(more, 27608, 27615);
    release_ports(&more, 1);
    release_ports(port, 8);
}

// The listener goes; what was accepted keeps its packets, and new SYNs are the kernel's to refuse.
static void test_connections_outlive_their_listener(void **state)
{
    struct ip_addr at = rig_addr(HERE, false);
    uint32_t listener = host_listen(&host, &at, PORT), sock;
    int fd = kernel_connect(THERE, &at, PORT), late;

    sock = host_accept(&host, NULL, listener);
    net_request(host.net, clock_now_ns(), listener, NET_CLOSE);
    net_ports_release(host.ports, &at, PORT);
    rig_stream(theirs(fd), ours(sock), 1 << 20, NULL, NULL);
    late = kernel_connect(THERE, &at, PORT);
    usleep(20000);
    assert_int_equal(recv(late, &(char){0}, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(late);
    close(fd);
}

// The kernel's own traffic on the interface goes on beside ours.
static void test_other_ports_stay_the_kernels(void **state)
{
    struct ip_addr at = rig_addr(HERE, false);
    int listener = kernel_listen(HERE, false, 27502), fd, peer;

    fd = kernel_connect(THERE, &at, 27502);
    peer = kernel_accept(&host, listener);
    rig_stream(theirs(fd), theirs(peer), 1 << 20, NULL, NULL);
    close(fd);
    close(peer);
    close(listener);
}

int main(void)
{
#define host_test(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        host_test(test_active_open_ip4),
        host_test(test_active_open_ip6),
        host_test(test_passive_open_ip4),
        host_test(test_passive_open_ip6),
        host_test(test_close_sends_fin),
        host_test(test_port_without_a_listener),
        host_test(test_host_that_is_not_there),
        host_test(test_neighbour_is_asked_for),
        host_test(test_ports_are_reserved),
        host_test(test_port_is_ours_in_time_wait),
        host_test(test_many_ports_are_taken_in_turn),
        host_test(test_ports_that_have_run_out_come_back),
        host_test(test_connections_outlive_their_listener),
        host_test(test_other_ports_stay_the_kernels),
    };
    const char *obstacle = rig_obstacle();
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (obstacle) {
        printf("1..0 # SKIP %s\n", obstacle);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
