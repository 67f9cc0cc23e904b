// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/keeper.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "daemon/cage.h"
#include "daemon/lifeline.h"
#include "net/owner.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define WATCH_NS  (50 * NS_PER_MS) // between two looks for members that died
#define RELIEF_NS (4 * NS_PER_MS)  // between two looks whether programs still drive
#define LOCK_NS   (5 * NS_PER_MS)  // of an ICMP error: it may be lost
#define ROUND     32               // messages of shuntd at once

void keeper_tell(struct keeper *k, const struct keep_msg *m, const int *fds, int n_fds)
{
    int err = keep_send(k->said_watch.fd, m, fds, n_fds);

    if (err && err != -EPIPE)
        log_warn("shuntd cannot be told: %s", err_text(err));
}

// ---- waking ----

static bool wake(void *self, uint32_t sock)
{
    struct keeper *k = self;
    struct wire *w = sock < k->socks ? k->by_sock[sock] : NULL;

    if (w)
        lifeline_woken(w);
    return w;
}

// Those that drivers in other processes could not wake.
static void ring_on(struct keeper *k)
{
    uint32_t sock = net_wake_next(k->net, 0);

    for (; sock != NET_NONE; sock = net_wake_next(k->net, sock + 1))
        wake(k, sock);
}

// ---- driving ----

// Do programs drive the stack? Those that sleep on the queue do, and so does one that has done so
// lately. Our own turns do not count.
static bool is_relieved(struct keeper *k, uint64_t now)
{
    uint64_t turns = net_counters(k->net)->turns - k->own_turns;

    if (turns != k->turns) {
        k->turns = turns;
        k->turns_ns = now;
    }
    return net_lookers(k->net) || now - k->turns_ns < RELIEF_NS;
}

// While programs look at the queue themselves, we need not.
static void watch_queue(struct keeper *k, bool watch)
{
    if (k->queue_watched != watch)
        loop_change(&k->loop, &k->queue_watch, watch ? EPOLLIN : 0);
    k->queue_watched = watch;
}

static void tell_wants(struct keeper *k)
{
    const struct keep_msg m = {.kind = KEEP_WANTS};
    uint32_t wants = net_wants(k->net);

    if (wants == k->wants)
        return;
    k->wants = wants;
    keeper_tell(k, &m, NULL, 0);
}

static bool is_alive(const struct keeper *k)
{
    return net_dead(k->net) == NET_ALIVE;
}

void keeper_turn(struct keeper *k)
{
    uint64_t now = clock_now_ns(), due;
    bool relieved;

    if (is_alive(k)) {
        k->own_turns += net_drive(k->net, now);
        ring_on(k);
        tell_wants(k);
    }
    if (!is_alive(k)) {
        k->loop.stop = true;
        return;
    }
    relieved = is_relieved(k, now);
    watch_queue(k, !relieved);
    due = net_deadline(k->net);
    if (relieved)
        due = MAX(due, now + RELIEF_NS / 4); // they mind the deadlines as well
    if (relieved && !net_lookers(k->net))
        due = MIN(due, now + RELIEF_NS);
    timer_set(&k->tick, MIN(due, now + WATCH_NS));
}

static void on_bell(struct watch *watch, uint32_t events)
{
    struct keeper *k = list_entry(watch, struct keeper, bell_watch);
    uint64_t count;

    if (read(k->bell, &count, sizeof count) == sizeof count)
        keeper_turn(k);
}

static void on_queue(struct watch *watch, uint32_t events)
{
    keeper_turn(list_entry(watch, struct keeper, queue_watch));
}

static void on_tick(struct timer *timer, uint64_t now_ns)
{
    struct keeper *k = list_entry(timer, struct keeper, tick);

    net_watch(k->net, now_ns);
    lifelines_accept_late(k);
    keeper_turn(k);
}

// ---- what shuntd says ----

static void dispatch(struct keeper *k, const struct keep_msg *m, int *fds, int n_fds)
{
    switch (m->kind) {
    case KEEP_OPEN:
        lifeline_open(k, &m->ask);
        break;
    case KEEP_LISTEN:
        lifeline_listen(k, &m->ask, n_fds ? fds[0] : -1);
        fds[0] = -1;
        break;
    case KEEP_ATTACH:
        lifeline_attach(k, m->ask.cookie);
        break;
    case KEEP_ICMP:
        net_icmp(k->net, clock_now_ns() + LOCK_NS, m->icmp.packet,
                 MIN(m->icmp.len, (uint32_t)sizeof m->icmp.packet));
        keeper_turn(k);
        break;
    case KEEP_RELAY:
        lifeline_relay(k, &m->ask);
        break;
    case KEEP_SHARE:
        if (n_fds && lifeline_share(k, &m->ask, fds[0]))
            fds[0] = -1;
        break;
    default:
        break;
    }
    for (int i = 0; i < n_fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void on_said(struct watch *watch, uint32_t events)
{
    struct keeper *k = list_entry(watch, struct keeper, said_watch);
    int fds[KEEP_FDS], n_fds, err = 0;
    struct keep_msg m;

    for (int i = 0; i < ROUND && !err && !k->loop.stop; i++) {
        err = keep_recv(watch->fd, &m, fds, &n_fds);
        if (!err)
            dispatch(k, &m, fds, n_fds);
    }
    if (err && err != -EAGAIN)
        k->loop.stop = true;
}

// ---- life ----

static int receive_setup(struct keeper *k, struct queue_grant *queue, int *arena)
{
    struct pollfd p = {k->said_watch.fd, POLLIN, 0};
    int fds[KEEP_FDS], n_fds, err;
    struct keep_msg m;

    poll(&p, 1, -1);
    err = keep_recv(k->said_watch.fd, &m, fds, &n_fds);
    if (err)
        return err;
    if (m.kind != KEEP_SETUP || n_fds != m.setup.queue.fd_count + 2)
        return -EPROTO;
    k->setup = m.setup;
    *arena = fds[0];
    k->bell = fds[1];
    queue->desc = m.setup.queue;
    memcpy(queue->fd, fds + 2, queue->desc.fd_count * sizeof(int));
    return 0;
}

static int join_stack(struct keeper *k)
{
    struct net_attach how = {.wake = wake, .self = k};
    struct queue_grant queue;
    int err = receive_setup(k, &queue, &how.arena);

    if (!err)
        err = cage_become(k->setup.uid, k->setup.gid);
    if (err)
        return err;
    how.queue = &queue;
    how.owner_bell = k->bell;
    err = net_attach(&k->net, &how);
    if (err)
        return err;
    close(how.arena);
    k->socks = net_socks(k->net);
    k->by_sock = calloc(k->socks, sizeof *k->by_sock);
    return k->by_sock ? 0 : -ENOMEM;
}

static void between(struct loop *loop)
{
    lifelines_bury(list_entry(loop, struct keeper, loop));
}

static int watch_all(struct keeper *k)
{
    struct watch *all[] = {&k->said_watch, &k->bell_watch, &k->queue_watch};
    int err = loop_init(&k->loop, between);

    k->said_watch.ready = on_said;
    k->bell_watch = (struct watch){k->bell, on_bell};
    k->queue_watch = (struct watch){net_wait_fd(k->net), on_queue};
    k->queue_watched = true;
    k->tick = (struct timer){.fired = on_tick};
    loop_add_timer(&k->loop, &k->tick);
    for (size_t i = 0; i < ARRAY_LEN(all) && !err; i++)
        err = loop_add(&k->loop, all[i], EPOLLIN);
    return err;
}

static int begin(struct keeper *k)
{
    int err = join_stack(k);

    if (!err)
        err = watch_all(k);
    if (err)
        return err;
    err = cage_close();
    if (err)
        log_warn("the keeper of %s may make any system call: %s", k->setup.interface,
                 err_text(err));
    return 0;
}

// What is left open hangs up with us: every connection of the stack ends.
int keeper_main(int sock)
{
    static struct keeper k = {.bell = -1};
    int err;

    prctl(PR_SET_NAME, "shuntd-keeper");
    k.said_watch.fd = sock;
    list_init(&k.wires);
    list_init(&k.grave);
    err = begin(&k);
    if (err == -EPIPE)
        return EXIT_SUCCESS; // shuntd has thought better of it
    if (err) {
        log_error("the keeper of %s cannot begin: %s", k.setup.interface, err_text(err));
        return EXIT_FAILURE;
    }
    keeper_turn(&k);
    err = loop_run(&k.loop);
    if (is_alive(&k))
        net_kill(k.net, clock_now_ns(), NET_DEAD_OWNER);
    else
        log_error("the stack of uid %d on %s ends: %s", (int)k.setup.uid, k.setup.interface,
                  net_death_text(net_dead(k.net)));
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
