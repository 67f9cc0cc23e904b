// SPDX-License-Identifier: BSD-2-Clause
// How links are made, with rdma_cm. Of two processes the one with the lower token calls the other
// (in a process that talks to itself, side 0 calls side 1). A call names the channel that it is
// for, so a caller proves that the control path has matched the two.
//
// Queue pairs are our own, on a device context of our own: rdma_cm only carries the call. What it
// keeps open itself then holds nothing that a forked child could keep alive.
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "lane/rdma/state.h"

#include <stdlib.h>
#include <string.h>

#define MEET_NS     (5 * NS_PER_S) // for a link to come up
#define CALLER_NS   (5 * NS_PER_S) // that a call waits for its channel
#define STEP_MS     2000           // for the kernel to find address and route
#define ACK_TIMEOUT 15             // 4.096 us << 15: 134 ms
#define RETRIES     6              // not 7, which soft-RoCE takes for ever
#define BACKLOG     256
#define CALLERS     256 // waiting at once

// ---- links ----

static struct rdma_link *link_new(const struct rdma_endpoint *peer, bool active, uint64_t channel)
{
    struct rdma_link *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    list_init(&l->by_qp);
    list_init(&l->owing);
    l->active = active;
    l->channel_id = channel;
    l->peer_port = peer->port;
    l->deadline_ns = clock_now_ns() + MEET_NS;
    memcpy(l->peer, peer->token, sizeof l->peer);
    list_add_tail(&lane.links, &l->node);
    return l;
}

static struct rdma_link *link_find(const uint8_t *token, bool active)
{
    list_for_each (it, &lane.links) {
        struct rdma_link *l = list_entry(it, struct rdma_link, node);

        if (l->state != LINK_LOST && l->active == active && !memcmp(l->peer, token, sizeof l->peer))
            return l;
    }
    return NULL;
}

static void up(struct rdma_link *l)
{
    if (l->state == LINK_UP || l->state == LINK_LOST)
        return;
    l->state = LINK_UP;
    chans_link_up(l);
}

static struct rdma_hello hello_to(const uint8_t *token, uint64_t channel_id)
{
    struct rdma_hello h = {.channel_id = channel_id, .credits = LINK_CREDITS};

    memcpy(h.from, lane.self.token, sizeof h.from);
    memcpy(h.to, token, sizeof h.to);
    return h;
}

static struct rdma_conn_param param(const struct rdma_link *l, uint8_t *private_data)
{
    struct rdma_hello h = hello_to(l->peer, l->channel_id);

    return (struct rdma_conn_param){
        .private_data = private_data,
        .private_data_len = (uint8_t)rdma_pack_hello(private_data, &h),
        .retry_count = RETRIES,
        .rnr_retry_count = 7,
        .srq = 1,
        .qp_num = l->qp->qp_num,
    };
}

// ---- calling ----

static union lane_addr with_port(const union lane_addr *a, uint16_t port)
{
    union lane_addr b = *a;

    if (b.sa.sa_family == AF_INET)
        b.in.sin_port = htons(port);
    else
        b.in6.sin6_port = htons(port);
    return b;
}

static int call(struct rdma_link *l, const struct rdma_chan *ch)
{
    union lane_addr from = with_port(&ch->local, 0), to = with_port(&ch->remote, l->peer_port);
    uint8_t timeout = ACK_TIMEOUT;

    if (rdma_create_id(lane.events, &l->id, l, RDMA_PS_TCP))
        return -errno;
    rdma_set_option(l->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof timeout);
    return rdma_resolve_addr(l->id, &from.sa, &to.sa, STEP_MS) ? -errno : 0;
}

static void found_address(struct rdma_link *l)
{
    if (rdma_resolve_route(l->id, STEP_MS))
        link_lose(l, "no route to the peer on an RDMA device");
    else
        l->state = LINK_ROUTE;
}

static void found_route(struct rdma_link *l)
{
    uint8_t private_data[RDMA_HELLO_BYTES];
    struct rdma_conn_param p;

    if (link_make_qp(l) || link_modify_qp(l, IBV_QPS_INIT)) {
        link_lose(l, "the device gives no queue pair");
        return;
    }
    p = param(l, private_data);
    if (rdma_connect(l->id, &p))
        link_lose(l, "the peer cannot be called");
    else
        l->state = LINK_CALLED;
}

static bool answer_is_right(struct rdma_link *l, const struct rdma_conn_param *p)
{
    struct rdma_hello h;

    if (rdma_parse_hello(p->private_data, p->private_data_len, &h) ||
        memcmp(h.from, l->peer, sizeof h.from) || memcmp(h.to, lane.self.token, sizeof h.to))
        return false;
    l->credits = MIN(h.credits, LINK_CREDITS);
    return true;
}

static void answered(struct rdma_link *l, const struct rdma_conn_param *p)
{
    if (!answer_is_right(l, p))
        link_lose(l, "somebody else answered");
    else if (link_modify_qp(l, IBV_QPS_RTR) || link_modify_qp(l, IBV_QPS_RTS) ||
             rdma_establish(l->id))
        link_lose(l, "the queue pair does not start");
    else
        up(l);
}

// ---- being called ----

// The channel that somebody calls for; NULL: not known yet.
static struct rdma_chan *called_for(const struct rdma_hello *h)
{
    list_for_each (it, &lane.chans) {
        struct rdma_chan *ch = list_entry(it, struct rdma_chan, node);

        if (ch->channel_id == h->channel_id && !ch->active && !ch->is_closed &&
            !memcmp(ch->peer.token, h->from, sizeof h->from))
            return ch;
    }
    return NULL;
}

static void answer(struct rdma_caller *c, struct rdma_chan *ch)
{
    struct rdma_link *l = link_new(&ch->peer, false, ch->channel_id);
    uint8_t private_data[RDMA_HELLO_BYTES];
    struct rdma_conn_param p;

    if (!l) {
        rdma_reject(c->id, NULL, 0);
        rdma_destroy_id(c->id);
        return;
    }
    l->id = c->id;
    l->id->context = l;
    l->credits = MIN(c->hello.credits, LINK_CREDITS);
    l->state = LINK_ANSWERED;
    if (link_make_qp(l) || link_modify_qp(l, IBV_QPS_INIT) || link_modify_qp(l, IBV_QPS_RTR) ||
        link_modify_qp(l, IBV_QPS_RTS)) {
        rdma_reject(l->id, NULL, 0);
        link_lose(l, "the device gives no queue pair");
        return;
    }
    p = param(l, private_data);
    if (rdma_accept(l->id, &p))
        link_lose(l, "the call was taken back");
}

static void forget_caller(struct rdma_caller *c)
{
    list_del(&c->node);
    lane.n_callers--;
    free(c);
}

// Answers the call if its channel is known. A call that is too old is refused.
static void consider(struct rdma_caller *c, uint64_t now_ns)
{
    struct rdma_chan *ch = called_for(&c->hello);

    if (ch) {
        answer(c, ch);
    } else if (now_ns >= c->deadline_ns) {
        rdma_reject(c->id, NULL, 0);
        rdma_destroy_id(c->id);
    } else {
        return;
    }
    forget_caller(c);
}

static void called(struct rdma_cm_id *id, const struct rdma_conn_param *p)
{
    struct rdma_caller *c = lane.n_callers < CALLERS ? calloc(1, sizeof *c) : NULL;
    uint8_t timeout = ACK_TIMEOUT;

    id->context = NULL;
    if (!c || rdma_parse_hello(p->private_data, p->private_data_len, &c->hello) ||
        memcmp(c->hello.to, lane.self.token, sizeof c->hello.to)) {
        free(c);
        rdma_reject(id, NULL, 0);
        rdma_destroy_id(id);
        return;
    }
    rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof timeout);
    c->id = id;
    c->deadline_ns = clock_now_ns() + CALLER_NS;
    list_add_tail(&lane.callers, &c->node);
    lane.n_callers++;
    consider(c, clock_now_ns());
}

// ---- events ----

static void happened(struct rdma_link *l, const struct rdma_cm_event *ev)
{
    switch (ev->event) {
    case RDMA_CM_EVENT_ADDR_RESOLVED:
        found_address(l);
        return;
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
        found_route(l);
        return;
    case RDMA_CM_EVENT_CONNECT_RESPONSE:
        answered(l, &ev->param.conn);
        return;
    case RDMA_CM_EVENT_ESTABLISHED:
        up(l);
        return;
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
        link_lose(l, "no RDMA device leads to the peer");
        return;
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_REJECTED:
    case RDMA_CM_EVENT_CONNECT_ERROR:
        link_lose(l, "the peer does not take the call");
        return;
    case RDMA_CM_EVENT_DISCONNECTED:
        if (l->hub)
            hub_poll(l->hub); // its last messages may be there already
        link_lose(l, "the peer has gone");
        return;
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
        link_lose(l, "the device was removed");
        if (l->hub)
            hub_gone(l->hub);
        return;
    default:
        return;
    }
}

// An id whose caller still waits for its channel, or that has none any more; or of a watch.
static void happened_to_nobody(struct rdma_cm_id *id)
{
    struct rdma_hub *h = hub_of_watch(id);

    if (h) {
        hub_gone(h); // nothing else happens to it
        return;
    }
    list_for_each_safe (it, &lane.callers) {
        struct rdma_caller *c = list_entry(it, struct rdma_caller, node);

        if (c->id == id) {
            forget_caller(c);
            rdma_destroy_id(id);
        }
    }
}

// An event must be acknowledged before its id is destroyed, so what it says is copied.
static bool take_event(void)
{
    struct rdma_cm_event *got, ev;
    uint8_t private_data[UINT8_MAX];

    if (rdma_get_cm_event(lane.events, &got))
        return false;
    ev = *got;
    if (ev.param.conn.private_data && ev.param.conn.private_data_len)
        ev.param.conn.private_data =
            memcpy(private_data, ev.param.conn.private_data, ev.param.conn.private_data_len);
    rdma_ack_cm_event(got);
    if (ev.event == RDMA_CM_EVENT_CONNECT_REQUEST)
        called(ev.id, &ev.param.conn);
    else if (ev.id->context)
        happened(ev.id->context, &ev);
    else if (ev.id != lane.listener)
        happened_to_nobody(ev.id);
    return true;
}

static void end_links(uint64_t now_ns)
{
    list_for_each_safe (it, &lane.links) {
        struct rdma_link *l = list_entry(it, struct rdma_link, node);

        if (l->state < LINK_UP && now_ns >= l->deadline_ns)
            link_lose(l, "the link did not come up in time");
        if (l->state == LINK_LOST && !l->n_chans)
            link_free(l);
    }
}

void meet_advance(uint64_t now_ns)
{
    while (take_event())
        ;
    list_for_each_safe (it, &lane.callers)
        consider(list_entry(it, struct rdma_caller, node), now_ns);
    end_links(now_ns);
}

// ---- both ----

struct rdma_link *meet(struct rdma_chan *ch)
{
    struct rdma_link *l = link_find(ch->peer.token, ch->active);
    int err;

    if (l || !ch->active)
        return l;
    l = link_new(&ch->peer, true, ch->channel_id);
    if (!l) {
        chan_fail(ch, MIRROR_FAILED, "no memory");
        return NULL;
    }
    err = call(l, ch);
    if (err)
        link_lose(l, "no RDMA device leads to the peer");
    return l;
}

int meet_start(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};

    lane.events = rdma_create_event_channel();
    if (!lane.events)
        return -errno;
    lane_own_fd(&lane.events->fd);
    if (rdma_create_id(lane.events, &lane.listener, NULL, RDMA_PS_TCP) ||
        rdma_bind_addr(lane.listener, (struct sockaddr *)&any) ||
        rdma_listen(lane.listener, BACKLOG))
        return -errno;
    lane.self.port = ntohs(rdma_get_src_port(lane.listener));
    return lane_watch(lane.events->fd);
}
