// SPDX-License-Identifier: BSD-2-Clause
// From the first use of a connection to its channel: decision, claim, answer, mapping.
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sys.h"
#include "cm/iface.h"
#include "cm/wire.h"
#include "sock/fdtab.h"
#include "sock/info.h"
#include "sock/mirror.h"
#include "sock/move.h"
#include "sock/self.h"
#include "shunt/info.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#define BUCKETS 1024

struct sock_self self;
static struct list claims[BUCKETS]; // of conn.claimed, by cookie, under self.lock

static struct list *bucket(uint64_t cookie)
{
    return &claims[cookie % BUCKETS];
}

void conn_reason(struct conn *c, const char *reason)
{
    if (!c->end)
        return;
    if (*reason && strcmp(reason, c->end->rec.reason))
        info_log(c, reason);
    snprintf(c->end->rec.reason, sizeof c->end->rec.reason, "%s", reason);
}

// ---- decision ----

static int addresses(int fd, union cm_addr *local, union cm_addr *remote)
{
    socklen_t n = sizeof *local, m = sizeof *remote;
    int err = (int)sys_call(SYS_getsockname, fd, local, &n);

    return err ? err : (int)sys_call(SYS_getpeername, fd, remote, &m);
}

static struct policy_facts facts_of(const struct conn *c, const union cm_addr *local,
                                    const union cm_addr *remote, char interface[static IFNAMSIZ])
{
    struct policy_facts facts = {
        .program = self.program,
        .exe = self.exe,
        .role = c->role,
        .local = &local->sa,
        .remote = remote ? &remote->sa : NULL,
    };

    if (policy_needs_user(self.policy)) // servers change it after they have started
        facts.uid = (uid_t)sys_call(SYS_geteuid, 0);
    if (policy_needs_interface(self.policy) && !iface_of(&local->sa, interface))
        facts.interface = interface;
    return facts;
}

void conn_ask(struct conn *c, const union cm_addr *local, const union cm_addr *remote)
{
    char interface[IFNAMSIZ];
    const struct policy_facts facts = facts_of(c, local, remote, interface);

    policy_decide(self.policy, &facts, &c->rule);
}

static void choose(struct conn *c, const union cm_addr *local, const union cm_addr *remote,
                   struct cm_choice *choice)
{
    char interface[IFNAMSIZ];
    const struct policy_facts facts = facts_of(c, local, remote, interface);

    cm_choose(self.policy, &facts, choice);
    c->rule = choice->rule;
    if (*c->obstacle && choice->stays)
        snprintf(choice->reason, sizeof choice->reason, "%s", c->obstacle);
    if (c->inherited && !choice->stays) {
        choice->stays = true;
        snprintf(choice->reason, sizeof choice->reason, "shared before it was connected");
    }
}

static void fill_record(struct conn *c, int fd, const union cm_addr *local,
                        const union cm_addr *remote)
{
    struct cm_record *rec = &c->end->rec;

    rec->pid = self.pid;
    rec->fd = fd;
    rec->role = c->role;
    rec->local = *local;
    rec->remote = *remote;
    snprintf(rec->rule, sizeof rec->rule, "%s", c->rule.rule_name);
    atomic_store(&rec->bytes_tx[SHUNT_LANE_KERNEL], c->early_tx);
    atomic_store(&rec->bytes_rx[SHUNT_LANE_KERNEL], c->early_rx);
    if (c->nonblock)
        end_set(c->end, END_NONBLOCK);
    atomic_store(&rec->used, 1);
}

// A connection whose rule requires a lane that cannot be had.
static void conn_refuse(struct conn *c, int fd)
{
    log_error("rule \"%s\" requires a lane: %s", c->rule.rule_name, c->end->rec.reason);
    c->refused = true;
    c->stage = CONN_RAW;
    conn_abort(c, fd);
}

static void decide(struct conn *c, int fd)
{
    union cm_addr local = {0}, remote = {0};
    struct cm_choice choice;

    if (addresses(fd, &local, &remote))
        return; // still connecting, or reset: asked again at the next use
    choose(c, &local, &remote, &choice);
    c->end = end_new();
    if (!c->end) {
        c->stage = CONN_RAW;
        return;
    }
    fill_record(c, fd, &local, &remote);
    conn_reason(c, choice.reason);
    c->stage = choice.stays ? CONN_RAW : CONN_HOPEFUL;
    if (choice.stays && c->rule.action == POLICY_REQUIRE)
        conn_refuse(c, fd);
}

void conn_decide(struct conn *c, int fd)
{
    sock_enter();
    sock_lock(&self.lock, false);
    if (c->stage == CONN_FRESH)
        decide(c, fd);
    sock_unlock(&self.lock, false);
    sock_leave();
}

// ---- claim ----

// Bytes that the kernel's TCP has carried, both ways together.
static uint64_t carried(const struct conn *c)
{
    const _Atomic uint64_t *tx = c->end ? &c->end->rec.bytes_tx[0] : &c->early_tx;
    const _Atomic uint64_t *rx = c->end ? &c->end->rec.bytes_rx[0] : &c->early_rx;

    return atomic_load_explicit(tx, memory_order_relaxed) +
           atomic_load_explicit(rx, memory_order_relaxed);
}

bool conn_is_early(struct conn *c, uint32_t calls, uint64_t patience_bytes)
{
    uint32_t uses = atomic_load_explicit(&c->uses, memory_order_relaxed);

    if (!patience_bytes)
        return false;
    atomic_store_explicit(&c->uses, uses + 1, memory_order_relaxed);
    return uses < calls && carried(c) < EARLY_BYTES;
}

// A call costs TCP something whatever it carries, so small messages count for more than their
// bytes.
static uint64_t spent(const struct conn *c)
{
    return carried(c) + CALL_BYTES * atomic_load_explicit(&c->uses, memory_order_relaxed);
}

static bool due(struct conn *c)
{
    if (c->rule.action == POLICY_REQUIRE)
        return true;
    if (conn_is_early(c, EARLY_TO_CLAIM, c->rule.after_bytes) || !carried(c))
        return false;
    return spent(c) >= c->rule.after_bytes &&
           (!c->rule.after_ms || clock_now_ns() - c->made_ns >= c->rule.after_ms * NS_PER_MS);
}

// There is no lane to ask for but the one that only a single process can have.
static void stay(struct conn *c)
{
    if (mirror_in_use()) {
        conn_reason(c, HELD_ELSEWHERE);
        end_rest(c->end);
    } else {
        conn_reason(c, "rdma: the lane cannot be had here");
        c->stage = CONN_RAW;
    }
}

void conn_show(struct conn *c)
{
    sock_lock(&self.lock, false);
    if (self.unshown) {
        end_announce();
        cm_poll(self.cm); // which tells what a fork has left untold
    }
    self.unshown = false;
    c->end->rec.pid = self.pid;
    sock_unlock(&self.lock, false);
}

// Under self.lock.
static void claim(struct conn *c, int fd)
{
    struct end_place place = end_place(c->end);
    const struct policy_facts facts = {.local = &c->end->rec.local.sa,
                                       .remote = &c->end->rec.remote.sa};
    struct cm_wish wish = {
        .local = c->end->rec.local,
        .remote = c->end->rec.remote,
        .ring_bytes = c->rule.ring_bytes,
        .cross_user = c->rule.cross_user,
        .chunk_fd = place.chunk_fd,
        .chunk_slot = place.slot,
    };

    wish.n_lanes = cm_lanes(&c->rule, &facts, wish.lanes);
    mirror_wish(c, fd, &wish);
    if (!wish.n_lanes) {
        stay(c);
        return;
    }
    opts_mirror(c->end, fd);
    if (self.unshown)
        end_announce();
    self.unshown = false;
    c->cookie = wish.cookie = c->end->rec.cookie = sys_cookie(fd);
    c->end->rec.pid = self.pid;
    c->stage = CONN_CLAIMED;
    list_add_tail(bucket(c->cookie), &c->claimed);
    c->registered = true;
    cm_claim(self.cm, fd, &wish);
    if (c->stage == CONN_CLAIMED)
        conn_reason(c, "waiting for the peer to claim it, too");
}

static void start_lanes(const struct conn *c)
{
    const struct policy_facts facts = {.local = &c->end->rec.local.sa,
                                       .remote = &c->end->rec.remote.sa};
    uint8_t lanes[CM_LANES];

    mirror_start(lanes, cm_lanes(&c->rule, &facts, lanes));
}

// Under a rule that requires a lane the connection ends when none was found in time.
void conn_deadline(struct conn *c, int fd)
{
    if (c->rule.action != POLICY_REQUIRE || end_has(c->end, END_ATTACHED) ||
        clock_now_ns() - c->made_ns < c->rule.deadline_ms * NS_PER_MS)
        return;
    sock_lock(&self.lock, false);
    if (c->stage == CONN_CLAIMED) {
        list_del(&c->claimed);
        cm_drop(self.cm, c->cookie);
    }
    if (c->stage == CONN_CLAIMED || c->stage == CONN_HOPEFUL)
        conn_refuse(c, fd);
    sock_unlock(&self.lock, false);
}

// ---- answers ----

static struct conn *claimed(uint64_t cookie)
{
    list_for_each (it, bucket(cookie)) {
        struct conn *c = list_entry(it, struct conn, claimed);

        if (c->cookie == cookie)
            return c;
    }
    return NULL;
}

static void own(int fd)
{
    fdtab_set(fd, FD_OWN, NULL);
}

static void close_channel(const struct cm_channel *ch)
{
    sys_close(ch->memfd);
    sys_close(ch->bell);
    sys_close(ch->peer_bell);
    if (ch->chunk_fd >= 0)
        sys_close(ch->chunk_fd);
}

// generation: the end's when it was known that a channel exists or may come. On success the fds of
// ch are taken over.
int conn_map(struct conn *c, const struct cm_channel *ch, uint32_t generation)
{
    bool again = c->chan.shared;
    int err = again ? conn_renew(c, ch)
                    : chan_map(&c->chan, ch->memfd, ch->side, ch->bell, ch->peer_bell);

    if (err) {
        log_warn("channel of connection %llu: %s", (unsigned long long)ch->cookie, err_text(err));
        return err;
    }
    if (again) {
        sys_close(ch->bell);
        sys_close(ch->peer_bell);
    } else {
        own(ch->bell);
        own(ch->peer_bell);
    }
    sys_close(ch->memfd);
    c->generation = generation;
    if (ch->lane != SHUNT_LANE_RDMA)
        c->stage = CONN_MAPPED; // the other one has to be opened first
    return 0;
}

#define JOIN_NS (1 * NS_PER_S)

// A process of the family may have got a channel and died before it could use it: the peer has
// mapped that one, and waits there. Under self.lock.
static bool take_over(struct conn *c, int fd)
{
    struct cm_channel ch;

    if (!end_has(c->end, END_SHARED) || !c->end->rec.cookie)
        return false; // nobody else, or nobody has claimed it yet
    c->cookie = sys_cookie(fd);
    if (cm_attach(self.cm, fd, c->cookie, clock_now_ns() + JOIN_NS, &ch))
        return false;
    sys_close(ch.chunk_fd);
    ch.chunk_fd = -1;
    if (!chan_is_untouched(ch.memfd, ch.side) ||
        conn_map(c, &ch, atomic_load(&c->end->generation))) {
        close_channel(&ch);
        return false;
    }
    c->registered = true;
    conn_reason(c, "");
    end_set(c->end, END_ATTACHED);
    return true;
}

// One more channel is not worth it.
static bool is_over_soon(const struct sock_end *e)
{
    return atomic_load_explicit(&e->generation, memory_order_relaxed) &&
           end_has(e, END_RDHUP | END_DEAD | END_TX_SHUT | END_RX_SHUT);
}

void conn_claim(struct conn *c, int fd, bool at_once)
{
    if (is_over_soon(c->end) || (!at_once && (!due(c) || !end_rested(c->end))))
        return;
    start_lanes(c);
    sock_lock(&self.lock, false);
    if (c->stage == CONN_HOPEFUL && end_has(c->end, END_FROZEN))
        c->stage = CONN_RAW;
    else if (c->stage == CONN_HOPEFUL && !take_over(c, fd))
        claim(c, fd);
    sock_unlock(&self.lock, false);
}

// It stays among the claimed: more is said of it later.
static void matched_far(struct conn *c, const struct cm_channel *ch)
{
    if (c->far || end_has(c->end, END_FROZEN | END_ATTACHED) || mirror_matched(c, ch)) {
        close_channel(ch);
        cm_drop(self.cm, ch->cookie);
    }
}

static void matched(void *arg, const struct cm_channel *ch)
{
    struct conn *c = claimed(ch->cookie);

    if (c && ch->lane == SHUNT_LANE_RDMA) {
        matched_far(c, ch);
        return;
    }
    if (!c || end_has(c->end, END_FROZEN | END_ATTACHED) ||
        conn_map(c, ch, atomic_load(&c->end->generation))) {
        close_channel(ch);
        cm_drop(self.cm, ch->cookie);
        return;
    }
    list_del(&c->claimed);
    conn_reason(c, "");
    end_set(c->end, END_ATTACHED);
}

static void refused(void *arg, uint64_t cookie, const char *reason, bool again)
{
    struct conn *c = claimed(cookie);
    bool shared;

    if (!c)
        return;
    if (end_has(c->end, END_ATTACHED)) {
        list_del(&c->claimed);
        c->stage = CONN_HOPEFUL; // another process of the family was luckier: join it
        return;
    }
    conn_reason(c, reason);
    shared = end_has(c->end, END_SHARED); // perhaps another process of the family claimed it
    if (c->rule.action == POLICY_REQUIRE && !shared && !again)
        return; // as if it waited: its deadline ends it
    list_del(&c->claimed);
    if (again || shared) {
        end_rest(c->end);
        c->stage = CONN_HOPEFUL;
        return;
    }
    end_set(c->end, END_FROZEN);
    c->stage = CONN_RAW;
}

static void noted(void *arg, uint64_t cookie, const char *text)
{
    struct conn *c = claimed(cookie);

    if (c && !end_has(c->end, END_ATTACHED))
        conn_reason(c, text);
}

static void relayed(void *arg, uint64_t cookie, const void *bytes, size_t n)
{
    struct conn *c = claimed(cookie);

    if (c)
        mirror_relayed(c, bytes, n);
}

static void peer_gone(void *arg, uint64_t cookie, enum cm_gone why)
{
    struct conn *c = claimed(cookie);

    if (c)
        mirror_gone(c, why);
}

void self_start(const struct policy *policy)
{
    static const struct cm_events events = {.matched = matched,
                                            .refused = refused,
                                            .noted = noted,
                                            .relayed = relayed,
                                            .peer_gone = peer_gone};
    const char *socket = policy_settings(policy)->daemon_socket;

    for (int i = 0; i < BUCKETS; i++)
        list_init(&claims[i]);
    self.policy = policy;
    self.pid = sys_getpid();
    self.cm = cm_init(socket, &events);
    cm_wire_init(socket);
    // the host's cores, not this process's: what it waits for usually runs on another one
    spin_setup((uint32_t)get_nprocs(), cm_spinners(self.cm), cm_own_spinners(self.cm));
}

void self_forked(void)
{
    self.pid = sys_getpid();
    self.unshown = true;
    cm_forked(self.cm);
    cm_wire_forked();
}

void conn_answers(uint64_t wait_ns)
{
    if (!cm_busy(self.cm))
        return;
    sock_lock(&self.lock, false);
    if (wait_ns)
        cm_await(self.cm, clock_now_ns() + wait_ns);
    else
        cm_poll(self.cm);
    sock_unlock(&self.lock, false);
}

// ---- joining a channel that another process has ----

// Another process of the family has the channel; without it nothing can be read or written here,
// and a reset is better than bytes that are missing.
int conn_attach(struct conn *c, int fd)
{
    struct cm_channel ch;
    uint32_t generation;
    int err = 0;

    sock_lock(&self.lock, false);
    c->cookie = sys_cookie(fd);
    generation = atomic_load(&c->end->generation);
    if (c->stage != CONN_MAPPED)
        err = cm_attach(self.cm, fd, c->cookie, clock_now_ns() + JOIN_NS, &ch);
    if (!err && c->stage != CONN_MAPPED) {
        list_del(&c->claimed);
        if (ch.chunk_fd >= 0)
            sys_close(ch.chunk_fd);
        ch.chunk_fd = -1;
        err = conn_map(c, &ch, generation);
        c->registered = true;
        if (err)
            close_channel(&ch);
    }
    sock_unlock(&self.lock, false);
    if (err && generation != atomic_load(&c->end->generation))
        return -EAGAIN; // it has ended meanwhile
    if (err) {
        log_error("connection reset: a channel that another process made cannot be joined: %s",
                  err_text(err));
        c->stage = CONN_RAW;
        conn_abort(c, fd);
    }
    return err;
}

// The state of the end, which its maker and we share from now on. Under self.lock.
static int borrow(struct conn *c, int fd)
{
    uint32_t slot;
    int chunk_fd;
    int err;

    c->cookie = sys_cookie(fd);
    err = cm_borrow(self.cm, fd, c->cookie, clock_now_ns() + JOIN_NS, &chunk_fd, &slot);
    if (err)
        return err;
    c->end = end_adopt(chunk_fd, slot);
    if (!c->end)
        sys_close(chunk_fd);
    return c->end ? 0 : -ENOMEM;
}

// What the policy of this program says; the connection is switched, or may be, whoever made it.
static void choose_borrowed(struct conn *c, struct cm_choice *choice)
{
    c->inherited = false;
    c->role = c->end->rec.role;
    c->made_ns = clock_now_ns();
    choose(c, &c->end->rec.local, &c->end->rec.remote, choice);
    c->end->rec.pid = self.pid;
    if (choice->stays)
        end_set(c->end, END_FROZEN);
    c->stage = CONN_HOPEFUL;
}

void conn_join(struct conn *c, int fd)
{
    struct cm_choice choice = {0};

    sock_enter();
    sock_lock(&self.lock, false);
    c->stage = CONN_RAW;
    if (!borrow(c, fd))
        choose_borrowed(c, &choice);
    sock_unlock(&self.lock, false);
    sock_leave();
    if (choice.stays)
        conn_go_back(c, fd, false, 0, choice.reason);
}

bool conn_lend(struct conn *c, int fd, uint64_t deadline_ns)
{
    struct cm_wish wish = {0};
    struct end_place place;
    int err = 0;

    if (!conn_has_twin(c))
        return c->stage == CONN_MAPPED; // wire_share() has told it
    conn_decide(c, fd);
    if (!c->end || c->stage == CONN_RAW)
        return c->stage == CONN_RAW;
    sock_enter();
    sock_lock(&self.lock, false);
    end_lend(c->end);
    place = end_place(c->end);
    wish.cookie = sys_cookie(fd);
    wish.local = c->end->rec.local;
    wish.remote = c->end->rec.remote;
    wish.chunk_fd = place.chunk_fd;
    wish.chunk_slot = place.slot;
    err = cm_lend(self.cm, fd, &wish, deadline_ns);
    sock_unlock(&self.lock, false);
    sock_leave();
    return !err;
}
