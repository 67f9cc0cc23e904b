// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/agent.h"

#include "base/addrtext.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "cm/iface.h"
#include "daemon/asking.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_NS          (250 * NS_PER_MS)
#define PING_NS          (2 * NS_PER_S)
#define RECONNECT_NS     (500 * NS_PER_MS) // between attempts to resume
#define MAX_CONNECTING   64
#define MAX_PEERS        16384
#define MAX_STRANGERS    256 // links that are not known yet
#define STRANGERS_A_HOST 8
#define SESSIONS_A_HOST  16
#define MAX_SESSIONS     4096
#define ACCEPTS          64 // in one round
#define ABSENT_MAX_SHIFT 3

static const struct link_events events;

uint64_t agent_random(void)
{
    uint64_t n = 0;

    while (!n)
        if (getrandom(&n, sizeof n, 0) != sizeof n)
            n = clock_now_ns();
    return n;
}

static struct agent *agent_of(const struct link *link)
{
    return link->owner;
}

// Something has a deadline now.
static void wake(struct agent *a, uint64_t due_ns)
{
    if (due_ns < a->tick.due_ns)
        timer_set(&a->tick, due_ns);
}

// ---- peers ----

static uint64_t ends_hash(const struct agent *a, const struct flow_end *local,
                          const struct flow_end *remote)
{
    struct flow_end ends[2] = {*local, *remote};

    return siphash13(&a->hash_key, ends, sizeof ends);
}

static struct peer *peer_find(const struct agent *a, const struct flow_end *local,
                              const struct flow_end *remote)
{
    list_for_each (it, table_chain(&a->peers_by_ends, ends_hash(a, local, remote))) {
        struct peer *p = list_entry(it, struct peer, by_ends.link);

        if (!memcmp(&p->local, local, sizeof *local) && !memcmp(&p->remote, remote, sizeof *remote))
            return p;
    }
    return NULL;
}

static struct peer *peer_new(struct agent *a, const struct flow_end *local,
                             const struct flow_end *remote, uint16_t port)
{
    struct peer *p = a->n_peers < MAX_PEERS ? calloc(1, sizeof *p) : NULL;

    if (!p)
        return NULL;
    p->local = *local;
    p->remote = *remote;
    p->port = port;
    list_init(&p->queued);
    list_init(&p->asked);
    list_add_tail(&a->peers, &p->of);
    table_add(&a->peers_by_ends, &p->by_ends, ends_hash(a, local, remote));
    a->n_peers++;
    return p;
}

static void peer_free(struct agent *a, struct peer *p)
{
    a->count[COUNT_AGENT_ABSENT] -= p->absent;
    table_del(&a->peers_by_ends, &p->by_ends);
    list_del(&p->of);
    a->n_peers--;
    free(p);
}

struct peer *agent_peer(struct agent *a, const struct flow *flow, int side, const char **why)
{
    struct flow_end local = flow->end[side], remote = flow->end[!side];
    char interface[IFNAMSIZ];
    struct peer *p = NULL;
    union cm_addr host;
    uint16_t port;

    proof_address(&remote, &host);
    local.port = remote.port = 0;
    *why = "rdma: waiting for the peer to claim it, too";
    if (!memcmp(local.ip, remote.ip, sizeof local.ip))
        return NULL;
    if (flow->netns != a->registry->diag.own_netns)
        *why = "rdma: the connection is in another network namespace than shuntd";
    else if (local.scope || remote.scope)
        *why = "rdma: no other host is asked by a link-local address";
    else if (!(p = peer_find(a, &local, &remote)) && iface_of(&host.sa, interface)) {
        *why = "rdma: there are too many other hosts";
        if (!policy_peer(a->policy, &host.sa, &port))
            *why = "rdma: agent.peers of shunt.conf does not list the peer";
        else
            p = peer_new(a, &local, &remote, port);
    }
    return p;
}

// What its claims are told. The peer is not asked again for a while.
static void peer_absent(struct agent *a, struct peer *p, const char *why)
{
    unsigned shift = MIN(p->failures, (uint32_t)ABSENT_MAX_SHIFT);

    p->failures++;
    p->retry_ns = clock_now_ns() + ((uint64_t)a->config->absent_s * NS_PER_S << shift);
    a->count[COUNT_AGENT_ABSENT] += !p->absent;
    a->count[COUNT_AGENT_FAILURES_TOTAL]++;
    p->absent = true;
    snprintf(p->note, sizeof p->note, "rdma: the peer's shuntd: %.68s", why);
    asking_note(a, p);
}

static void peer_present(struct agent *a, struct peer *p)
{
    a->count[COUNT_AGENT_ABSENT] -= p->absent;
    p->absent = false;
    p->failures = 0;
    p->retry_ns = 0;
}

// ---- links ----

static void adopt(struct agent *a, struct link *link)
{
    link->owner = a;
    link->events = &events;
    link->key = a->keyed ? &a->key : NULL;
    list_add_tail(&a->links, &link->of);
    wake(a, clock_now_ns() + TICK_NS);
}

// Tries to give the peer's session a link; makes the session, too, where there is none.
static void peer_try(struct agent *a, struct peer *p)
{
    struct session *s = p->session;
    struct link *link;
    int err = -ENOMEM;

    if (a->n_connecting >= MAX_CONNECTING)
        return; // at the next tick
    if (!s) {
        s = session_new(&p->local, &p->remote, agent_random(), &a->out_bytes);
        if (!s)
            return;
        s->peer = p;
        p->session = s;
        list_add_tail(&a->sessions, &s->of);
    }
    a->count[COUNT_AGENT_TRIES_TOTAL]++;
    link = link_open(a->loop, &p->local, &p->remote, p->port, &err);
    if (!link) {
        snprintf(s->why, sizeof s->why, "%s", err_text(err));
        return; // the tick sees a session without a link
    }
    s->link = link;
    link->session = s;
    adopt(a, link);
    a->n_connecting++;
    if (link_begin(link))
        link_end(link, LINK_LOST, "no memory");
}

void agent_want(struct agent *a, struct peer *p)
{
    uint64_t now = clock_now_ns();

    wake(a, now + TICK_NS);
    if (p->session && session_is_up(p->session))
        asking_send(a, p);
    else if (now < p->retry_ns)
        a->count[COUNT_AGENT_SPARED_TOTAL]++;
    else if (!p->session)
        peer_try(a, p);
}

// Links that are not known yet are counted apart.
static void known(struct agent *a, const struct link *link)
{
    if (link->opener)
        a->n_connecting--;
    else
        a->n_strangers--;
}

static void set_up(struct agent *a, struct link *link)
{
    known(a, link);
    link_set_up(link);
    a->count[COUNT_AGENT_LINKS]++;
}

// Consequences are drawn by the tick, which nobody else is in the middle of.
static void on_ended(struct link *link, enum link_end end, const char *why)
{
    struct agent *a = agent_of(link);
    struct session *s = link->session;
    char host[ADDR_TEXT_BYTES];
    union cm_addr addr;

    proof_address(&link->remote, &addr);
    log_info("agent: link %s %s: %s", link->opener ? "to" : "from", addr_text(&addr.sa, host), why);
    list_del(&link->of);
    list_add_tail(&a->dead_links, &link->of);
    if (link->was_up)
        a->count[COUNT_AGENT_LINKS]--;
    else
        known(a, link);
    if (end == LINK_BAD || end == LINK_SILENT || end == LINK_UNWANTED)
        a->count[COUNT_AGENT_TURNED_AWAY_TOTAL] += !link->opener;
    wake(a, 0);
    if (!s)
        return;
    s->link = NULL;
    if (link->was_up) // not by each attempt that fails
        s->lost_ns = clock_now_ns();
    s->broken |= end == LINK_BAD && s->known;
    snprintf(s->why, sizeof s->why, "%s", why);
}

// ---- hello and welcome ----

static ProtobufCBinaryData instance_of(const struct agent *a)
{
    return (ProtobufCBinaryData){SESSION_INSTANCE_BYTES, (uint8_t *)(uintptr_t)a->instance};
}

static void on_greeted(struct link *link)
{
    struct agent *a = agent_of(link);
    Agt__Hello hello = AGT__HELLO__INIT;
    Agt__Frame frame;

    if (!link->opener)
        return;
    hello.instance = instance_of(a);
    hello.session = link->session->id;
    hello.resume = link->session->known;
    hello.received = link->session->received;
    LINK_FRAME(&frame, HELLO, hello, &hello);
    link_send(link, &frame);
}

static void on_welcome(struct agent *a, struct link *link, const Agt__Welcome *w)
{
    struct session *s = link->session;
    bool same = s->known && w->resumed && w->instance.len == SESSION_INSTANCE_BYTES &&
                !memcmp(w->instance.data, s->instance, SESSION_INSTANCE_BYTES);

    if (w->instance.len != SESSION_INSTANCE_BYTES || (same && w->received > s->sent)) {
        link_end(link, LINK_BAD, "its welcome makes no sense");
        return;
    }
    if (s->known && !same) { // another process than before
        asking_cut(a, s);
        session_reset(s);
    }
    a->count[COUNT_AGENT_RESUMED_TOTAL] += same;
    memcpy(s->instance, w->instance.data, SESSION_INSTANCE_BYTES);
    set_up(a, link);
    peer_present(a, s->peer);
    session_resume(s, same ? w->received : 0);
    asking_send(a, s->peer);
}

static struct session *session_find(const struct agent *a, const struct link *link,
                                    const Agt__Hello *h, uint32_t *of_host)
{
    struct session *found = NULL;

    *of_host = 0;
    list_for_each (it, &a->sessions) {
        struct session *s = list_entry(it, struct session, of);

        if (s->peer || memcmp(s->remote.ip, link->remote.ip, sizeof s->remote.ip))
            continue;
        ++*of_host;
        if (memcmp(s->instance, h->instance.data, SESSION_INSTANCE_BYTES) ||
            memcmp(s->local.ip, link->local.ip, sizeof s->local.ip))
            continue;
        if (s->id == h->session)
            found = s;
        else // the same opener has given it up
            s->broken = true;
    }
    return found;
}

// The session that hello is for, perhaps a new one; *resumed: it goes on. NULL with a reason.
static struct session *session_for(struct agent *a, const struct link *link, const Agt__Hello *h,
                                   bool *resumed, const char **why)
{
    uint32_t of_host;
    struct session *s = session_find(a, link, h, &of_host);

    *resumed = s && h->resume && !s->broken && h->received <= s->sent;
    *why = "the session is another one here";
    if (s)
        return *resumed ? s : NULL;
    *why = "too many sessions";
    if (of_host >= SESSIONS_A_HOST || a->count[COUNT_AGENT_LINKS] >= MAX_SESSIONS)
        return NULL;
    s = session_new(&link->local, &link->remote, h->session, &a->out_bytes);
    if (!s)
        return NULL;
    s->known = true;
    memcpy(s->instance, h->instance.data, SESSION_INSTANCE_BYTES);
    list_add_tail(&a->sessions, &s->of);
    return s;
}

// The opener knows that the link before is lost, even where we do not yet.
static void take_over(struct session *s, struct link *link)
{
    struct link *old = s->link;

    s->link = link;
    link->session = s;
    if (!old)
        return;
    old->session = NULL;
    link_end(old, LINK_LOST, "another link has taken its place");
}

static void on_hello(struct agent *a, struct link *link, const Agt__Hello *h)
{
    Agt__Welcome welcome = AGT__WELCOME__INIT;
    struct session *s;
    Agt__Frame frame;
    const char *why;
    bool resumed;

    if (h->instance.len != SESSION_INSTANCE_BYTES || !h->session) {
        link_end(link, LINK_BAD, "its hello makes no sense");
        return;
    }
    if (!memcmp(h->instance.data, a->instance, SESSION_INSTANCE_BYTES)) {
        link_refuse(link, "it is this host's own");
        return;
    }
    s = session_for(a, link, h, &resumed, &why);
    if (!s) {
        link_refuse(link, why);
        return;
    }
    take_over(s, link);
    welcome.instance = instance_of(a);
    welcome.resumed = resumed;
    welcome.received = s->received;
    LINK_FRAME(&frame, WELCOME, welcome, &welcome);
    link_send(link, &frame);
    if (link->state == LINK_DEAD)
        return;
    set_up(a, link);
    a->count[COUNT_AGENT_RESUMED_TOTAL] += resumed;
    session_resume(s, resumed ? h->received : 0);
}

// ---- frames ----

static void on_numbered(struct agent *a, struct link *link, const Agt__Frame *frame)
{
    bool gap;

    if (session_heard(link->session, frame->seq, &gap))
        asking_heard(a, link->session, frame);
    else if (gap)
        link_end(link, LINK_BAD, "something that it said is missing");
}

static void on_frame(struct link *link, const Agt__Frame *frame)
{
    struct agent *a = agent_of(link);
    bool hello = frame->body_case == AGT__FRAME__BODY_HELLO;
    bool welcome = frame->body_case == AGT__FRAME__BODY_WELCOME;

    if (link->state == LINK_HELLO && hello && !link->opener)
        on_hello(a, link, frame->hello);
    else if (link->state == LINK_HELLO && welcome && link->opener)
        on_welcome(a, link, frame->welcome);
    else if (link->state != LINK_UP || hello || welcome || !link->session)
        link_end(link, LINK_BAD, "it says things in the wrong order");
    else if (frame->seq)
        on_numbered(a, link, frame);
    else if (frame->body_case == AGT__FRAME__BODY_PING && session_acked(link->session, frame->ack))
        link_end(link, LINK_BAD, "it acknowledges what was never said");
}

static void on_room(struct link *link)
{
    struct session *s = link->session;

    if (!s)
        return;
    session_pump(s);
    if (s->peer && session_is_up(s))
        asking_send(agent_of(link), s->peer);
}

static const struct link_events events = {
    .greeted = on_greeted, .frame = on_frame, .room = on_room, .ended = on_ended};

// ---- accepting ----

static const char *turn_away(const struct agent *a, const struct link *link)
{
    union cm_addr host;
    uint32_t of_host = 0;
    uint16_t port;

    proof_address(&link->remote, &host);
    if (!policy_peer(a->policy, &host.sa, &port))
        return "this host does not list yours among its peers";
    if (a->n_strangers > MAX_STRANGERS)
        return "too many links are beginning";
    list_for_each (it, &a->links) {
        const struct link *l = list_entry(it, struct link, of);

        of_host += !l->opener && l->state != LINK_UP &&
                   !memcmp(l->remote.ip, link->remote.ip, sizeof l->remote.ip);
    }
    return of_host > STRANGERS_A_HOST ? "too many links are beginning" : NULL;
}

// Without fds: those that come wait until the next tick.
static void fall_deaf(struct agent *a, int err)
{
    if (err == EAGAIN || err == ECONNABORTED || err == EINTR)
        return;
    a->deaf = true;
    loop_change(a->loop, &a->listener, 0);
    wake(a, clock_now_ns() + TICK_NS);
}

static void on_connect(struct watch *watch, uint32_t ready_events)
{
    struct agent *a = list_entry(watch, struct agent, listener);

    for (int i = 0; i < ACCEPTS; i++) {
        int sock = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct link *link = sock < 0 ? NULL : link_accepted(a->loop, sock);
        const char *why;

        if (sock < 0) {
            fall_deaf(a, errno);
            return;
        }
        if (!link)
            continue;
        adopt(a, link);
        a->n_strangers++;
        why = turn_away(a, link);
        if (link_begin(link))
            link_end(link, LINK_LOST, "no memory");
        else if (why)
            link_refuse(link, why);
    }
}

// ---- time ----

static void session_end(struct agent *a, struct session *s)
{
    struct link *link = s->link;

    if (link) {
        link->session = NULL;
        s->link = NULL;
        link_end(link, LINK_LOST, "its session is over");
    }
    asking_cut(a, s);
    if (s->peer)
        s->peer->session = NULL;
    session_free(s);
}

static bool is_idle(const struct session *s)
{
    return list_empty(&s->channels) && list_empty(&s->parked) &&
           (!s->peer || (list_empty(&s->peer->asked) && list_empty(&s->peer->queued)));
}

static bool too_long(uint64_t since_ns, uint64_t ns, uint64_t now_ns)
{
    return now_ns > since_ns && now_ns - since_ns >= ns; // since may be later than the tick began
}

// A session of ours whose link is gone, or never came up.
static void session_retry(struct agent *a, struct session *s, uint64_t now)
{
    struct peer *p = s->peer;
    char why[sizeof s->why];
    bool absent;

    if (s->known && !s->broken && !list_empty(&s->channels) &&
        !too_long(s->lost_ns, (uint64_t)a->config->lost_ms * NS_PER_MS, now)) {
        if (now >= p->retry_ns) {
            p->retry_ns = now + RECONNECT_NS;
            peer_try(a, p);
        }
        return;
    }
    absent = !s->known; // else it was there a moment ago, and is worth a new session
    memcpy(why, s->why, sizeof why);
    session_end(a, s);
    if (absent)
        peer_absent(a, p, why);
}

static void session_tick(struct agent *a, struct session *s, uint64_t now)
{
    s->idle_ns = is_idle(s) ? MIN(s->idle_ns, now) : CLOCK_NEVER;
    if (s->broken && !s->peer) {
        session_end(a, s);
        return;
    }
    if (session_is_up(s)) {
        if (s->peer && is_idle(s) && too_long(s->idle_ns, a->config->found_s * NS_PER_S, now))
            session_end(a, s);
        else if (s->told < s->received || too_long(s->link->said_ns, PING_NS, now))
            session_ping(s);
        return;
    }
    if (s->link)
        return; // it is under way, with deadlines of its own
    asking_lost(a, s);
    if (s->peer)
        session_retry(a, s, now);
    else if (is_idle(s) || too_long(s->lost_ns, (uint64_t)a->config->lost_ms * NS_PER_MS, now))
        session_end(a, s);
}

// True: it is of no use any more.
static bool peer_tick(struct agent *a, struct peer *p, uint64_t now)
{
    if (p->session)
        return false;
    if (!list_empty(&p->queued) && now >= p->retry_ns)
        peer_try(a, p);
    return !p->session && list_empty(&p->queued) && now >= p->retry_ns;
}

static void tick(struct timer *timer, uint64_t now)
{
    struct agent *a = list_entry(timer, struct agent, tick);

    if (a->deaf)
        loop_change(a->loop, &a->listener, EPOLLIN);
    a->deaf = false;
    list_for_each_safe (it, &a->links)
        link_check(list_entry(it, struct link, of), now);
    list_for_each_safe (it, &a->sessions)
        session_tick(a, list_entry(it, struct session, of), now);
    list_for_each_safe (it, &a->peers)
        if (peer_tick(a, list_entry(it, struct peer, of), now))
            peer_free(a, list_entry(it, struct peer, of));
    if (!list_empty(&a->links) || !list_empty(&a->sessions) || !list_empty(&a->peers))
        wake(a, now + TICK_NS);
}

void agent_bury(struct agent *a)
{
    while (a->on && !list_empty(&a->dead_links))
        link_free(list_entry(a->dead_links.next, struct link, of));
}

// ---- life ----

static void listen_address(const struct agent *a, union cm_addr *addr)
{
    struct flow_end end = {.port = htons(a->config->port)};

    if (a->config->listen_one)
        memcpy(end.ip, a->config->listen, sizeof end.ip);
    proof_address(&end, addr);
}

// A listening socket, or -errno.
static int listen_at(const union cm_addr *addr)
{
    int sock = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int one = 1, off = 0;

    if (sock < 0)
        return -errno;
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(sock, &addr->sa, sizeof *addr) || listen(sock, 128)) {
        int err = -errno;

        close(sock);
        return err;
    }
    return sock;
}

static int open_listener(struct agent *a)
{
    union cm_addr addr;
    int sock;

    listen_address(a, &addr);
    sock = listen_at(&addr);
    if (sock < 0 && sock != -EADDRINUSE && !a->config->listen_one) { // a host without IPv6
        addr = (union cm_addr){.in = {.sin_family = AF_INET, .sin_port = htons(a->config->port)}};
        sock = listen_at(&addr);
    }
    if (sock < 0)
        return sock;
    a->listener = (struct watch){sock, on_connect};
    return loop_add(a->loop, &a->listener, EPOLLIN);
}

// Another shuntd of this host may have the port: this one can still ask.
static int begin_to_listen(struct agent *a, char why[static SEAL_WHY_BYTES])
{
    int err = open_listener(a);

    if (err == -EADDRINUSE)
        log_warn("agent: port %u is taken: this shuntd asks other hosts, and none can ask it",
                 a->config->port);
    if (!err || err == -EADDRINUSE)
        return 0;
    snprintf(why, SEAL_WHY_BYTES, "cannot listen on port %u for other hosts: %s", a->config->port,
             err_text(err));
    return err;
}

static int make_tables(struct agent *a)
{
    list_init(&a->links);
    list_init(&a->dead_links);
    list_init(&a->sessions);
    list_init(&a->peers);
    return table_init(&a->peers_by_ends) || table_init(&a->asks) || table_init(&a->channels) ||
           table_init(&a->parked);
}

int agent_open(struct agent *a, struct loop *loop, struct registry *registry, uint64_t *count,
               const struct policy *policy, char why[static SEAL_WHY_BYTES])
{
    int err = 0;

    *a = (struct agent){.loop = loop,
                        .registry = registry,
                        .count = count,
                        .policy = policy,
                        .config = &policy_settings(policy)->agent,
                        .listener.fd = -1,
                        .tick.fired = tick,
                        .far = asking_far};
    if (!policy_has_peers(policy))
        return 0;
    snprintf(why, SEAL_WHY_BYTES, "no memory");
    a->on = true;
    a->far.arg = a;
    if (make_tables(a) || getrandom(a->instance, sizeof a->instance, 0) < 0 ||
        getrandom(&a->hash_key, sizeof a->hash_key, 0) < 0)
        return -ENOMEM;
    loop_add_timer(loop, &a->tick);
    if (a->config->key_file)
        err = seal_load_key(a->config->key_file, &a->key, why);
    a->keyed = a->config->key_file && !err;
    if (!err)
        err = begin_to_listen(a, why);
    if (!err)
        registry->far = &a->far;
    return err;
}

void agent_close(struct agent *a)
{
    if (!a->on)
        return;
    a->registry->far = NULL;
    if (a->listener.fd >= 0)
        close(a->listener.fd);
    while (!list_empty(&a->sessions))
        session_end(a, list_entry(a->sessions.next, struct session, of));
    list_for_each_safe (it, &a->links)
        link_end(list_entry(it, struct link, of), LINK_LOST, "shuntd ends");
    agent_bury(a);
    list_for_each_safe (it, &a->peers) {
        asking_forget(a, list_entry(it, struct peer, of));
        peer_free(a, list_entry(it, struct peer, of));
    }
    list_del(&a->tick.link);
    table_fini(&a->peers_by_ends);
    table_fini(&a->asks);
    table_fini(&a->channels);
    table_fini(&a->parked);
    a->on = false;
}
