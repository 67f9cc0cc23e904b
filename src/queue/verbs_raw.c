// SPDX-License-Identifier: BSD-2-Clause
// The driving side of raw packets by verbs.
#include "queue/verbs_raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "queue/csum.h"
#include "queue/shared.h"

#define POST_BATCH 32

struct verbs_queue {
    struct queue q;
    struct verbs_port *port;
    struct queue_grant grant;
};

static struct verbs_port *ports;

static struct verbs_port *port_of(const struct queue *q)
{
    return ((const struct verbs_queue *)(const void *)q)->port;
}

void verbs_port_add(struct verbs_port *p)
{
    p->next = ports;
    ports = p;
}

// The port of a grant, of this process; NULL.
static struct verbs_port *port_find(const struct queue_grant *grant)
{
    struct verbs_port *p = ports;

    if (grant->desc.own[1] != (uint64_t)getpid())
        return NULL;
    while (p && (uintptr_t)p != grant->desc.own[0])
        p = p->next;
    return p;
}

static void port_remove(struct verbs_port *p)
{
    for (struct verbs_port **at = &ports; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            return;
        }
}

void verbs_port_put(struct verbs_port *p)
{
    if (--p->users)
        return;
    port_remove(p);
    if (p->qp)
        p->calls->destroy_qp(p->qp);
    if (p->rx_cq)
        p->calls->destroy_cq(p->rx_cq);
    if (p->tx_cq)
        p->calls->destroy_cq(p->tx_cq);
    if (p->channel)
        p->calls->destroy_comp_channel(p->channel);
    if (p->mr)
        p->calls->dereg_mr(p->mr);
    if (p->pd)
        p->calls->dealloc_pd(p->pd);
    if (p->context)
        p->calls->close(p->context);
    if (p->memory)
        munmap(p->memory, verbs_memory_bytes(p));
    if (p->shared)
        queue_shared_unmap(p->shared, QUEUE_PAGE);
    free(p);
}

static int verbs_attach(struct queue **q, const struct queue_grant *grant)
{
    struct verbs_port *port = port_find(grant);
    struct verbs_queue *v;

    if (!port)
        return -EOPNOTSUPP;
    v = calloc(1, sizeof(*v));
    if (!v)
        return -ENOMEM;
    port->users++;
    v->port = port;
    v->grant = *grant;
    v->q = (struct queue){&queue_verbs_raw, &port->shared->caps, &port->shared->counters};
    *q = &v->q;
    return 0;
}

static void verbs_detach(struct queue *q)
{
    struct verbs_queue *v = (struct verbs_queue *)(void *)q;

    q->ops->kick(q, 0);
    verbs_port_put(v->port);
    queue_grant_close(&v->grant);
    free(v);
}

// ---- receive ----

static uint8_t *rx_slot(const struct verbs_port *p, uint32_t slot)
{
    return p->memory + (size_t)slot * p->slot_bytes;
}

int verbs_post_slots(struct verbs_port *p, const uint32_t *slots, int n)
{
    struct ibv_sge pieces[POST_BATCH];
    struct ibv_recv_wr requests[POST_BATCH], *bad;

    for (int i = 0; i < n; i++) {
        pieces[i] = (struct ibv_sge){
            .addr = (uintptr_t)rx_slot(p, slots[i]), .length = p->slot_bytes, .lkey = p->mr->lkey};
        requests[i] = (struct ibv_recv_wr){.wr_id = slots[i],
                                           .next = i + 1 < n ? &requests[i + 1] : NULL,
                                           .sg_list = &pieces[i],
                                           .num_sge = 1};
    }
    return n ? -p->calls->post_recv(p->qp, requests, &bad) : 0;
}

static void note_came(struct verbs_port *p, const struct ibv_wc *wc)
{
    struct verbs_came *came = &p->came[p->came_head++ % VERBS_RX_SLOTS];

    came->slot = (uint32_t)wc->wr_id;
    came->len_bytes = wc->status == IBV_WC_SUCCESS ? wc->byte_len : 0;
    came->flags = wc->wc_flags & IBV_WC_IP_CSUM_OK ? QUEUE_CSUM_GOOD : 0;
    p->shared->counters.rx_bad += wc->status != IBV_WC_SUCCESS;
}

// There are never more completions than slots, so came[] has room.
static int poll_received(struct verbs_port *p)
{
    struct ibv_wc wc[POST_BATCH];
    int n;

    do {
        n = p->calls->poll_cq(p->rx_cq, POST_BATCH, wc);
        for (int i = 0; i < n; i++)
            note_came(p, &wc[i]);
    } while (n == POST_BATCH);
    return n < 0 ? -ENETDOWN : 0;
}

static int verbs_rx(struct queue *q, struct queue_frame *frames, int max, uint64_t now_ns)
{
    struct verbs_port *p = port_of(q);
    int err = queue_shared_down(p->shared) ? -ENETDOWN : poll_received(p);
    int n = (int)u64_min(p->came_head - p->came_tail, (uint64_t)max);

    for (int i = 0; i < n; i++) {
        const struct verbs_came *came = &p->came[(p->came_tail + (uint64_t)i) % VERBS_RX_SLOTS];

        frames[i] = (struct queue_frame){.head = {rx_slot(p, came->slot), came->len_bytes},
                                         .len_bytes = came->len_bytes,
                                         .pieces = 1,
                                         .flags = came->flags};
    }
    return n ? n : err;
}

static struct queue_piece verbs_piece(const struct queue *q, const struct queue_frame *frame,
                                      unsigned i)
{
    return (struct queue_piece){frame->head.data, 0};
}

static void verbs_release(struct queue *q, int n)
{
    struct verbs_port *p = port_of(q);
    uint32_t slots[POST_BATCH];

    q->counters->rx_frames += (uint64_t)n;
    while (n > 0) {
        int some = MIN(n, POST_BATCH);

        for (int i = 0; i < some; i++) {
            const struct verbs_came *came = &p->came[p->came_tail++ % VERBS_RX_SLOTS];

            slots[i] = came->slot;
            q->counters->rx_bytes += came->len_bytes;
        }
        if (!queue_shared_down(p->shared))
            verbs_post_slots(p, slots, some);
        n -= some;
    }
}

// ---- send ----

// A completion is asked for of the last frame of each kick, and says that all before it have gone.
static void reap(struct verbs_port *p)
{
    struct ibv_wc wc[POST_BATCH];
    int n;

    while ((n = p->calls->poll_cq(p->tx_cq, POST_BATCH, wc)) > 0)
        for (int i = 0; i < n; i++) {
            p->tx_tail = wc[i].wr_id;
            p->shared->counters.tx_dropped += wc[i].status != IBV_WC_SUCCESS;
        }
}

static void fill(struct verbs_port *p, const struct queue_out *out, uint32_t len)
{
    uint32_t i = p->tx_head % VERBS_TX_SLOTS;
    uint8_t *frame = p->memory + (size_t)(VERBS_RX_SLOTS + i) * p->slot_bytes;

    queue_out_copy(out, frame);
    p->pieces[i] = (struct ibv_sge){.addr = (uintptr_t)frame, .length = len, .lkey = p->mr->lkey};
    p->sends[i] = (struct ibv_send_wr){
        .wr_id = p->tx_head + 1, .sg_list = &p->pieces[i], .num_sge = 1, .opcode = IBV_WR_SEND};
    if (out->csum_start && p->shared->caps.tx_csum)
        p->sends[i].send_flags = IBV_SEND_IP_CSUM; // TCP's, too
    else if (out->csum_start)
        csum_finish(out, frame);
}

static int verbs_tx(struct queue *q, const struct queue_out *out, uint64_t now_ns)
{
    struct verbs_port *p = port_of(q);
    int len = queue_out_bytes(out, q->caps);

    if (len < 0)
        return len;
    if (p->tx_head - p->tx_tail == VERBS_TX_SLOTS)
        reap(p);
    if (p->tx_head - p->tx_tail == VERBS_TX_SLOTS) {
        q->counters->tx_full++;
        return -EAGAIN;
    }
    fill(p, out, (uint32_t)len);
    p->tx_head++;
    q->counters->tx_frames++;
    q->counters->tx_bytes += (uint64_t)len;
    return 0;
}

static int verbs_kick(struct queue *q, uint64_t now_ns)
{
    struct verbs_port *p = port_of(q);
    struct ibv_send_wr *bad;
    int err;

    if (queue_shared_down(p->shared))
        return -ENETDOWN;
    if (p->tx_kicked == p->tx_head)
        return 0;
    for (uint64_t i = p->tx_kicked; i < p->tx_head; i++)
        p->sends[i % VERBS_TX_SLOTS].next =
            i + 1 < p->tx_head ? &p->sends[(i + 1) % VERBS_TX_SLOTS] : NULL;
    p->sends[(p->tx_head - 1) % VERBS_TX_SLOTS].send_flags |= IBV_SEND_SIGNALED;
    err = p->calls->post_send(p->qp, &p->sends[p->tx_kicked % VERBS_TX_SLOTS], &bad);
    q->counters->tx_kicks++;
    if (err) // the send queue has room for all slots, so it is not that: the QP is broken
        return -ENETDOWN;
    p->tx_kicked = p->tx_head;
    reap(p);
    return 0;
}

// ---- waiting ----

static int verbs_wait_fd(const struct queue *q)
{
    return port_of(q)->channel->fd;
}

static int verbs_arm(struct queue *q)
{
    struct verbs_port *p = port_of(q);
    struct ibv_cq *cq;
    void *cookie;

    if (queue_shared_down(p->shared))
        return -ENETDOWN;
    while (!p->calls->get_cq_event(p->channel, &cq, &cookie))
        p->calls->ack_cq_events(cq, 1);
    return p->calls->req_notify_cq(p->rx_cq, 0) ? -ENETDOWN : 0;
}

static uint64_t verbs_deadline(const struct queue *q)
{
    return CLOCK_NEVER;
}

const struct queue_ops queue_verbs_raw = {
    .name = "verbs_raw",
    .attach = verbs_attach,
    .detach = verbs_detach,
    .rx = verbs_rx,
    .piece = verbs_piece,
    .release = verbs_release,
    .tx = verbs_tx,
    .kick = verbs_kick,
    .wait_fd = verbs_wait_fd,
    .arm = verbs_arm,
    .deadline = verbs_deadline,
};
