// SPDX-License-Identifier: BSD-2-Clause
// What the device says: completions, and that something has happened to it.
#include "base/log.h"
#include "base/util.h"
#include "lane/rdma/state.h"

#include <arpa/inet.h>
#include <endian.h>

#define AT_ONCE 16

// Each device numbers its queue pairs by itself.
static struct rdma_link *link_of(const struct rdma_hub *h, uint32_t qp_num)
{
    list_for_each (it, &lane.by_qp[qp_num % QP_BUCKETS]) {
        struct rdma_link *l = list_entry(it, struct rdma_link, by_qp);

        if (l->hub == h && l->qp->qp_num == qp_num)
            return l;
    }
    return NULL;
}

// ---- messages ----

// The words are read before the completions are taken: whatever was sent before a word was written
// has been counted when the word is looked at.
static void read_words(struct rdma_hub *h)
{
    list_for_each (it, &lane.links) {
        struct rdma_link *l = list_entry(it, struct rdma_link, node);

        for (uint32_t i = 0; l->peer_silent && l->hub == h && i < l->n_slots; i++)
            if (l->slots[i])
                l->slots[i]->word = le64toh(atomic_load(&l->words[i]));
    }
}

static void take_words(struct rdma_hub *h)
{
    list_for_each (it, &lane.links) {
        struct rdma_link *l = list_entry(it, struct rdma_link, node);

        for (uint32_t i = 0; l->state == LINK_UP && l->hub == h && i < l->n_slots; i++)
            if (l->slots[i] && l->slots[i]->word) {
                if (chan_hears(l->slots[i]))
                    mirror_take_tail(&l->slots[i]->mirror, l->slots[i]->word);
                l->slots[i]->word = 0;
            }
    }
}

static void hear_silence(struct rdma_link *l, bool silent)
{
    l->hub->peer_silent += silent - l->peer_silent;
    l->peer_silent = silent;
}

// Those of whose bytes no message could tell can now.
static void end_silence(struct rdma_link *l)
{
    for (uint32_t i = 0; i < l->n_slots; i++)
        if (l->slots[i] && l->slots[i]->silent && list_empty(&l->slots[i]->dirty))
            list_add_tail(&lane.dirty, &l->slots[i]->dirty);
}

static void take_credits(struct rdma_link *l, uint16_t credits)
{
    l->credits += credits;
    if (l->credits > LINK_CREDITS)
        link_lose(l, "the peer gives more credits than there are");
    else if (l->n_silent && l->credits > LINK_CREDITS_KEPT)
        end_silence(l);
}

// A slot that has no channel any more belongs to one that both sides have closed.
static void take_bytes(struct rdma_link *l, uint16_t slot, uint32_t bytes)
{
    struct rdma_chan *ch = link_chan(l, slot);

    if (ch && chan_hears(ch))
        mirror_take_bytes(&ch->mirror, bytes);
}

static void take_lines(struct rdma_link *l, const struct rdma_note *n)
{
    struct rdma_chan *ch = link_chan(l, n->slot);

    if (!ch || !chan_hears(ch))
        return;
    mirror_take_lines(&ch->mirror, &n->lines);
    if (n->lines.stage == RDMA_CLOSED)
        atomic_store(&lane.has_work, true);
    // not now: whoever polls may be in the middle of pushing it, with lines that would then be old
    if (list_empty(&ch->dirty))
        list_add_tail(&lane.dirty, &ch->dirty);
    lane.has_news = true;
}

static void take_note(struct rdma_link *l, const uint8_t *bytes, uint32_t len)
{
    struct rdma_note n;

    if (rdma_parse_note(bytes, len, &n)) {
        link_lose(l, "the peer sent nonsense");
        return;
    }
    if (n.type == RDMA_NOTE_DATA)
        take_bytes(l, n.slot, n.bytes);
    else if (n.type == RDMA_NOTE_LINES)
        take_lines(l, &n);
    hear_silence(l, n.silent);
    take_credits(l, n.credits);
}

static void received(struct rdma_hub *h, struct rdma_link *l, const struct ibv_wc *wc)
{
    uint32_t imm = ntohl(wc->imm_data);

    if (++l->owed > LINK_CREDITS) {
        link_lose(l, "the peer sends more than it has credits for");
    } else if (wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM) {
        take_bytes(l, rdma_imm_slot(imm), wc->byte_len);
        hear_silence(l, rdma_imm_silent(imm));
        take_credits(l, rdma_imm_credits(imm));
    } else {
        take_note(l, h->notes + wc->wr_id * RDMA_NOTE_BYTES, MIN(wc->byte_len, RDMA_NOTE_BYTES));
    }
    if (l->owed >= LINK_OWED_MOST && list_empty(&l->owing))
        list_add_tail(&lane.owing, &l->owing);
}

// ---- completions ----

static void completed(struct rdma_hub *h, const struct ibv_wc *wc)
{
    struct rdma_link *l = link_of(h, wc->qp_num);

    if (!l || l->state == LINK_LOST)
        return; // what a queue pair left behind
    if (wc->status != IBV_WC_SUCCESS)
        log_info("rdma: %s", ibv_wc_status_str(wc->status));
    if (wc->status != IBV_WC_SUCCESS)
        link_lose(l, wc->status == IBV_WC_RETRY_EXC_ERR ? "the peer does not answer"
                                                        : "the queue pair has failed");
    else if (wc->wr_id & LINK_SEND_BIT)
        l->done = wc->wr_id & ~LINK_SEND_BIT;
    else
        received(h, l, wc);
}

static void spend(struct rdma_hub *h, uint64_t note)
{
    h->spent[h->n_spent++] = note;
    if (h->n_spent == HUB_SPENT_MOST)
        hub_replenish(h);
}

bool hub_poll(struct rdma_hub *h)
{
    struct ibv_wc wc[AT_ONCE];
    bool any = false, silent = h->peer_silent != 0;
    int n;

    if (unlikely(silent))
        read_words(h);
    do {
        n = ibv_poll_cq(h->cq, AT_ONCE, wc);
        any |= n > 0;
        for (int i = 0; i < n; i++) {
            completed(h, &wc[i]);
            if (!(wc[i].wr_id & LINK_SEND_BIT))
                spend(h, wc[i].wr_id);
        }
    } while (n == AT_ONCE);
    if (unlikely(silent))
        take_words(h);
    h->has_event |= any && h->armed;
    return any;
}

// ---- sleep ----

static void take_completion_event(struct rdma_hub *h)
{
    struct ibv_cq *cq;
    void *context;

    if (!ibv_get_cq_event(h->events, &cq, &context)) {
        ibv_ack_cq_events(cq, 1);
        h->armed = false;
    }
    h->has_event = false;
}

bool hub_heard(struct rdma_hub *h)
{
    bool was_armed = h->armed;

    if (was_armed)
        take_completion_event(h);
    return was_armed && !h->armed;
}

bool hub_arm(struct rdma_hub *h)
{
    if (h->armed && h->has_event)
        take_completion_event(h);
    if (!h->armed)
        h->armed = !ibv_req_notify_cq(h->cq, 1);
    return hub_poll(h);
}

void hub_woken(struct rdma_hub *h, int fd)
{
    if (fd == h->events->fd)
        take_completion_event(h);
    else if (fd == h->verbs->async_fd)
        atomic_store(&lane.has_work, true);
}

// ---- what happens to the device ----

static void lose_links(struct rdma_hub *h, const struct ibv_qp *qp, int port, const char *why)
{
    hub_poll(h); // what came before that counts
    list_for_each (it, &lane.links) {
        struct rdma_link *l = list_entry(it, struct rdma_link, node);

        if (l->hub == h && (!qp || l->qp == qp) && (!port || l->id->port_num == port))
            link_lose(l, why);
    }
}

static void happened(struct rdma_hub *h, const struct ibv_async_event *ev)
{
    switch (ev->event_type) {
    case IBV_EVENT_DEVICE_FATAL:
        h->gone = true; // the watch tells of it, too
        lose_links(h, NULL, 0, "the device was removed");
        return;
    case IBV_EVENT_PORT_ERR:
        lose_links(h, NULL, ev->element.port_num, "the port went down");
        return;
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
        lose_links(h, ev->element.qp, 0, "the queue pair has failed");
        return;
    case IBV_EVENT_CQ_ERR:
    case IBV_EVENT_SRQ_ERR:
        lose_links(h, NULL, 0, "a queue of the device has failed");
        return;
    default:
        return;
    }
}

void hub_advance(struct rdma_hub *h)
{
    struct ibv_async_event ev;

    while (!ibv_get_async_event(h->verbs, &ev)) {
        happened(h, &ev);
        ibv_ack_async_event(&ev);
    }
}
