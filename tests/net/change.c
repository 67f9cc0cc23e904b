// SPDX-License-Identifier: BSD-2-Clause
// The network changes in the middle of a transfer: the stack follows the kernel, and every byte
// arrives.
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct host host;
static int listener;

static int setup(void **state)
{
    rig_new();
    host_open(&host, HERE, device_of[HERE]);
    listener = kernel_listen(THERE, false, PORT);
    return 0;
}

static int teardown(void **state)
{
    close(listener);
    host_close(&host);
    rig_free();
    return 0;
}

// Something that happens once when so many bytes have gone.
struct change {
    uint64_t at;
    void (*make)(void);
    bool made;
};

static void meanwhile(void *arg, uint64_t bytes)
{
    struct change *c = arg;

    if (c->made || bytes < c->at)
        return;
    c->made = true;
    c->make();
}

static void stream_through(void (*make)(void), uint64_t total)
{
    struct ip_addr to = rig_addr(THERE, false);
    uint32_t sock = host_connect(&host, NULL, &to, PORT);
    int fd = kernel_accept(&host, listener);

    for (int back = 0; back < 2; back++) {
        struct change c = {.at = total / 3, .make = make};
        struct end ours = {.host = &host, .sock = sock}, theirs = {.fd = fd};

        rig_stream(back ? theirs : ours, back ? ours : theirs, total, meanwhile, &c);
        assert_true(c.made);
    }
    net_request(host.net, clock_now_ns(), sock, NET_ABORT);
    close(fd);
}

// A link that is down for a moment: its routes go and come back.
static void link_flaps(void)
{
    rig_ip(HERE, "link set %s down", device_of[HERE]);
    for (int i = 0; i < 100; i++)
        host_drive(&host);
    rig_ip(HERE, "link set %s up", device_of[HERE]);
}

static void test_link_goes_down_and_up(void **state)
{
    stream_through(link_flaps, 4 << 20);
}

static void peer_link_flaps(void)
{
    rig_ip(THERE, "link set %s down", device_of[THERE]);
    for (int i = 0; i < 100; i++)
        host_drive(&host);
    rig_ip(THERE, "link set %s up", device_of[THERE]);
}

static void test_carrier_is_lost_and_comes_back(void **state)
{
    stream_through(peer_link_flaps, 4 << 20);
}

static void mtu_shrinks(void)
{
    rig_ip(HERE, "link set %s mtu 1000", device_of[HERE]);
    rig_ip(THERE, "link set %s mtu 1000", device_of[THERE]);
}

static bool path_mtu_is(void *arg)
{
    struct ip_addr to = rig_addr(THERE, false), any = {.b = {0}};
    struct net_path path;

    return !net_path(host.net, &to, &any, &path) && path.mtu == *(uint16_t *)arg;
}

static void test_mtu_changes(void **state)
{
    uint16_t mtu = 1000;

    stream_through(mtu_shrinks, 4 << 20);
    assert_true(path_mtu_is(&mtu));
    rig_ip(HERE, "link set %s mtu 9000", device_of[HERE]);
    mtu = 9000;
    assert_true(rig_until(&host, NULL, 1000, path_mtu_is, &mtu));
}

static void route_gets_mtu(void)
{
    rig_ip(HERE, "route add 10.78.0.2/32 dev %s mtu 1200 src 10.78.0.1", device_of[HERE]);
}

static void test_more_precise_route_with_mtu(void **state)
{
    struct ip_addr to = rig_addr(THERE, false);
    uint32_t sock = host_connect(&host, NULL, &to, PORT);
    struct end ours = {.host = &host, .sock = sock};
    struct end theirs = {.fd = kernel_accept(&host, listener)};
    struct change c = {.at = 1 << 20, .make = route_gets_mtu};
    struct net_info info;

    rig_stream(ours, theirs, 4 << 20, meanwhile, &c);
    net_info(host.net, sock, &info);
    assert_int_equal(info.pmtu, 1200);
    close(theirs.fd);
}

// The peer is behind a router from now on, which is itself under another address.
static void route_moves(void)
{
    rig_ip(THERE, "addr add 10.78.0.3/24 dev %s", device_of[THERE]);
    rig_ip(HERE, "route add 10.78.0.2/32 via 10.78.0.3 dev %s src 10.78.0.1", device_of[HERE]);
}

static void test_route_changes(void **state)
{
    struct ip_addr to = rig_addr(THERE, false), any = {.b = {0}};
    struct ip_addr router = ip_addr_v4(htobe32(0x0a4e0003));
    struct net_path path;
    uint32_t sock = host_connect(&host, NULL, &to, PORT);
    struct end ours = {.host = &host, .sock = sock};
    struct end theirs = {.fd = kernel_accept(&host, listener)};
    struct change c = {.at = 1 << 20, .make = route_moves};

    rig_stream(ours, theirs, 4 << 20, meanwhile, &c);
    assert_int_equal(net_path(host.net, &to, &any, &path), 0);
    assert_true(ip_addr_equal(&path.next_hop, &router));
    close(theirs.fd);
}

// The peer has another card: the kernel learns of it by gratuitous ARP, or by asking again.
static void neighbour_changes(void)
{
    static int number;

    rig_ip(THERE, "link set %s address 02:00:00:00:78:%02x", device_of[THERE], 0x50 + number);
    rig_ip(HERE, "neigh replace 10.78.0.2 lladdr 02:00:00:00:78:%02x dev %s", 0x50 + number++,
           device_of[HERE]);
}

static void test_neighbour_changes(void **state)
{
    stream_through(neighbour_changes, 4 << 20);
}

static void neighbour_is_forgotten(void)
{
    rig_ip(HERE, "neigh flush dev %s", device_of[HERE]);
}

static void test_neighbour_is_forgotten(void **state)
{
    stream_through(neighbour_is_forgotten, 4 << 20);
}

static void address_changes(void)
{
    rig_ip(HERE, "addr add 10.78.0.9/24 dev %s", device_of[HERE]);
    rig_ip(HERE, "addr del 10.78.0.9/24 dev %s", device_of[HERE]);
    rig_ip(HERE, "addr del 10.78.0.1/24 dev %s", device_of[HERE]);
    for (int i = 0; i < 1000; i++)
        host_drive(&host);
    rig_ip(HERE, "addr add 10.78.0.1/24 dev %s", device_of[HERE]);
}

static void test_address_goes_and_comes_back(void **state)
{
    stream_through(address_changes, 4 << 20);
}

static void test_policy_routing_is_not_ours(void **state)
{
    struct ip_addr to = rig_addr(THERE, false), any = {.b = {0}};
    struct net_path path;
    uint64_t end_ns = clock_now_ns() + NS_PER_S;
    int err = 0;

    rig_ip(HERE, "rule add to 10.78.0.2 table 77");
    while (!err && clock_now_ns() < end_ns) {
        host_drive(&host);
        err = net_path(host.net, &to, &any, &path);
    }
    assert_int_equal(err, -EXDEV);
}

static void test_routes_and_their_errors(void **state)
{
    struct ip_addr any = {.b = {0}}, to = ip_addr_v4(htobe32(0x0a630001)); // 10.99.0.1
    uint32_t before = net_counters(host.net)->path_changes;
    struct net_path path;
    static const struct {
        const char *route;
        int err;
    } rows[] = {{"unreachable", -EHOSTUNREACH}, {"prohibit", -EACCES}, {"blackhole", -EINVAL}};

    assert_int_equal(net_path(host.net, &to, &any, &path), -ENETUNREACH);
    for (int i = 0; i < 3; i++) {
        uint64_t end_ns = clock_now_ns() + NS_PER_S;

        rig_ip(HERE, "route replace %s 10.99.0.0/16", rows[i].route);
        while (net_path(host.net, &to, &any, &path) != rows[i].err && clock_now_ns() < end_ns)
            host_drive(&host);
        assert_int_equal(net_path(host.net, &to, &any, &path), rows[i].err);
    }
    assert_int_equal(net_path(host.net, &(struct ip_addr){.b = {[15] = 1}}, &any, &path), -EXDEV);
    assert_true(net_counters(host.net)->path_changes > before);
}

// On a VLAN the stack's queue is the VLAN's own interface.
static void test_vlan(void **state)
{
    struct ip_addr to = ip_addr_v4(htobe32(0x0a500002)); // 10.80.0.2
    struct host vlan;
    struct end ours = {.host = &vlan}, theirs = {0};

    if (system("ip link add link lo name nvtest type vlan id 7 2>/dev/null")) {
        printf("# this kernel has no VLANs\n");
        skip();
    }
    rig_ip(HERE, "link add link %s name nv type vlan id 7", device_of[HERE]);
    rig_ip(THERE, "link add link %s name nv type vlan id 7", device_of[THERE]);
    rig_ip(HERE, "addr add 10.80.0.1/24 dev nv");
    rig_ip(THERE, "addr add 10.80.0.2/24 dev nv");
    rig_ip(HERE, "link set nv up");
    rig_ip(THERE, "link set nv up");
    host_open(&vlan, HERE, "nv");
    ours.sock = host_connect(&vlan, NULL, &to, PORT);
    theirs.fd = kernel_accept(&vlan, listener);
    rig_stream(ours, theirs, 4 << 20, NULL, NULL);
    rig_stream(theirs, ours, 4 << 20, NULL, NULL);
    close(theirs.fd);
    host_close(&vlan);
}

int main(void)
{
#define change_test(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        change_test(test_link_goes_down_and_up),
        change_test(test_carrier_is_lost_and_comes_back),
        change_test(test_mtu_changes),
        change_test(test_more_precise_route_with_mtu),
        change_test(test_route_changes),
        change_test(test_neighbour_changes),
        change_test(test_neighbour_is_forgotten),
        change_test(test_address_goes_and_comes_back),
        change_test(test_policy_routing_is_not_ours),
        change_test(test_routes_and_their_errors),
        change_test(test_vlan),
    };
    const char *obstacle = rig_obstacle();

    if (obstacle) {
        printf("1..0 # SKIP %s\n", obstacle);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
