// SPDX-License-Identifier: BSD-2-Clause
// Any bytes as frames from the wire, with any of a queue's marks on them, into a stack that has a
// listener and a connection: it stays inside its memory, and goes on.
//
// The input is a row of frames: a byte of marks, two of length, the frame's bytes. The stack is on
// a loop queue; the fuzzer is at the other end. The addresses of a frame's first bytes are put
// right where a mark says so: else few would come further than the Ethernet header.
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuzz.h"
#include "net/arena.h"
#include "net/owner.h"
#include "queue/loop.h"
#include "wire/csum.h"

#define PORT 27000

static struct net *net;
static struct queue *wire;
static struct net_image image;
static uint32_t listener, conn;
static uint64_t now_ns = NS_PER_S;

static struct ip_addr addr_of(int side)
{
    return ip_addr_v4(htobe32(0x0a1b0001 + (uint32_t)side));
}

static void fill_tables(void)
{
    const struct eth_addr mac[2] = {{{2, 0, 0, 0, 27, 1}}, {{2, 0, 0, 0, 27, 2}}};

    image.links = image.addrs = image.routes = image.neighs = 1;
    image.link[0] = (struct net_link){1, 1500, 0, mac[0], true};
    image.addr[0] = (struct net_addr){.addr = addr_of(0), .prefix = 120};
    image.route[0] = (struct net_route){.dst = ip_addr_v4(0), .prefix = 96, .table = 1};
    image.neigh[0] =
        (struct net_neigh){.addr = addr_of(1), .mac = mac[1], .state = NET_NEIGH_KNOWN};
    net_tables_publish(&net->arena->tables, &image, true);
}

static void stop(void)
{
    net_detach(net);
    queue_detach(wire);
}

static void start(void)
{
    const struct loop_options link = {.slots = 64};
    struct queue_grant ends[2];
    struct net_attach how = {.queue = &ends[0], .owner_bell = -1};
    struct net_config cfg;

    net_config_init(&cfg);
    cfg.socks = 16;
    cfg.ring_bytes = 65536;
    must(!loop_open(ends, &link));
    how.arena = net_arena_create(&cfg, now_ns);
    must(how.arena >= 0 && !net_attach(&net, &how) && !queue_attach(&wire, &ends[1]));
    close(how.arena);
    atexit(stop);
    fill_tables();
}

static void open_sockets(void)
{
    struct net_open o = {.local = addr_of(0), .local_port = PORT};
    struct net_open to = {.remote = addr_of(1), .remote_port = PORT, .local_port = PORT + 1};
    uint64_t deadline_ns = clock_now_ns() + NS_PER_S;

    must(!net_listen(net, deadline_ns, &o, 4, &listener));
    must(!net_open(net, deadline_ns, &to, &conn));
}

static void put_right(uint8_t *frame, uint32_t len)
{
    static const uint8_t head[38] = {2,         0,
                                     0,         0,
                                     27,        1,
                                     2,         0,
                                     0,         0,
                                     27,        2,
                                     8,         0,
                                     0x45,      0,
                                     0,         0,
                                     0,         0,
                                     0,         0,
                                     64,        6,
                                     0,         0,
                                     10,        27,
                                     0,         2,
                                     10,        27,
                                     0,         1,
                                     PORT >> 8, PORT & 0xff,
                                     PORT >> 8, (PORT + 1) & 0xff};
    uint16_t check;

    if (len < sizeof head)
        return;
    memcpy(frame, head, sizeof head);
    frame[37] = (uint8_t)(PORT + len % 2); // the connection, or the listener
    frame[16] = (uint8_t)((len - 14) >> 8);
    frame[17] = (uint8_t)(len - 14);
    check = (uint16_t)~csum(frame + 14, 20);
    memcpy(frame + 24, &check, 2);
}

static void swallow(void)
{
    struct queue_frame out[16];
    int n;

    while ((n = queue_rx(wire, out, 16, now_ns)) > 0)
        queue_release(wire, n);
}

static void send_frame(uint8_t marks, uint8_t *frame, uint32_t len)
{
    struct iovec rest = {frame + 14, len - 14};
    struct queue_out out = {.head = frame, .head_bytes = 14, .payload = &rest, .payload_count = 1};

    if (marks & 1)
        put_right(frame, len);
    if (marks & 2 && len >= 54) {
        out.csum_start = 34;
        out.csum_offset = 16;
    }
    if (marks & 4 && len >= 54) {
        out.gso = QUEUE_GSO_TCP4;
        out.gso_size = 500;
    }
    if (!queue_tx(wire, &out, now_ns))
        queue_kick(wire, now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    static uint8_t frame[65536];

    if (!net)
        start();
    open_sockets();
    now_ns = clock_now_ns();
    while (in.left) {
        uint8_t marks = input_u8(&in);
        uint32_t len = 14 + input_u16(&in) % 4096;

        for (uint32_t i = 0; i < len; i++)
            frame[i] = input_u8(&in);
        send_frame(marks, frame, len);
        now_ns += marks & 8 ? 300 * NS_PER_MS : NS_PER_US;
        must(net_drive(net, now_ns));
        swallow();
    }
    must(net_dead(net) == NET_ALIVE);
    net_request(net, now_ns, conn, NET_ABORT);
    net_request(net, now_ns, listener, NET_ABORT);
    must(net_status(net, conn) & NET_CLOSED);
    swallow();
    return 0;
}
