// SPDX-License-Identifier: BSD-2-Clause
// The lane rdma by itself, on real verbs: two processes with the channels between them, and a
// socket pair in place of shuntd. To be run in a guest of ./dev vm, which sets VM_ADDR and VM_PEER.
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "chan/mirror.h"
#include "lane/rdma/module.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RING_BYTES  (64 << 10)
#define CHANNELS    1000
#define PATIENCE_NS (40 * NS_PER_S)
#define BLOCK       4096

// One side's channel.
struct end {
    struct chan_mirror *m;
    struct chan chan;
    struct chan_tx tx;
    struct chan_rx rx;
    uint64_t sent, got;
};

// What goes over the socket pair.
struct packet {
    uint32_t channel; // ~0: the other's endpoint
    uint32_t len;
    uint8_t bytes[MIRROR_RELAY_MAX];
};

static const struct mirror_lane *const rdma = &shunt_rdma;
static struct end ends[CHANNELS + 16];
static struct sockaddr_in addr[2];
static uint8_t peer_endpoint[MIRROR_ENDPOINT_MAX];
static size_t peer_endpoint_len;
static int control, side, tests;

static void ok(bool good, const char *what)
{
    printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
    fflush(stdout);
}

static void die(const char *why)
{
    printf("# %s of side %d\n", why, side);
    fflush(stdout);
    _exit(1);
}

// ---- the control path ----

static bool hear(void)
{
    struct packet p;

    if (recv(control, &p, sizeof p, MSG_DONTWAIT) != sizeof p)
        return false;
    if (p.channel != UINT32_MAX) {
        rdma->incoming(ends[p.channel].m, p.bytes, p.len);
        return true;
    }
    memcpy(peer_endpoint, p.bytes, p.len);
    peer_endpoint_len = p.len;
    return true;
}

// Both sides may have much to say: who cannot, listens. Who has been killed need not hear it.
static void tell(uint32_t channel, const uint8_t *bytes, size_t len)
{
    struct packet p = {.channel = channel, .len = (uint32_t)len};

    memcpy(p.bytes, bytes, len);
    while (send(control, &p, sizeof p, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE)
        if (errno != EAGAIN)
            die("no control path");
        else
            hear();
}

static void relay(uint32_t channel)
{
    uint8_t bytes[MIRROR_RELAY_MAX];
    size_t n = ends[channel].m ? rdma->outgoing(ends[channel].m, bytes) : 0;

    if (n)
        tell(channel, bytes, n);
}

// All that a program's calls would do besides moving bytes.
static void turn(uint32_t from, uint32_t to)
{
    while (hear())
        ;
    rdma->advance();
    pumps_look();
    for (uint32_t i = from; i < to; i++)
        relay(i);
}

// Sleeps until something comes, 100 ms at most.
static void nap(struct end *e)
{
    struct pollfd p[2] = {{control, POLLIN, 0}, {e->chan.bell, POLLIN, 0}};
    struct pump_sleep s;
    struct pollfd all[2 + PUMPS];

    chan_bell_clear(&e->chan);
    chan_arm(&e->chan, true, true);
    if (!pumps_arm(&s) && chan_avail(&e->chan, &e->rx, 1) == 0) {
        memcpy(all, p, sizeof p);
        for (uint32_t i = 0; i < s.n_fds; i++)
            all[2 + i] = (struct pollfd){s.fd[i], POLLIN, 0};
        poll(all, 2 + s.n_fds, 100);
    }
    pumps_woken(&s);
}

static enum mirror_state state(uint32_t channel)
{
    return rdma->state(ends[channel].m);
}

// ---- channels ----

static void map(struct end *e)
{
    int memfd = chan_create(RING_BYTES), bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    memset(e, 0, sizeof *e);
    if (memfd < 0 || bell < 0 || chan_map(&e->chan, memfd, side, bell, bell))
        die("no channel");
    close(memfd);
}

static void begin(uint32_t channel, uint64_t id)
{
    struct end *e = &ends[channel];
    struct mirror_call call = {
        .channel_id = id,
        .side = side,
        .endpoint = peer_endpoint,
        .endpoint_len = peer_endpoint_len,
        .local = (struct sockaddr *)&addr[side],
        .remote = (struct sockaddr *)&addr[!side],
    };

    map(e);
    call.chan = e->chan;
    if (rdma->open(&call, &e->m))
        die("open failed");
    e->chan.pump = rdma->pump;
    e->chan.pumped = (uintptr_t)e->m;
}

static bool all_open(uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        if (state(i) != MIRROR_OPEN)
            return false;
    return true;
}

static bool await_open(uint32_t from, uint32_t to)
{
    uint64_t end_ns = clock_now_ns() + PATIENCE_NS;

    while (!all_open(from, to) && clock_now_ns() < end_ns)
        turn(from, to);
    if (!all_open(from, to))
        printf("# side %d: %s\n", side,
               rdma->reason(ends[from].m) ? rdma->reason(ends[from].m) : "no reason");
    return all_open(from, to);
}

// ---- bytes ----

// What sender, 0 or 1, has at this place of its stream.
static uint8_t byte_at(uint64_t at, uint32_t channel, int sender)
{
    return (uint8_t)(((uint32_t)at * 2654435761u + ((2 * channel + (uint32_t)sender) << 24)) >> 24);
}

// Publishes what fits of the stream's first total bytes.
static void put(struct end *e, uint32_t channel, uint64_t total, uint32_t most)
{
    uint64_t n = u64_min(most, total - e->sent);
    int64_t room;

    if (!n || !rdma->ready(e->m))
        return;
    room = chan_room(&e->chan, &e->tx, n);
    if (room < 0)
        die("nonsense for room");
    n = u64_min(n, (uint64_t)room);
    for (uint64_t i = 0; i < n; i++)
        chan_tx_at(&e->chan, &e->tx)[i] = byte_at(e->sent + i, channel, side);
    if (n)
        chan_commit(&e->chan, &e->tx, n);
    e->sent += n;
}

// Takes what has come of the stream's first total bytes.
static void get(struct end *e, uint32_t channel, uint64_t total)
{
    int64_t n = chan_avail(&e->chan, &e->rx, UINT64_MAX);

    if (n < 0)
        die("nonsense to read");
    n = MIN(n, (int64_t)(total - e->got));
    if (!n) {
        chan_drained(&e->chan);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        if (chan_rx_at(&e->chan, &e->rx)[i] != byte_at(e->got + (uint64_t)i, channel, !side))
            die("wrong byte");
    chan_consumed(&e->chan, &e->rx, (uint64_t)n);
    e->got += (uint64_t)n;
}

// Both sides send total bytes on each channel, by pieces of up to `most`.
static bool stream(uint32_t from, uint32_t to, uint64_t total, uint32_t most, bool sleeping)
{
    uint64_t end_ns = clock_now_ns() + PATIENCE_NS;
    uint32_t done = 0;

    while (done < to - from && clock_now_ns() < end_ns) {
        turn(from, from);
        done = 0;
        for (uint32_t i = from; i < to; i++) {
            struct end *e = &ends[i];

            put(e, i, total, most);
            get(e, i, total);
            done += e->sent == total && e->got == total;
        }
        if (sleeping && done < to - from)
            nap(&ends[from]);
    }
    if (done < to - from)
        printf("# side %d: %u of %u channels done; the first sent %llu, got %llu, state %d %s\n",
               side, done, to - from, (unsigned long long)ends[from].sent,
               (unsigned long long)ends[from].got, state(from),
               rdma->reason(ends[from].m) ? rdma->reason(ends[from].m) : "");
    return done == to - from;
}

static bool await_state(uint32_t channel, enum mirror_state wanted)
{
    uint64_t end_ns = clock_now_ns() + PATIENCE_NS;

    while (state(channel) != wanted && clock_now_ns() < end_ns) {
        turn(channel, channel + 1);
        nap(&ends[channel]);
    }
    return state(channel) == wanted;
}

static bool await_end(uint32_t channel, enum mirror_end wanted)
{
    uint64_t end_ns = clock_now_ns() + PATIENCE_NS;

    while (rdma->ended(ends[channel].m) != wanted && clock_now_ns() < end_ns)
        turn(channel, channel + 1);
    return rdma->ended(ends[channel].m) == wanted;
}

// ---- the tests, the same steps on both sides ----

static void finish(uint32_t channel)
{
    int bell = ends[channel].chan.bell;

    rdma->close(ends[channel].m);
    ends[channel].m = NULL;
    close(bell);
}

static bool steps(void)
{
    bool all = true, good;

    begin(0, 1000);
    all &= good = await_open(0, 1);
    if (!side)
        ok(good, "a channel opens");
    if (!good)
        return false;
    all &= good = good && stream(0, 1, 4 << 20, 32 << 10, false);
    if (!side)
        ok(good, "4 MiB go both ways, byte for byte");
    if (!good)
        return false;
    ends[0].sent = ends[0].got = 0;
    all &= good = good && stream(0, 1, 64 << 10, 700, false);
    if (!side)
        ok(good, "small pieces, more than there are credits");
    ends[0].sent = ends[0].got = 0;
    all &= good = good && stream(0, 1, 256 << 10, BLOCK, true);
    if (!side)
        ok(good, "both sides asleep whenever nothing is due");
    for (uint32_t i = 1; i <= CHANNELS; i++)
        begin(i, 1000 + i);
    all &= good = await_open(1, 1 + CHANNELS);
    if (!side)
        ok(good, "a thousand channels open on the link");
    all &= good = good && stream(1, 1 + CHANNELS, 3000, 1000, false);
    if (!side)
        ok(good, "and all carry bytes");
    if (side)
        finish(7);
    else
        good = await_end(7, MIRROR_CLOSED);
    if (!side) {
        ok(good, "one side hears that the other has closed");
        finish(7);
    }
    begin(7, 5000);
    all &= good = await_open(7, 8);
    good = good && stream(7, 8, 100000, 5000, false);
    if (!side)
        ok(good, "another channel takes its place");
    return all && good;
}

// ---- processes ----

static const struct mirror_host nobody;

static void start(void)
{
    uint8_t bytes[MIRROR_ENDPOINT_MAX];
    int err = rdma->start(&nobody);

    if (err) {
        printf("# %s\n", strerror(-err));
        die("the lane does not start");
    }
    pumps_add(rdma->pump);
    tell(UINT32_MAX, bytes, rdma->endpoint(bytes));
    while (!peer_endpoint_len)
        hear();
}

// The other side, until it is killed.
static void other(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    side = 1;
    start();
    steps();
    for (;;) {
        turn(0, 1);
        nap(&ends[0]);
    }
}

static void addresses(void)
{
    const char *local = getenv("VM_ADDR"), *peer = getenv("VM_PEER");

    addr[0].sin_family = addr[1].sin_family = AF_INET;
    if (!local || !peer || inet_pton(AF_INET, local, &addr[0].sin_addr) != 1 ||
        inet_pton(AF_INET, peer, &addr[1].sin_addr) != 1) {
        printf("1..0 # SKIP no addresses of RDMA devices in VM_ADDR and VM_PEER\n");
        exit(0);
    }
}

static pid_t pair(void)
{
    int pair_fds[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair_fds))
        die("no socket pair");
    pid = fork();
    control = pair_fds[!pid];
    close(pair_fds[!!pid]);
    if (!pid)
        other();
    return pid;
}

int main(void)
{
    pid_t pid;

    if (getenv("SHUNT_LOG"))
        log_setup_env(getenv("SHUNT_LOG"));
    addresses();
    printf("1..9\n");
    fflush(stdout);
    pid = pair();
    start();
    if (!steps())
        printf("# some step has failed\n");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ok(await_state(0, MIRROR_LOST), "the peer is killed: the link is found lost");
    return 0;
}
