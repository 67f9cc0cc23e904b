// SPDX-License-Identifier: BSD-2-Clause
// The lane rdma as its users see it: a module of its own, so that programs that never use it need
// not load the verbs libraries.
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/util.h"
#include "lane/rdma/module.h"
#include "lane/rdma/state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#define OPEN_NS           (10 * NS_PER_S)     // for a channel, link and all
#define PINNED_MOST_BYTES (UINT64_C(1) << 30) // of rings, which stay in memory
#define LOOK_EVERY_NS     (100 * NS_PER_US)   // while a channel is opening
#define WATCH_EVERY_NS    (250 * NS_PER_MS)
#define LOOK_SILENT_NS    (2 * NS_PER_MS)   // in a sleep, while a peer may write without a message
#define LOOK_SENDING_NS   (100 * NS_PER_MS) // in a sleep, while sends are under way
#define HEARD_IN_A_ROW    16                // sleeps that end by completions, then other fds

struct rdma_lane lane = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void enter(void)
{
    pthread_mutex_lock(&lane.lock);
}

static void leave(void)
{
    pthread_mutex_unlock(&lane.lock);
}

// Each once: what cannot be pushed now is dirty again.
static void push_dirty(void)
{
    struct list todo;

    list_init(&todo);
    list_for_each_safe (it, &lane.dirty) {
        list_del(it);
        list_add_tail(&todo, it);
    }
    while (!list_empty(&todo)) {
        struct rdma_chan *ch = list_entry(todo.next, struct rdma_chan, dirty);

        list_del(&ch->dirty);
        chan_push(ch);
    }
}

// What completions have left to do. Under the lock.
static void settle(void)
{
    list_for_each_safe (it, &lane.owing) {
        struct rdma_link *l = list_entry(it, struct rdma_link, owing);

        list_del(&l->owing);
        link_settle(l);
    }
    do { // pushing may poll
        lane.has_news = false;
        push_dirty();
    } while (lane.has_news);
}

static void poll_all(void)
{
    list_for_each (it, &lane.hubs)
        hub_poll(list_entry(it, struct rdma_hub, node));
    settle();
}

// ---- start ----

static void init_lists(void)
{
    struct list *heads[] = {&lane.hubs,    &lane.links, &lane.chans,
                            &lane.callers, &lane.owing, &lane.dirty};

    for (size_t i = 0; i < ARRAY_LEN(heads); i++)
        list_init(heads[i]);
    for (size_t i = 0; i < QP_BUCKETS; i++)
        list_init(&lane.by_qp[i]);
}

static int start_locked(const struct mirror_host *host)
{
    int err;

    init_lists();
    lane.host = *host;
    // what is registered stays with the parent; kernels that copy it at fork need no help
    if (ibv_is_fork_initialized() == IBV_FORK_DISABLED)
        ibv_fork_init();
    if (getrandom(lane.self.token, sizeof lane.self.token, 0) != sizeof lane.self.token)
        return -EIO;
    lane.epfd = (int)sys_call(SYS_epoll_create1, EPOLL_CLOEXEC);
    if (lane.epfd < 0)
        return lane.epfd;
    lane_own_fd(&lane.epfd);
    err = meet_start();
    if (!err)
        lane.started = true;
    return err;
}

static int start(const struct mirror_host *host)
{
    int err = 0;

    enter();
    if (!lane.started)
        err = start_locked(host);
    leave();
    return err;
}

static size_t endpoint(uint8_t *to)
{
    return rdma_pack_endpoint(to, &lane.self);
}

// ---- channels ----

static bool copy_addr(union lane_addr *to, const struct sockaddr *from)
{
    const struct sockaddr_in6 *in6 = (const void *)from;

    *to = (union lane_addr){0};
    if (from->sa_family == AF_INET) {
        memcpy(&to->in, from, sizeof to->in);
    } else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        to->in.sin_family = AF_INET;
        to->in.sin_addr.s_addr = in6->sin6_addr.s6_addr32[3];
    } else {
        memcpy(&to->in6, from, sizeof to->in6);
    }
    return from->sa_family == AF_INET || from->sa_family == AF_INET6;
}

// Which of the two calls the other is the same on both sides.
static bool calls(const struct rdma_endpoint *peer, int side)
{
    int order = memcmp(lane.self.token, peer->token, sizeof peer->token);

    return order ? order < 0 : side == 0;
}

static struct rdma_chan *chan_new(const struct mirror_call *call, const struct rdma_endpoint *peer)
{
    struct rdma_chan *ch = calloc(1, sizeof *ch);

    if (!ch)
        return NULL;
    ch->peer = *peer;
    ch->channel_id = call->channel_id;
    ch->active = calls(peer, call->side);
    ch->deadline_ns = clock_now_ns() + OPEN_NS;
    if (!copy_addr(&ch->local, call->local) || !copy_addr(&ch->remote, call->remote)) {
        free(ch);
        return NULL;
    }
    mirror_init(&ch->mirror, &call->chan);
    list_init(&ch->dirty);
    list_add_tail(&lane.chans, &ch->node);
    lane.pinned_bytes += 2 * (uint64_t)call->chan.ring_bytes;
    atomic_fetch_add(&lane.opening, 1);
    return ch;
}

static int open_chan(const struct mirror_call *call, struct chan_mirror **m)
{
    struct rdma_endpoint peer;
    struct rdma_chan *ch;
    struct rdma_link *l;

    if (rdma_parse_endpoint(call->endpoint, call->endpoint_len, &peer))
        return -EPROTO;
    enter();
    if (lane.pinned_bytes + 2 * (uint64_t)call->chan.ring_bytes > PINNED_MOST_BYTES) {
        leave();
        return -EAGAIN;
    }
    ch = chan_new(call, &peer);
    if (ch) {
        l = meet(ch);
        if (l && l->state == LINK_UP)
            chan_join(ch, l);
        atomic_store(&lane.has_work, true);
        *m = (struct chan_mirror *)(void *)ch;
    }
    leave();
    return ch ? 0 : -ENOMEM;
}

static enum mirror_state state(struct chan_mirror *m)
{
    return (enum mirror_state)atomic_load(&chan_of(m)->state);
}

static const char *reason(struct chan_mirror *m)
{
    return chan_of(m)->why;
}

static enum mirror_end ended(struct chan_mirror *m)
{
    return (enum mirror_end)atomic_load(&chan_of(m)->mirror.peer_stage);
}

static size_t outgoing(struct chan_mirror *m, uint8_t *to)
{
    struct rdma_chan *ch = chan_of(m);
    size_t n;

    enter();
    n = ch->relay_bytes;
    memcpy(to, ch->relay, n);
    ch->relay_bytes = 0;
    if (!n && ch->state == MIRROR_LOST)
        n = chan_tell_lines(ch, to);
    leave();
    return n;
}

// The first that is said in the name of a peer that has died; what its device still delivers is
// the same bytes.
static bool is_bereft(struct rdma_chan *ch)
{
    if (!ch->is_bereft)
        poll_all();
    ch->is_bereft = true;
    return ch->state == MIRROR_OPEN || ch->state == MIRROR_LOST;
}

static void relayed_rest(struct rdma_chan *ch, const uint8_t *bytes, size_t len)
{
    struct rdma_rest r;

    if (!rdma_parse_rest(bytes, len, &r) && is_bereft(ch) && mirror_take_rest(&ch->mirror, &r) &&
        ch->state == MIRROR_OPEN)
        chan_lost(ch, "the peer's last bytes do not fit");
}

// All that it has left is here: then the channel ends as if it had closed it.
static void last_lines(struct rdma_chan *ch, const struct rdma_lines *l)
{
    if (!is_bereft(ch))
        return;
    if (l->tail == ch->mirror.came)
        mirror_take_lines(&ch->mirror, l);
    else if (ch->state == MIRROR_OPEN)
        chan_lost(ch, "the peer's last bytes are missing");
    mirror_wake(&ch->mirror, true);
}

static void relayed_lines(struct rdma_chan *ch, const uint8_t *bytes, size_t len)
{
    struct rdma_note n;

    if (rdma_parse_note(bytes, len, &n) || n.type != RDMA_NOTE_LINES)
        return;
    if (n.lines.stage == RDMA_CLOSED) {
        last_lines(ch, &n.lines);
        return;
    }
    if (ch->state == MIRROR_OPEN)
        chan_lost(ch, "the peer has lost the link");
    // bytes that were on their way are lost: what has come is what has come
    n.lines.tail = ch->mirror.came;
    mirror_take_lines(&ch->mirror, &n.lines);
    mirror_wake(&ch->mirror, true);
}

static void incoming(struct chan_mirror *m, const uint8_t *bytes, size_t len)
{
    struct rdma_chan *ch = chan_of(m);
    struct rdma_open o;

    enter();
    if (len && bytes[0] == RDMA_RELAY_OPEN && ch->state == MIRROR_OPENING &&
        !rdma_parse_open(bytes + 1, len - 1, &o))
        chan_answered(ch, &o);
    else if (len && bytes[0] == RDMA_RELAY_LINES)
        relayed_lines(ch, bytes + 1, len - 1);
    else if (len && bytes[0] == RDMA_RELAY_REST)
        relayed_rest(ch, bytes + 1, len - 1);
    leave();
}

static bool ready(struct chan_mirror *m)
{
    struct rdma_chan *ch = chan_of(m);
    bool yes;

    enter();
    yes = ch->state == MIRROR_OPEN && ch->link && link_can_whisper(ch->link);
    leave();
    return yes;
}

static void end(struct rdma_chan *ch, enum rdma_stage stage)
{
    if (ch->mirror.stage < stage)
        ch->mirror.stage = (uint8_t)stage;
    chan_push(ch);
}

static void finish(struct chan_mirror *m)
{
    enter();
    end(chan_of(m), RDMA_FIN);
    settle();
    leave();
}

static void close_chan(struct chan_mirror *m)
{
    struct rdma_chan *ch = chan_of(m);

    enter();
    ch->is_closed = true;
    end(ch, RDMA_CLOSED);
    mirror_detach(&ch->mirror);
    settle();
    atomic_store(&lane.has_work, true);
    leave();
}

// ---- progress ----

static void watch_links(uint64_t now_ns)
{
    atomic_store(&lane.watched_ticks, clock_ticks());
    poll_all();
    list_for_each (it, &lane.links)
        link_watch(list_entry(it, struct rdma_link, node), now_ns);
}

static void advance(void)
{
    bool work = atomic_load_explicit(&lane.has_work, memory_order_relaxed) &&
                atomic_exchange(&lane.has_work, false);
    bool watch =
        clock_ticks() - atomic_load(&lane.watched_ticks) >= clock_ticks_of_ns(WATCH_EVERY_NS);
    uint64_t now_ns;

    if (!work && !watch && !atomic_load(&lane.opening))
        return;
    now_ns = clock_now_ns();
    if (!work && !watch && now_ns - lane.looked_ns < LOOK_EVERY_NS)
        return;
    enter();
    lane.looked_ns = now_ns;
    if (watch)
        watch_links(now_ns);
    list_for_each (it, &lane.hubs)
        hub_advance(list_entry(it, struct rdma_hub, node));
    poll_all();
    chans_advance(now_ns);
    meet_advance(now_ns);
    leave();
}

// ---- the pump ----

static void ring(struct chan *c)
{
    enter();
    chan_push((struct rdma_chan *)(uintptr_t)c->pumped);
    settle();
    leave();
}

// chan_ring_peer() has told of all that must be told at once.
static void push(struct chan *c, bool sent)
{
}

static void look(struct pump *p)
{
    if (!lane.started || pthread_mutex_trylock(&lane.lock))
        return; // whoever holds it does it
    poll_all();
    leave();
}

// A device may not say that a send has failed.
static bool is_sending(void)
{
    list_for_each (it, &lane.links) {
        struct rdma_link *l = list_entry(it, struct rdma_link, node);

        if (l->state == LINK_UP && l->posted != l->done)
            return true;
    }
    return false;
}

static bool is_silent(void)
{
    list_for_each (it, &lane.hubs)
        if (list_entry(it, struct rdma_hub, node)->peer_silent)
            return true;
    return false;
}

static bool arm_all(void)
{
    bool again = false;

    list_for_each (it, &lane.hubs)
        again |= hub_arm(list_entry(it, struct rdma_hub, node));
    settle();
    return again;
}

static bool arm(struct pump *p, int *fd, uint64_t *deadline_ns)
{
    bool again;

    if (!lane.started)
        return false;
    enter();
    lane.sleepers++;
    again = arm_all();
    *fd = lane.epfd;
    if (is_silent())
        *deadline_ns = clock_now_ns() + LOOK_SILENT_NS;
    else if (is_sending())
        *deadline_ns = clock_now_ns() + LOOK_SENDING_NS;
    leave();
    return again;
}

// Which of the fds below ours were readable.
static void take_events(void)
{
    struct epoll_event ev[16];
    int n = (int)sys_call(SYS_epoll_pwait, lane.epfd, ev, ARRAY_LEN(ev), 0, 0, 8);

    for (int i = 0; i < n; i++) {
        if (ev[i].data.fd == lane.events->fd)
            atomic_store(&lane.has_work, true);
        list_for_each (it, &lane.hubs)
            hub_woken(list_entry(it, struct rdma_hub, node), ev[i].data.fd);
    }
}

static bool heard(void)
{
    bool any = false;

    list_for_each (it, &lane.hubs)
        any |= hub_heard(list_entry(it, struct rdma_hub, node));
    return any;
}

static void woken(struct pump *p)
{
    if (!lane.started)
        return;
    enter();
    if (!heard() || ++lane.n_heard % HEARD_IN_A_ROW == 0)
        take_events();
    lane.sleepers -= lane.sleepers > 0;
    if (lane.sleepers)
        arm_all(); // they have not looked, and the event that they wait for may just have been
                   // taken
    else
        poll_all();
    leave();
    if (!lane.host.may_be_slow || lane.host.may_be_slow())
        advance();
}

static struct pump rdma_pump = {
    .push = push, .ring = ring, .look = look, .arm = arm, .woken = woken};

// ---- the end ----

// Asks the device about what was posted meanwhile, too; a peer that has gone is not waited for.
static bool is_drained(void)
{
    bool sending = false;

    poll_all();
    meet_advance(clock_now_ns());
    list_for_each (it, &lane.links) {
        struct rdma_link *l = list_entry(it, struct rdma_link, node);

        link_flush(l);
        sending |= l->state == LINK_UP && l->done != l->posted;
    }
    return !sending && list_empty(&lane.dirty);
}

static void drain(uint64_t max_ns)
{
    uint64_t deadline_ns = clock_now_ns() + max_ns;
    struct timespec until = {(time_t)(deadline_ns / NS_PER_S), (long)(deadline_ns % NS_PER_S)};

    // perhaps a thread that ended in the middle of it
    if (pthread_mutex_clocklock(&lane.lock, CLOCK_MONOTONIC, &until))
        return;
    list_for_each (it, &lane.chans)
        end(list_entry(it, struct rdma_chan, node), RDMA_CLOSED);
    while (!is_drained() && clock_now_ns() < deadline_ns)
        clock_pause();
    leave();
}

static void forked(void)
{
    bool was = lane.started;

    if (was)
        lane_close_fds();
    lane = (struct rdma_lane){.lock = PTHREAD_MUTEX_INITIALIZER};
}

SHUNT_EXPORT const struct mirror_lane shunt_rdma = {
    .pump = &rdma_pump,
    .start = start,
    .endpoint = endpoint,
    .open = open_chan,
    .advance = advance,
    .state = state,
    .reason = reason,
    .ended = ended,
    .outgoing = outgoing,
    .incoming = incoming,
    .ready = ready,
    .finish = finish,
    .close = close_chan,
    .drain = drain,
    .forked = forked,
};
