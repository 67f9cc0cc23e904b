// SPDX-License-Identifier: BSD-2-Clause
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

static const struct eth_addr mac[2] = {{{2, 0, 0, 0, 27, 1}}, {{2, 0, 0, 0, 27, 2}}};

const struct fault_options *pair_faults;

struct ip_addr pair_addr(int side, bool v6)
{
    uint8_t a[16] = {0xfd, 0x27, [15] = (uint8_t)(side + 1)};

    return v6 ? ip_addr_v6(a) : ip_addr_v4(htobe32(0x0a1b0001 + (uint32_t)side));
}

static void add_net(struct net_image *im, int side, bool v6)
{
    uint8_t prefix = v6 ? 64 : 96 + 24;
    struct ip_addr net = pair_addr(side, v6);

    im->addr[im->addrs++] = (struct net_addr){.addr = net, .prefix = prefix};
    net.b[15] = 0;
    im->route[im->routes++] = (struct net_route){.dst = net, .prefix = prefix, .table = 1};
    im->neigh[im->neighs++] = (struct net_neigh){
        .addr = pair_addr(!side, v6), .mac = mac[!side], .state = NET_NEIGH_KNOWN};
}

void pair_publish(struct pair *p, int side, bool paths)
{
    net_image_sort(p->image[side]);
    net_tables_publish(&p->net[side]->arena->tables, p->image[side], paths);
}

struct net *pair_attach(struct pair *p, int side)
{
    struct queue_grant grant;
    struct net_attach how = {.arena = p->arena[side], .queue = &grant, .owner_bell = p->bell[side]};
    struct net *n;

    assert_int_equal(queue_grant_dup(&grant, &p->grant[side]), 0);
    assert_int_equal(net_attach(&n, &how), 0);
    return n;
}

static void start_side(struct pair *p, int side, uint32_t socks, uint16_t mtu)
{
    struct net_config cfg;

    net_config_init(&cfg);
    cfg.socks = socks;
    cfg.ring_bytes = PAIR_RING;
    cfg.tcp.rto_min_ns = 20 * NS_PER_MS; // the wire is short
    p->arena[side] = net_arena_create(&cfg, clock_now_ns());
    assert_true(p->arena[side] >= 0);
    p->bell[side] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->net[side] = pair_attach(p, side);
    p->image[side] = calloc(1, sizeof *p->image[side]);
    p->image[side]->links = 1;
    p->image[side]->link[0] = (struct net_link){1, mtu, 0, mac[side], true};
    add_net(p->image[side], side, false);
    add_net(p->image[side], side, true);
    pair_publish(p, side, true);
}

void pair_start(struct pair *p, uint32_t socks, const struct loop_options *queue)
{
    static const struct loop_options plain;

    assert_int_equal(loop_open(p->grant, queue ? queue : &plain), 0);
    for (int side = 0; side < 2 && pair_faults; side++) {
        struct queue_grant inner = p->grant[side];

        assert_int_equal(fault_grant(&p->grant[side], &inner, pair_faults), 0);
        queue_grant_close(&inner);
    }
    for (int side = 0; side < 2; side++)
        start_side(p, side, socks, queue && queue->mtu_bytes ? queue->mtu_bytes : 1500);
}

void pair_stop(struct pair *p)
{
    for (int side = 0; side < 2; side++) {
        net_detach(p->net[side]);
        close(p->arena[side]);
        close(p->bell[side]);
        free(p->image[side]);
        queue_grant_close(&p->grant[side]);
    }
}

bool pair_run(struct pair *p, uint64_t for_ms, pair_done *done, void *arg)
{
    uint64_t end_ns = clock_now_ns() + for_ms * NS_PER_MS;

    while (!done(p, arg)) {
        if (clock_now_ns() > end_ns)
            return false;
        for (int side = 0; side < 2; side++)
            net_drive(p->net[side], clock_now_ns());
    }
    return true;
}

struct expected {
    int side;
    uint32_t sock, status;
};

static bool has_status(struct pair *p, void *arg)
{
    const struct expected *e = arg;

    return net_status(p->net[e->side], e->sock) & e->status;
}

void pair_connect(struct pair *p, bool v6, uint16_t port, uint32_t *listener, uint32_t sock[2])
{
    struct net_open there = {.local = pair_addr(1, v6), .local_port = port};
    struct net_open o = {.remote = pair_addr(1, v6), .remote_port = port};
    uint64_t deadline_ns = clock_now_ns() + NS_PER_S;
    struct expected open = {0, 0, NET_CONNECTED}, accepted = {1, 0, NET_ACCEPT};

    if (*listener == NET_NONE)
        assert_int_equal(net_listen(p->net[1], deadline_ns, &there, 128, listener), 0);
    assert_int_equal(net_open(p->net[0], deadline_ns, &o, &sock[0]), 0);
    open.sock = sock[0];
    accepted.sock = *listener;
    assert_true(pair_run(p, 5000, has_status, &open));
    assert_true(pair_run(p, 5000, has_status, &accepted));
    assert_int_equal(net_accept(p->net[1], clock_now_ns() + NS_PER_S, *listener, &sock[1]), 0);
}

static uint32_t fill(uint8_t *buf, uint64_t at, uint64_t total)
{
    uint32_t n = 0;

    for (; n < 32768 && at + n < total; n++)
        buf[n] = pair_byte(at + n);
    return n;
}

static void check(const uint8_t *buf, uint32_t n, uint64_t at)
{
    for (uint32_t i = 0; i < n; i++)
        if (buf[i] != pair_byte(at + i))
            fail_msg("byte %llu is wrong", (unsigned long long)(at + i));
}

void pair_transfer(struct pair *p, const uint32_t sock[2], int from, uint64_t total)
{
    uint64_t sent = 0, got = 0, end_ns = clock_now_ns() + 60 * NS_PER_S;
    static uint8_t buf[32768];

    while (got < total) {
        uint32_t n = fill(buf, sent, total);

        sent += program_write(p->net[from], sock[from], buf, n);
        n = program_read(p->net[!from], sock[!from], buf, sizeof buf);
        check(buf, n, got);
        got += n;
        for (int side = 0; side < 2; side++)
            net_drive(p->net[side], clock_now_ns());
        if (clock_now_ns() > end_ns)
            fail_msg("%llu of %llu bytes after 60 s", (unsigned long long)got,
                     (unsigned long long)total);
    }
}
