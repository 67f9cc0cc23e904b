// SPDX-License-Identifier: BSD-2-Clause
// Shunt's own TCP, for any peer. It is no express lane but a carrier: a connection is on it from
// its SYN to its end.
#include "lane/tcp.h"

#include "base/clock.h"
#include "base/sys.h"
#include "base/util.h"
#include "chan/pump.h"
#include "lane/ends.h"
#include "lane/lane.h"
#include "shunt/info.h"

#include <netinet/in.h>
#include <string.h>

#define LANES_MAX PUMPS
#define SOCKS_MAX 65536

struct tcp_lane {
    struct pump pump; // first: chan.pump points here
    struct net *net;
    uint64_t id;
    int arena, owner_bell;
    struct queue_desc desc;
    int queue_fd[QUEUE_FDS_MAX];
    _Atomic uint32_t joined;      // channels
    atomic_flag waking;           // guards chan[]
    struct chan *chan[SOCKS_MAX]; // by socket: whose bell is here
};

static struct tcp_lane *lanes[LANES_MAX];
static size_t n_lanes;
static struct tcp_lane memory[LANES_MAX]; // only what is used is ever touched

static struct tcp_lane *lane_of_pump(struct pump *p)
{
    return (struct tcp_lane *)(void *)p;
}

// ---- the pump ----

static void lock(struct tcp_lane *lane)
{
    while (atomic_flag_test_and_set_explicit(&lane->waking, memory_order_acquire))
        clock_pause();
}

static void unlock(struct tcp_lane *lane)
{
    atomic_flag_clear_explicit(&lane->waking, memory_order_release);
}

// The number is not closed, and so no other file's, while we hold the lock.
static bool wake(void *self, uint32_t sock)
{
    static const uint64_t one = 1;
    struct tcp_lane *lane = self;
    struct chan *c;

    lock(lane);
    c = sock < SOCKS_MAX ? lane->chan[sock] : NULL;
    if (c)
        sys_write(c->bell, &one, sizeof one);
    unlock(lane);
    return c;
}

static void push(struct chan *c, bool sent)
{
    net_poke(lane_of_pump(c->pump)->net, clock_now_ns(), (uint32_t)c->pumped);
}

static void look(struct pump *p)
{
    struct tcp_lane *lane = lane_of_pump(p);

    if (atomic_load_explicit(&lane->joined, memory_order_relaxed))
        net_drive(lane->net, clock_now_ns());
}

static bool arm(struct pump *p, int *fd, uint64_t *deadline_ns)
{
    struct tcp_lane *lane = lane_of_pump(p);

    if (!atomic_load_explicit(&lane->joined, memory_order_relaxed) || net_dead(lane->net))
        return false;
    net_look(lane->net, 1);
    net_drive(lane->net, clock_now_ns());
    *fd = net_wait_fd(lane->net);
    *deadline_ns = net_deadline(lane->net);
    return false;
}

static void woken(struct pump *p)
{
    net_look(lane_of_pump(p)->net, -1);
}

// ---- stacks ----

static int attach_net(struct tcp_lane *lane, const struct tcp_lane_parts *parts)
{
    const struct net_attach how = {.arena = parts->arena,
                                   .queue = &parts->queue,
                                   .owner_bell = parts->owner_bell,
                                   .wake = wake,
                                   .self = lane};

    return net_attach(&lane->net, &how);
}

int tcp_lane_attach(const struct tcp_lane_parts *parts)
{
    struct tcp_lane *lane = &memory[n_lanes];
    int err = n_lanes < LANES_MAX ? attach_net(lane, parts) : -ENOSPC;

    if (err)
        return err;
    lane->pump = (struct pump){.push = push, .look = look, .arm = arm, .woken = woken};
    lane->id = parts->id;
    lane->arena = parts->arena;
    lane->owner_bell = parts->owner_bell;
    lane->desc = parts->queue.desc;
    memcpy(lane->queue_fd, parts->queue.fd, sizeof lane->queue_fd);
    lanes[n_lanes++] = lane;
    return pumps_add(&lane->pump);
}

struct tcp_lane *tcp_lane_of(uint64_t id)
{
    for (size_t i = 0; i < n_lanes; i++)
        if (lanes[i]->id == id && !net_dead(lanes[i]->net))
            return lanes[i];
    return NULL;
}

size_t tcp_lane_ids(uint64_t *ids, size_t max)
{
    size_t n = MIN(n_lanes, max);

    for (size_t i = 0; i < n; i++)
        ids[i] = lanes[i]->id;
    return n;
}

void tcp_lane_forked(void)
{
    for (size_t i = 0; i < n_lanes; i++) {
        atomic_flag_clear(&lanes[i]->waking);
        net_forked(lanes[i]->net);
    }
}

bool tcp_lane_owns_fd(int fd)
{
    for (size_t i = 0; i < n_lanes; i++) {
        const struct tcp_lane *lane = lanes[i];

        if (fd == lane->arena || fd == lane->owner_bell)
            return true;
        for (int k = 0; k < lane->desc.fd_count; k++)
            if (fd == lane->queue_fd[k])
                return true;
    }
    return false;
}

// ---- channels ----

int tcp_lane_join(struct tcp_lane *lane, uint32_t sock, int bell, struct chan *c)
{
    uint64_t offset;
    uint32_t ring_bytes;
    int err = sock < SOCKS_MAX ? net_channel(lane->net, sock, &offset, &ring_bytes) : -EPROTO;

    if (!err)
        err = chan_map_within(c, lane->arena, offset, bell, -1);
    if (err)
        return err;
    c->pump = &lane->pump;
    c->pumped = sock;
    lock(lane);
    lane->chan[sock] = c;
    unlock(lane);
    atomic_fetch_add(&lane->joined, 1);
    return 0;
}

void tcp_lane_move(struct chan *from, struct chan *to)
{
    struct tcp_lane *lane = lane_of_pump(from->pump);

    lock(lane);
    *to = *from;
    if (lane->chan[to->pumped] == from)
        lane->chan[to->pumped] = to;
    unlock(lane);
}

void tcp_lane_deaf(const struct chan *c)
{
    struct tcp_lane *lane = lane_of_pump(c->pump);

    lock(lane);
    if (lane->chan[c->pumped] == c)
        lane->chan[c->pumped] = NULL;
    unlock(lane);
}

void tcp_lane_leave(struct chan *c)
{
    tcp_lane_deaf(c);
    atomic_fetch_sub(&lane_of_pump(c->pump)->joined, 1);
    c->pump = NULL;
}

struct net *tcp_lane_net(const struct chan *c)
{
    return lane_of_pump(c->pump)->net;
}

// ---- the lane's place among the others ----

// The rest depends on routes and devices, which shuntd looks at when it is asked.
static const char *obstacle(const struct lane_ends *ends)
{
    if (ends->remote && lane_is_loopback(ends->remote))
        return "the peer is on this host";
    return NULL;
}

const struct lane lane_tcp = {"tcp", SHUNT_LANE_TCP, obstacle};
