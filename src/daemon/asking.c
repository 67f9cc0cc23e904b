// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/asking.h"

#include "base/util.h"
#include "shunt/info.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARKED_A_SESSION 4096
#define PARKED_IN_ALL    16384

static struct agent *agent_of(void *arg)
{
    return arg;
}

static uint64_t number_hash(const struct agent *a, uint64_t n)
{
    return siphash13(&a->hash_key, &n, sizeof n);
}

static uint64_t flow_hash(const struct agent *a, const struct flow *flow)
{
    return siphash13(&a->hash_key, flow, sizeof *flow);
}

// A frame that is lost because the other side does not keep up leaves the two of different minds:
// then the session is no good any more.
static void say(struct session *s, Agt__Frame *frame)
{
    if (!session_say(s, frame, SESSION_MOST_BYTES))
        return;
    s->broken = true;
    if (s->link)
        link_end(s->link, LINK_UNWANTED, "it leaves too much unread");
}

// ---- asks of claims here ----

static struct ask *ask_find(const struct agent *a, uint64_t nonce)
{
    list_for_each (it, table_chain(&a->asks, number_hash(a, nonce))) {
        struct ask *ask = list_entry(it, struct ask, by_nonce.link);

        if (ask->nonce == nonce)
            return ask;
    }
    return NULL;
}

static void ask_free(struct agent *a, struct ask *ask)
{
    table_del(&a->asks, &ask->by_nonce);
    list_del(&ask->of_peer);
    ask->side->ask = NULL;
    free(ask);
}

static struct ask *ask_new(struct agent *a, struct peer *peer, struct side *side)
{
    struct ask *ask = calloc(1, sizeof *ask);

    if (!ask)
        return NULL;
    ask->peer = peer;
    ask->side = side;
    ask->nonce = agent_random();
    list_add_tail(&peer->queued, &ask->of_peer);
    table_add(&a->asks, &ask->by_nonce, number_hash(a, ask->nonce));
    side->ask = ask;
    return ask;
}

static void fill_address(const struct flow_end *end, union cm_addr *addr, Agt__Address *out)
{
    proof_address(end, addr);
    agt__address__init(out);
    out->port = ntohs(end->port);
    out->ip = addr->sa.sa_family == AF_INET
                  ? (ProtobufCBinaryData){4, (uint8_t *)&addr->in.sin_addr}
                  : (ProtobufCBinaryData){16, (uint8_t *)&addr->in6.sin6_addr};
}

// 0 or -ENOBUFS.
static int ask_send(struct agent *a, struct ask *ask)
{
    const struct side *side = ask->side;
    const struct flow *flow = &side->proof.flow;
    uint32_t lane = SHUNT_LANE_RDMA; // the only one that leaves the host
    union cm_addr la, ra;
    Agt__Ask msg = AGT__ASK__INIT;
    Agt__Address local, remote;
    Agt__Frame frame;

    fill_address(&flow->end[side->proof.side], &la, &local);
    fill_address(&flow->end[!side->proof.side], &ra, &remote);
    msg.nonce = ask->nonce;
    msg.local = &local;
    msg.remote = &remote;
    msg.n_lanes = 1;
    msg.lanes = &lane;
    msg.ring_bytes = side->ring_bytes;
    msg.endpoint = (ProtobufCBinaryData){side->endpoint_bytes, side->endpoint};
    LINK_FRAME(&frame, ASK, ask, &msg);
    if (session_say(ask->peer->session, &frame, SESSION_OUT_BYTES))
        return -ENOBUFS;
    ask->state = ASK_SENT;
    list_del(&ask->of_peer);
    list_add_tail(&ask->peer->asked, &ask->of_peer);
    a->count[COUNT_AGENT_ASKS_TOTAL]++;
    return 0;
}

static void cancel(struct ask *ask)
{
    Agt__Cancel msg = AGT__CANCEL__INIT;
    Agt__Frame frame;

    if (ask->state != ASK_SENT || !ask->peer->session)
        return;
    msg.nonce = ask->nonce;
    LINK_FRAME(&frame, CANCEL, cancel, &msg);
    say(ask->peer->session, &frame);
}

void asking_send(struct agent *a, struct peer *peer)
{
    while (!list_empty(&peer->queued) && session_is_up(peer->session))
        if (ask_send(a, list_entry(peer->queued.next, struct ask, of_peer)))
            return; // the rest goes when there is room
}

void asking_forget(struct agent *a, struct peer *peer)
{
    list_for_each_safe (it, &peer->queued)
        ask_free(a, list_entry(it, struct ask, of_peer));
    list_for_each_safe (it, &peer->asked)
        ask_free(a, list_entry(it, struct ask, of_peer));
}

void asking_note(struct agent *a, const struct peer *peer)
{
    list_for_each (it, &peer->queued)
        registry_note(a->registry, list_entry(it, struct ask, of_peer)->side, peer->note);
}

// ---- asks of claims on other hosts ----

static void parked_free(struct agent *a, struct parked *p)
{
    table_del(&a->parked, &p->by_flow);
    list_del(&p->of_session);
    p->session->n_parked--;
    a->n_parked--;
    free(p);
}

static struct parked *parked_find(const struct agent *a, const struct flow *flow)
{
    list_for_each (it, table_chain(&a->parked, flow_hash(a, flow))) {
        struct parked *p = list_entry(it, struct parked, by_flow.link);

        if (!memcmp(&p->flow, flow, sizeof *flow))
            return p;
    }
    return NULL;
}

// NULL, or why it cannot wait here.
static const char *park(struct agent *a, struct session *s, const struct flow *flow,
                        const Agt__Ask *ask)
{
    struct parked *p = parked_find(a, flow);

    if (p) // of an earlier connection, or one that was asked for anew
        parked_free(a, p);
    if (s->n_parked >= PARKED_A_SESSION || a->n_parked >= PARKED_IN_ALL)
        return "too many connections wait there for a claim";
    p = calloc(1, sizeof *p + ask->endpoint.len);
    if (!p)
        return "the peer's shuntd has no memory";
    p->session = s;
    p->flow = *flow;
    p->nonce = ask->nonce;
    p->ring_bytes = ask->ring_bytes;
    p->endpoint_bytes = ask->endpoint.len;
    if (ask->endpoint.len)
        memcpy(p->endpoint, ask->endpoint.data, ask->endpoint.len);
    list_add_tail(&s->parked, &p->of_session);
    table_add(&a->parked, &p->by_flow, flow_hash(a, flow));
    s->n_parked++;
    a->n_parked++;
    return NULL;
}

static void answer(struct session *s, uint64_t nonce, Agt__Answer__Verdict verdict,
                   const char *reason)
{
    Agt__Answer msg = AGT__ANSWER__INIT;
    Agt__Frame frame;

    msg.nonce = nonce;
    msg.verdict = verdict;
    if (reason)
        msg.reason = (char *)(uintptr_t)reason;
    LINK_FRAME(&frame, ANSWER, answer, &msg);
    say(s, &frame);
}

// ---- channels ----

static void far_free(struct agent *a, struct far *far)
{
    table_del(&a->channels, &far->by_id);
    list_del(&far->of_session);
    free(far);
}

static struct far *far_find(const struct agent *a, const struct session *s, uint64_t id)
{
    list_for_each (it, table_chain(&a->channels, number_hash(a, id))) {
        struct far *far = list_entry(it, struct far, by_id.link);

        if (far->session == s && far->conn->id == id)
            return far;
    }
    return NULL;
}

static void say_gone(struct session *s, uint64_t id, enum cm_gone why)
{
    Agt__Gone msg = AGT__GONE__INIT;
    Agt__Frame frame;

    msg.channel_id = id;
    msg.reason = why;
    LINK_FRAME(&frame, GONE, gone, &msg);
    say(s, &frame);
}

// Makes this host's half of a channel. NULL, or why not; then the claim was refused.
static const char *link_side(struct agent *a, struct session *s, struct side *side,
                             struct registry_far_side *other)
{
    struct conn *conn = side->conn;
    const char *reason;

    other->far = calloc(1, sizeof *other->far);
    if (!other->far) {
        reason = "shuntd has no memory";
        registry_refuse(a->registry, side, COUNT_REFUSED_LIMIT, reason);
        return reason;
    }
    reason = registry_link_far(a->registry, side, other);
    if (reason) {
        free(other->far);
        return reason;
    }
    other->far->session = s;
    other->far->conn = conn;
    list_add_tail(&s->channels, &other->far->of_session);
    table_add(&a->channels, &other->far->by_id, number_hash(a, conn->id));
    return NULL;
}

// Is the connection that was claimed a while ago still there?
static bool still_true(struct agent *a, const struct side *side)
{
    enum diag_answer found = diag_ask(&a->registry->diag, &side->proof);

    return found == DIAG_ESTABLISHED || found == DIAG_UNKNOWN;
}

// An ask meets a claim here. The claim is the channel's afterwards, or over.
static void say_yes(struct agent *a, struct session *s, uint64_t nonce, struct side *side,
                    struct registry_far_side *other)
{
    struct conn *conn = side->conn;
    Agt__Answer msg = AGT__ANSWER__INIT;
    Agt__Frame frame;
    const char *reason = "the connection is over";

    if (still_true(a, side))
        reason = link_side(a, s, side, other);
    else
        registry_refuse(a->registry, side, COUNT_REFUSED_STALE, reason);
    if (reason) {
        answer(s, nonce, AGT__ANSWER__VERDICT__NO, reason);
        return;
    }
    a->count[COUNT_AGENT_YES_TOTAL]++;
    msg.nonce = nonce;
    msg.verdict = AGT__ANSWER__VERDICT__YES;
    msg.channel_id = conn->id;
    msg.lane = conn->lane;
    msg.ring_bytes = conn->ring_bytes;
    msg.endpoint = (ProtobufCBinaryData){side->endpoint_bytes, side->endpoint};
    LINK_FRAME(&frame, ANSWER, answer, &msg);
    say(s, &frame);
}

static void yes_to_parked(struct agent *a, struct parked *p, struct side *side)
{
    struct registry_far_side other = {
        .ring_bytes = p->ring_bytes, .endpoint = p->endpoint, .endpoint_bytes = p->endpoint_bytes};

    say_yes(a, p->session, p->nonce, side, &other);
    parked_free(a, p);
}

// ---- what the registry says ----

static void wanted(void *arg, struct side *side)
{
    struct agent *a = agent_of(arg);
    const struct flow *flow = &side->proof.flow;
    struct parked *p = parked_find(a, flow);
    const char *why;
    struct peer *peer;

    if (p) {
        yes_to_parked(a, p, side);
        return;
    }
    peer = agent_peer(a, flow, side->proof.side, &why);
    if (!peer || !ask_new(a, peer, side)) {
        registry_note(a->registry, side, peer ? "rdma: shuntd has no memory" : why);
        return;
    }
    agent_want(a, peer);
    if (peer->absent)
        registry_note(a->registry, side, peer->note);
}

static void unwanted(void *arg, struct side *side)
{
    cancel(side->ask);
    ask_free(agent_of(arg), side->ask);
}

static bool relay(void *arg, const struct conn *conn, const uint8_t *bytes, size_t n)
{
    Agt__Relay msg = AGT__RELAY__INIT;
    Agt__Frame frame;

    msg.channel_id = conn->id;
    msg.payload = (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)bytes};
    LINK_FRAME(&frame, RELAY, relay, &msg);
    return !session_say(conn->far->session, &frame, SESSION_OUT_BYTES);
}

static void gone(void *arg, struct conn *conn, enum cm_gone why)
{
    say_gone(conn->far->session, conn->id, why);
    far_free(agent_of(arg), conn->far);
    conn->far = NULL;
}

const struct registry_far asking_far = {
    .wanted = wanted, .unwanted = unwanted, .relay = relay, .gone = gone};

// ---- what other agents say ----

static bool read_address(const Agt__Address *in, union cm_addr *out)
{
    memset(out, 0, sizeof *out);
    if (!in || in->port == 0 || in->port > UINT16_MAX || (in->ip.len != 4 && in->ip.len != 16))
        return false;
    out->sa.sa_family = in->ip.len == 4 ? AF_INET : AF_INET6;
    out->in.sin_port = htons((uint16_t)in->port); // where sin6_port is, too
    memcpy(in->ip.len == 4 ? (void *)&out->in.sin_addr : (void *)&out->in6.sin6_addr, in->ip.data,
           in->ip.len);
    return true;
}

static bool same_host(const struct flow_end *a, const struct flow_end *b)
{
    return !memcmp(a->ip, b->ip, sizeof a->ip);
}

// The flow that is asked for, as it would be here. NULL, or why it is nobody's here.
static const char *read_flow(const struct agent *a, const struct session *s, const Agt__Ask *ask,
                             struct proof *proof)
{
    union cm_addr theirs, ours;

    *proof = (struct proof){.flow.netns = a->registry->diag.own_netns};
    if (!read_address(ask->local, &theirs) || !read_address(ask->remote, &ours) ||
        proof_add_flow(proof, &ours, &theirs))
        return "the addresses make no sense";
    if (!same_host(&proof->flow.end[proof->side], &s->local) ||
        !same_host(&proof->flow.end[!proof->side], &s->remote))
        return "the addresses are seen otherwise here: NAT, or a load balancer";
    return NULL;
}

// Asks that cross: the other side will answer ours.
static bool ours_counts(const struct side *side)
{
    return side->ask && side->ask->state == ASK_SENT && side->proof.side == 0 &&
           session_is_up(side->ask->peer->session);
}

static bool has_lane(const Agt__Ask *ask)
{
    for (size_t i = 0; i < ask->n_lanes; i++)
        if (ask->lanes[i] == SHUNT_LANE_RDMA)
            return true;
    return false;
}

static void on_ask(struct agent *a, struct session *s, const Agt__Ask *ask)
{
    struct proof proof;
    const char *reason = read_flow(a, s, ask, &proof);
    struct side *side = NULL;

    a->count[COUNT_AGENT_ASKED_TOTAL]++;
    if (!reason && (!has_lane(ask) || ask->endpoint.len > CM_ENDPOINT_MAX_BYTES))
        reason = "the two ends have no lane in common";
    if (!reason)
        side = registry_waiting(a->registry, &proof.flow, proof.side);
    if (side && !memchr(side->lanes, SHUNT_LANE_RDMA, side->n_lanes))
        reason = "the rule of the other side does not allow the lane";
    else if (side && !ours_counts(side)) {
        struct registry_far_side other = {.ring_bytes = ask->ring_bytes,
                                          .endpoint = ask->endpoint.data,
                                          .endpoint_bytes = ask->endpoint.len};

        say_yes(a, s, ask->nonce, side, &other);
        return;
    }
    if (!reason && !side && diag_find(&a->registry->diag, &proof.flow, proof.side) == DIAG_GONE)
        reason = "the peer's host has no such connection: NAT, or a load balancer";
    if (!reason)
        reason = park(a, s, &proof.flow, ask);
    if (reason) {
        a->count[COUNT_AGENT_NO_TOTAL]++;
        answer(s, ask->nonce, AGT__ANSWER__VERDICT__NO, reason);
    } else {
        answer(s, ask->nonce, AGT__ANSWER__VERDICT__WAIT, NULL);
    }
}

// What a stranger wrote, made fit to be shown.
static void clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || (unsigned char)*text > '~')
            *text = '?';
}

static void on_yes(struct agent *a, struct session *s, struct side *side, const Agt__Answer *said)
{
    struct registry_far_side other = {.id = said->channel_id,
                                      .ring_bytes = said->ring_bytes,
                                      .endpoint = said->endpoint.data,
                                      .endpoint_bytes = said->endpoint.len};
    struct parked *p = parked_find(a, &side->proof.flow);
    const char *reason = NULL;

    if (!said->channel_id || far_find(a, s, said->channel_id) || said->lane != SHUNT_LANE_RDMA ||
        said->endpoint.len > CM_ENDPOINT_MAX_BYTES || said->ring_bytes > side->ring_bytes ||
        cm_ring_size(said->ring_bytes) != said->ring_bytes)
        reason = "the peer's shuntd answered what makes no sense";
    else if (!still_true(a, side))
        reason = "the connection is over";
    if (p) // the other side's ask, that crossed with ours
        parked_free(a, p);
    if (reason)
        registry_refuse(a->registry, side, COUNT_REFUSED_STALE, reason);
    else
        reason = link_side(a, s, side, &other);
    if (reason)
        say_gone(s, said->channel_id, CM_GONE_OVER);
}

static void on_answer(struct agent *a, struct session *s, const Agt__Answer *said)
{
    struct ask *ask = ask_find(a, said->nonce);
    char reason[AGENT_NOTE_BYTES];

    if (!ask || ask->peer->session != s) {
        if (said->verdict == AGT__ANSWER__VERDICT__YES)
            say_gone(s, said->channel_id, CM_GONE_LEFT);
        return;
    }
    if (said->verdict == AGT__ANSWER__VERDICT__WAIT) {
        registry_note(a->registry, ask->side, "rdma: waiting for the peer to claim it, too");
        return;
    }
    ask->state = ASK_ANSWERED;
    if (said->verdict == AGT__ANSWER__VERDICT__YES) {
        on_yes(a, s, ask->side, said);
        return;
    }
    snprintf(reason, sizeof reason, "rdma: %s", said->reason);
    clean(reason);
    registry_refuse(a->registry, ask->side, COUNT_REFUSED_PEER, reason);
}

static void on_cancel(struct agent *a, struct session *s, const Agt__Cancel *said)
{
    list_for_each_safe (it, &s->parked) {
        struct parked *p = list_entry(it, struct parked, of_session);

        if (p->nonce == said->nonce) {
            parked_free(a, p);
            return;
        }
    }
}

static void on_relay(struct agent *a, struct session *s, const Agt__Relay *said)
{
    struct far *far = far_find(a, s, said->channel_id);
    struct conn *conn = far ? far->conn : NULL;

    if (!far || said->payload.len == 0 || said->payload.len > CM_RELAY_MAX_BYTES)
        return;
    if (registry_far_relay(a->registry, conn, said->payload.data, said->payload.len))
        return;
    say_gone(s, conn->id, CM_GONE_CUT);
    far_free(a, far);
    registry_far_gone(a->registry, conn, CM_GONE_CUT);
}

static void on_gone(struct agent *a, struct session *s, const Agt__Gone *said)
{
    struct far *far = far_find(a, s, said->channel_id);
    struct conn *conn = far ? far->conn : NULL;
    bool known = said->reason >= CM_GONE_LEFT && said->reason <= CM_GONE_CUT;

    if (!far)
        return;
    far_free(a, far);
    registry_far_gone(a->registry, conn, known ? (enum cm_gone)said->reason : CM_GONE_CUT);
}

void asking_heard(struct agent *a, struct session *s, const Agt__Frame *frame)
{
    switch (frame->body_case) {
    case AGT__FRAME__BODY_ASK:
        on_ask(a, s, frame->ask);
        break;
    case AGT__FRAME__BODY_ANSWER:
        on_answer(a, s, frame->answer);
        break;
    case AGT__FRAME__BODY_CANCEL:
        on_cancel(a, s, frame->cancel);
        break;
    case AGT__FRAME__BODY_RELAY:
        on_relay(a, s, frame->relay);
        break;
    case AGT__FRAME__BODY_GONE:
        on_gone(a, s, frame->gone);
        break;
    default: // of a newer shuntd
        break;
    }
}

// ---- when a session is lost ----

// Meets what was left unanswered since the peer should have answered ours.
static void meet_parked(struct agent *a, struct peer *peer)
{
    list_for_each_safe (it, &peer->asked) {
        struct ask *ask = list_entry(it, struct ask, of_peer);
        struct parked *p = parked_find(a, &ask->side->proof.flow);

        if (p)
            yes_to_parked(a, p, ask->side);
    }
}

void asking_lost(struct agent *a, struct session *s)
{
    if (s->peer)
        meet_parked(a, s->peer);
}

void asking_cut(struct agent *a, struct session *s)
{
    while (!list_empty(&s->channels)) {
        struct far *far = list_entry(s->channels.next, struct far, of_session);
        struct conn *conn = far->conn;

        a->count[COUNT_AGENT_CUT_TOTAL]++;
        far_free(a, far);
        registry_far_gone(a->registry, conn, CM_GONE_CUT);
    }
    list_for_each_safe (it, &s->parked)
        parked_free(a, list_entry(it, struct parked, of_session));
    if (!s->peer)
        return;
    list_for_each_safe (it, &s->peer->asked) {
        list_entry(it, struct ask, of_peer)->state = ASK_QUEUED;
        list_del(it);
        list_add_tail(&s->peer->queued, it);
    }
}
