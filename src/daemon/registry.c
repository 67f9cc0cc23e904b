// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/registry.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "cm/record.h"
#include "cm/remains.h"
#include "daemon/channel.h"
#include "shunt/info.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SWEEP_FIRST_NS (10 * NS_PER_MS)
#define SWEEP_LAST_NS  NS_PER_S
#define SWEEP_BATCH    256 // orphans looked at in one go

// ---- finding ----

static uint64_t flow_hash(const struct registry *r, const struct flow *flow)
{
    return siphash13(&r->key, flow, sizeof *flow);
}

static uint64_t cookie_hash(const struct registry *r, uint64_t cookie)
{
    return siphash13(&r->key, &cookie, sizeof cookie);
}

static const struct flow *conn_flow(const struct conn *conn)
{
    const struct side *some = &conn->side[conn->side[0].state == SIDE_NONE];

    return &some->proof.flow;
}

static struct conn *conn_find(const struct registry *r, const struct flow *flow)
{
    uint64_t hash = flow_hash(r, flow);

    list_for_each (it, table_chain(&r->flows, hash)) {
        struct conn *conn = list_entry(it, struct conn, by_flow.link);

        if (conn->by_flow.hash == hash && !memcmp(conn_flow(conn), flow, sizeof *flow))
            return conn;
    }
    return NULL;
}

static struct side *side_find(const struct registry *r, uint64_t cookie)
{
    list_for_each (it, table_chain(&r->cookies, cookie_hash(r, cookie))) {
        struct side *side = list_entry(it, struct side, by_cookie.link);

        if (side->proof.cookie == cookie)
            return side;
    }
    return NULL;
}

static struct hold *hold_find(const struct side *side, const struct client *client)
{
    list_for_each (it, &side->holds)
        if (list_entry(it, struct hold, of_side)->client == client)
            return list_entry(it, struct hold, of_side);
    return NULL;
}

// ---- holds ----

static int hold_add(struct side *side, struct client *client, struct list *of_client)
{
    struct hold *hold;

    if (hold_find(side, client))
        return 0;
    hold = malloc(sizeof *hold);
    if (!hold)
        return -ENOMEM;
    *hold = (struct hold){.side = side, .client = client};
    list_add_tail(&side->holds, &hold->of_side);
    list_add_tail(of_client, &hold->of_client);
    list_del(&side->orphan);
    return 0;
}

static void hold_free(struct hold *hold)
{
    list_del(&hold->of_side);
    list_del(&hold->of_client);
    free(hold);
}

static void refuse_side(struct registry *r, const struct side *side, enum counter why,
                        const char *reason)
{
    list_for_each (it, &side->holds)
        r->events->refused(list_entry(it, struct hold, of_side)->client, side->proof.cookie, why,
                           reason);
}

// ---- life of a connection ----

static struct conn *conn_new(struct registry *r, const struct flow *flow)
{
    struct conn *conn = calloc(1, sizeof *conn);

    if (!conn)
        return NULL;
    for (int i = 0; i < 2; i++) {
        conn->parts[i] = CM_PARTS_NONE;
        conn->side[i].conn = conn;
        list_init(&conn->side[i].holds);
        list_init(&conn->side[i].orphan);
    }
    table_add(&r->flows, &conn->by_flow, flow_hash(r, flow));
    return conn;
}

static void conn_free(struct registry *r, struct conn *conn)
{
    channel_close(r, conn);
    table_del(&r->flows, &conn->by_flow);
    free(conn);
}

// What a side on this host holds.
static void side_end_here(struct registry *r, struct side *side)
{
    if (side->state == SIDE_CLAIMED)
        r->count[COUNT_CLAIMS]--;
    list_for_each_safe (it, &side->holds)
        hold_free(list_entry(it, struct hold, of_side));
    if (!list_empty(&side->orphan))
        r->count[COUNT_ORPHANS]--;
    list_del(&side->orphan);
    table_del(&r->cookies, &side->by_cookie);
    diag_forget(&r->diag, side->proof.flow.netns);
    chunk_put(side->chunk);
    side->chunk = NULL;
}

// Ends one side; its connection goes when the other has ended as well.
static void side_end(struct registry *r, struct side *side)
{
    struct conn *conn = side->conn;

    if (side->state == SIDE_NONE)
        return;
    if (side->ask)
        r->far->unwanted(r->far->arg, side);
    if (side->state != SIDE_FAR)
        side_end_here(r, side);
    free(side->endpoint);
    side->endpoint = NULL;
    side->state = SIDE_NONE;
    if (conn->side[!side_index(side)].state == SIDE_NONE)
        conn_free(r, conn);
}

static void conn_end_sides(struct registry *r, struct conn *conn)
{
    struct side *second = &conn->side[1];
    bool both = conn->side[0].state != SIDE_NONE && second->state != SIDE_NONE;

    side_end(r, &conn->side[conn->side[0].state == SIDE_NONE]);
    if (both)
        side_end(r, second);
}

// A mirrored channel cannot go on with one side: tells the others than that which is gone.
static void tell_gone(struct registry *r, struct conn *conn, const struct side *gone,
                      enum cm_gone why)
{
    for (int i = 0; i < 2; i++) {
        struct side *side = &conn->side[i];

        if (side == gone || side->state != SIDE_LINKED)
            continue;
        list_for_each (it, &side->holds)
            r->events->peer_gone(list_entry(it, struct hold, of_side)->client, side, why);
    }
    if (conn->far)
        r->far->gone(r->far->arg, conn, why);
}

// Ends both sides, telling those that wait.
static void conn_end(struct registry *r, struct conn *conn, enum counter why, const char *reason)
{
    for (int i = 0; i < 2; i++)
        if (conn->side[i].state == SIDE_CLAIMED)
            refuse_side(r, &conn->side[i], why, reason);
    if (channel_is_mirrored(conn))
        tell_gone(r, conn, NULL, CM_GONE_OVER);
    conn_end_sides(r, conn);
}

// ---- matching ----

static struct client *claimer(const struct side *side)
{
    return list_entry(side->holds.next, struct hold, of_side)->client;
}

static void side_link(struct registry *r, struct side *side)
{
    if (side->ask)
        r->far->unwanted(r->far->arg, side);
    r->count[COUNT_CLAIMS]--;
    side->state = SIDE_LINKED;
}

static uint64_t new_id(void)
{
    uint64_t id = 0;

    while (!id)
        if (getrandom(&id, sizeof id, 0) != sizeof id)
            id = clock_now_ns();
    return id;
}

static void match(struct registry *r, struct conn *conn)
{
    uint8_t lane = channel_lane(conn);
    enum counter why = COUNT_REFUSED_LANE;
    const char *reason = "the two ends have no lane in common";

    if (lane != SHUNT_LANE_KERNEL)
        reason = channel_open(r, conn, lane, new_id(), &why);
    if (reason) {
        conn_end(r, conn, why, reason);
        return;
    }
    r->count[COUNT_MATCHES_TOTAL]++;
    side_link(r, &conn->side[0]);
    side_link(r, &conn->side[1]);
    for (int i = 0; i < 2; i++)
        r->events->matched(claimer(&conn->side[i]), &conn->side[i]);
}

// A claim of an earlier connection with the same addresses may still stand there: its socket is no
// more, or it is not the one that the claim was for.
static void match_if_true(struct registry *r, struct side *newer)
{
    struct side *older = &newer->conn->side[!side_index(newer)];
    enum diag_answer answer;

    if (older->state != SIDE_CLAIMED)
        return;
    answer = diag_ask(&r->diag, &older->proof);
    if (answer == DIAG_ESTABLISHED || answer == DIAG_UNKNOWN) {
        match(r, newer->conn);
        return;
    }
    refuse_side(r, older, COUNT_REFUSED_STALE, "the connection is over");
    side_end(r, older);
}

// ---- the public part ----

// Makes room for the claim of client: ends what it takes the place of.
static void supersede(struct registry *r, const struct client *client, const struct claim *claim)
{
    struct side *same = side_find(r, claim->proof.cookie);
    struct conn *conn;

    if (same && same->state == SIDE_LINKED) {
        conn_end(r, same->conn, COUNT_REFUSED_STALE, "the connection was claimed anew");
    } else if (same) {
        if (claimer(same) != client)
            refuse_side(r, same, COUNT_REFUSED_STALE, "another process claimed the connection");
        side_end(r, same);
    }
    conn = conn_find(r, &claim->proof.flow);
    if (conn && conn->side[claim->proof.side].state != SIDE_NONE)
        conn_end(r, conn, COUNT_REFUSED_STALE, "the connection is over");
    else if (conn && conn->ring_bytes) // its other end outlives it
        conn_end(r, conn, COUNT_REFUSED_STALE, "the connection is over");
}

static int keep_endpoint(struct side *side, const struct claim *claim)
{
    side->endpoint = malloc(MAX(claim->endpoint_bytes, (size_t)1));
    if (!side->endpoint) {
        hold_free(hold_find(side, claimer(side)));
        return -ENOMEM;
    }
    side->endpoint_bytes = claim->endpoint_bytes;
    if (claim->endpoint_bytes)
        memcpy(side->endpoint, claim->endpoint, claim->endpoint_bytes);
    return 0;
}

static struct side *side_make(struct registry *r, struct client *client, struct user *user,
                              struct list *holds, const struct claim *claim)
{
    struct conn *conn = conn_find(r, &claim->proof.flow);
    struct side *side;

    if (!conn)
        conn = conn_new(r, &claim->proof.flow);
    if (!conn)
        return NULL;
    side = &conn->side[claim->proof.side];
    if (hold_add(side, client, holds) || keep_endpoint(side, claim)) {
        if (conn->side[!claim->proof.side].state == SIDE_NONE)
            conn_free(r, conn);
        return NULL;
    }
    side->state = SIDE_CLAIMED;
    side->proof = claim->proof;
    side->user = user;
    side->ring_bytes = claim->ring_bytes;
    side->cross_user = claim->cross_user;
    side->chunk = chunk_ref(claim->chunk);
    side->chunk_slot = claim->chunk_slot;
    memcpy(side->lanes, claim->lanes, sizeof side->lanes);
    side->n_lanes = claim->n_lanes;
    table_add(&r->cookies, &side->by_cookie, cookie_hash(r, claim->proof.cookie));
    r->count[COUNT_CLAIMS]++;
    return side;
}

// Matching may have ended the side, or the claim may have ended by it.
static void ask_far(struct registry *r, const struct claim *claim)
{
    struct side *side = side_find(r, claim->proof.cookie);

    if (r->far && side && side->state == SIDE_CLAIMED &&
        memchr(side->lanes, SHUNT_LANE_RDMA, side->n_lanes))
        r->far->wanted(r->far->arg, side);
}

void registry_claim(struct registry *r, struct client *client, struct user *user,
                    struct list *holds, const struct claim *claim)
{
    struct side *side;

    r->count[COUNT_CLAIMS_TOTAL]++;
    supersede(r, client, claim);
    side = side_make(r, client, user, holds, claim);
    if (side) {
        match_if_true(r, side);
        ask_far(r, claim);
        return;
    }
    diag_forget(&r->diag, claim->proof.flow.netns);
    r->events->refused(client, claim->proof.cookie, COUNT_REFUSED_LIMIT, "shuntd has no memory");
}

static void conn_cut(struct registry *r, struct conn *conn)
{
    tell_gone(r, conn, NULL, CM_GONE_CUT);
    conn_end_sides(r, conn);
}

// From side to the other one. False: it cannot be brought there.
static bool relay(struct registry *r, const struct side *side, const uint8_t *bytes, size_t n)
{
    const struct side *other = &side->conn->side[!side_index(side)];

    return side->conn->far ? r->far->relay(r->far->arg, side->conn, bytes, n)
                           : r->events->relayed(claimer(other), other, bytes, n);
}

// What the process of side has left in its rings goes to the other side in its name.
static void say_remains(struct registry *r, const struct side *side)
{
    static uint8_t words[CM_RELAY_MAX_BYTES];
    struct cm_remains remains;
    int fds[3];
    size_t n;

    channel_fds(side, fds);
    if (cm_remains_begin(&remains, fds[0], side_index(side), side->conn->ring_bytes))
        return;
    do
        n = cm_remains_next(&remains, words);
    while (n && relay(r, side, words, n));
}

// The last client of a mirrored channel's side has let go. No other process can go on with it.
static void mirror_let_go(struct registry *r, struct side *side, enum cm_gone why)
{
    struct conn *conn = side->conn;

    if (why == CM_GONE_DIED)
        say_remains(r, side);
    tell_gone(r, conn, side, why);
    conn_end_sides(r, conn);
}

// The last client has let go. A process that never spoke to us may still have the socket: forked,
// or given it. Then the channel waits for it to attach.
static void side_let_go(struct registry *r, struct side *side, enum cm_gone why)
{
    enum diag_answer answer = DIAG_GONE;

    if (!list_empty(&side->holds))
        return;
    if (side->state == SIDE_LINKED && channel_is_mirrored(side->conn)) {
        mirror_let_go(r, side, why);
        return;
    }
    if (side->state == SIDE_LINKED)
        answer = diag_ask(&r->diag, &side->proof);
    if (answer == DIAG_GONE || answer == DIAG_UNKNOWN) {
        side_end(r, side);
        return;
    }
    list_add_tail(&r->orphans, &side->orphan);
    r->count[COUNT_ORPHANS]++;
    r->sweep_ns = SWEEP_FIRST_NS;
    timer_set(&r->sweep, clock_now_ns() + r->sweep_ns);
}

void registry_drop(struct registry *r, struct client *client, uint64_t cookie)
{
    struct side *side = side_find(r, cookie);
    struct hold *hold = side ? hold_find(side, client) : NULL;

    if (!hold)
        return;
    hold_free(hold);
    side_let_go(r, side, CM_GONE_LEFT);
}

void registry_relay(struct registry *r, const struct client *client, uint64_t cookie,
                    const uint8_t *bytes, size_t n)
{
    struct side *side = side_find(r, cookie);

    if (side && side->state == SIDE_LINKED && channel_is_mirrored(side->conn) &&
        hold_find(side, client) && !relay(r, side, bytes, n))
        conn_cut(r, side->conn);
}

const struct side *registry_linked(const struct registry *r, uint64_t cookie)
{
    const struct side *side = side_find(r, cookie);

    return side && side->state == SIDE_LINKED && side->chunk && !channel_is_mirrored(side->conn)
               ? side
               : NULL;
}

const struct side *registry_attach(struct registry *r, struct client *client, struct user *user,
                                   struct list *holds, uint64_t cookie)
{
    struct side *side = side_find(r, cookie);
    const char *reason = NULL;
    enum counter why = COUNT_REFUSED_UNKNOWN;
    bool orphan = side && !list_empty(&side->orphan);

    if (!side || side->state != SIDE_LINKED || !side->chunk) {
        reason = "the connection has no channel";
    } else if (channel_is_mirrored(side->conn)) {
        reason = "the channel's lane belongs to another process";
    } else if (side->user != user) {
        why = COUNT_REFUSED_USER;
        reason = "the connection belongs to another user";
    } else if (hold_add(side, client, holds)) {
        why = COUNT_REFUSED_LIMIT;
        reason = "shuntd has no memory";
    }
    if (reason) {
        r->events->refused(client, cookie, why, reason);
        return NULL;
    }
    r->count[COUNT_ORPHANS] -= orphan;
    r->count[COUNT_ATTACHES_TOTAL]++;
    return side;
}

void registry_leave(struct registry *r, struct list *holds)
{
    while (!list_empty(holds)) {
        struct hold *hold = list_entry(holds->next, struct hold, of_client);
        struct side *side = hold->side;

        hold_free(hold);
        side_let_go(r, side, CM_GONE_DIED);
    }
}

// ---- the agent's part ----

struct side *registry_waiting(const struct registry *r, const struct flow *flow, int side)
{
    struct conn *conn = conn_find(r, flow);

    return conn && conn->side[side].state == SIDE_CLAIMED ? &conn->side[side] : NULL;
}

void registry_note(const struct registry *r, const struct side *side, const char *text)
{
    r->events->noted(claimer(side), side->proof.cookie, text);
}

void registry_refuse(struct registry *r, struct side *side, enum counter why, const char *reason)
{
    refuse_side(r, side, why, reason);
    side_end(r, side);
}

// Fills in the side of the other host. 0 or -ENOMEM.
static int far_side(const struct side *side, struct side *other,
                    const struct registry_far_side *far)
{
    other->endpoint = malloc(MAX(far->endpoint_bytes, (size_t)1));
    if (!other->endpoint)
        return -ENOMEM;
    if (far->endpoint_bytes)
        memcpy(other->endpoint, far->endpoint, far->endpoint_bytes);
    other->endpoint_bytes = far->endpoint_bytes;
    other->proof = side->proof;
    other->proof.side = !side->proof.side;
    other->ring_bytes = far->ring_bytes;
    other->state = SIDE_FAR;
    return 0;
}

const char *registry_link_far(struct registry *r, struct side *side,
                              const struct registry_far_side *far)
{
    struct conn *conn = side->conn;
    enum counter why = COUNT_REFUSED_LIMIT;
    const char *reason = "shuntd has no memory";

    if (!far_side(side, &conn->side[!side_index(side)], far))
        reason = channel_open(r, conn, SHUNT_LANE_RDMA, far->id ? far->id : new_id(), &why);
    if (reason) {
        conn_end(r, conn, why, reason);
        return reason;
    }
    r->count[COUNT_MATCHES_TOTAL]++;
    side_link(r, side);
    conn->far = far->far;
    r->events->matched(claimer(side), side);
    return NULL;
}

bool registry_far_relay(struct registry *r, const struct conn *conn, const uint8_t *bytes, size_t n)
{
    const struct side *side = &conn->side[conn->side[0].state == SIDE_FAR];

    return r->events->relayed(claimer(side), side, bytes, n);
}

void registry_far_gone(struct registry *r, struct conn *conn, enum cm_gone why)
{
    conn->far = NULL;
    tell_gone(r, conn, NULL, why);
    conn_end_sides(r, conn);
}

// ---- orphans, life ----

// Looks at the orphans in turn, ever more seldom while none is gone.
static void sweep(struct timer *timer, uint64_t now_ns)
{
    struct registry *r = list_entry(timer, struct registry, sweep);
    uint64_t n = MIN(r->count[COUNT_ORPHANS], (uint64_t)SWEEP_BATCH);

    while (n-- > 0) {
        struct side *side = list_entry(r->orphans.next, struct side, orphan);

        if (diag_ask(&r->diag, &side->proof) == DIAG_GONE) {
            side_end(r, side);
        } else {
            list_del(&side->orphan);
            list_add_tail(&r->orphans, &side->orphan);
        }
    }
    r->sweep_ns = MIN(2 * r->sweep_ns, SWEEP_LAST_NS);
    if (!list_empty(&r->orphans))
        timer_set(&r->sweep, now_ns + r->sweep_ns);
}

int registry_init(struct registry *r, const struct registry_events *events, uint64_t *count)
{
    *r = (struct registry){.events = events, .count = count, .sweep.fired = sweep};
    list_init(&r->orphans);
    chunks_init(&r->chunks);
    diag_init(&r->diag);
    if (getrandom(&r->key, sizeof r->key, 0) != sizeof r->key)
        return -EIO;
    if (table_init(&r->flows) || table_init(&r->cookies))
        return -ENOMEM;
    return lents_init(&r->lents, &r->diag, &count[COUNT_LENT]);
}

void registry_fini(struct registry *r)
{
    for (size_t i = 0; i < r->flows.buckets; i++)
        while (!list_empty(&r->flows.bucket[i]))
            conn_end(r, list_entry(r->flows.bucket[i].next, struct conn, by_flow.link),
                     COUNT_REFUSED_STALE, "shuntd ends");
    table_fini(&r->flows);
    table_fini(&r->cookies);
    lents_fini(&r->lents);
    users_fini(&r->users);
    diag_fini(&r->diag);
}
