// SPDX-License-Identifier: BSD-2-Clause
#include "lane/rdma/link.h"
#include "lane/rdma/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SIGNAL_EVERY 32 // sends
#define SENDS_KEPT   4  // entries of the send queue, for notes
#define WORDS_BYTES  (LINK_SLOTS_MAX * sizeof(uint64_t))
#define OUTBOX_BYTES (LINK_SENDS * RDMA_NOTE_BYTES)

// ---- the queue pair ----

// As much inline data as the device has, up to what small messages need.
static struct ibv_qp *create_qp(struct rdma_link *l)
{
    static const uint32_t inline_bytes[] = {256, 128, RDMA_NOTE_BYTES, 0};
    struct ibv_qp *qp = NULL;

    for (size_t i = 0; i < ARRAY_LEN(inline_bytes) && !qp; i++) {
        struct ibv_qp_init_attr attr = {
            .send_cq = l->hub->cq,
            .recv_cq = l->hub->cq,
            .srq = l->hub->srq,
            .qp_type = IBV_QPT_RC,
            .cap = {.max_send_wr = LINK_SENDS,
                    .max_send_sge = 1,
                    .max_inline_data = inline_bytes[i]},
        };

        qp = ibv_create_qp(l->hub->pd, &attr);
        if (qp)
            l->inline_bytes = attr.cap.max_inline_data;
    }
    return qp;
}

static int make_words(struct rdma_link *l)
{
    l->words = mmap(NULL, WORDS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (l->words == MAP_FAILED) {
        l->words = NULL;
        return -ENOMEM;
    }
    l->words_mr = ibv_reg_mr(l->hub->pd, l->words, WORDS_BYTES,
                             IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    return l->words_mr ? 0 : -errno;
}

static int make_outbox(struct rdma_link *l)
{
    if (l->inline_bytes >= RDMA_NOTE_BYTES)
        return 0;
    l->outbox =
        mmap(NULL, OUTBOX_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (l->outbox == MAP_FAILED) {
        l->outbox = NULL;
        return -ENOMEM;
    }
    l->outbox_mr = ibv_reg_mr(l->hub->pd, l->outbox, OUTBOX_BYTES, 0);
    return l->outbox_mr ? 0 : -errno;
}

int link_make_qp(struct rdma_link *l)
{
    int err;

    l->hub = hub_get(l->id);
    if (!l->hub)
        return -errno;
    l->hub->links++;
    l->has_imm = l->id->verbs->device->transport_type != IBV_TRANSPORT_IWARP;
    l->qp = create_qp(l);
    if (!l->qp)
        return -errno;
    list_add_tail(&lane.by_qp[l->qp->qp_num % QP_BUCKETS], &l->by_qp);
    err = make_words(l);
    return err ? err : make_outbox(l);
}

int link_modify_qp(struct rdma_link *l, enum ibv_qp_state state)
{
    struct ibv_qp_attr attr = {.qp_state = state};
    int mask;

    if (rdma_init_qp_attr(l->id, &attr, &mask))
        return -errno;
    if (state == IBV_QPS_INIT) { // what the caller's side is told leaves out what the peer may do
        attr.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
        mask |= IBV_QP_ACCESS_FLAGS;
    }
    return -ibv_modify_qp(l->qp, &attr, mask);
}

static void destroy_qp(struct rdma_link *l)
{
    list_del(&l->by_qp);
    if (l->qp)
        ibv_destroy_qp(l->qp);
    l->qp = NULL;
}

void link_lose(struct rdma_link *l, const char *why)
{
    if (l->state == LINK_LOST)
        return;
    log_info("rdma: link lost: %s", why);
    l->state = LINK_LOST;
    l->why = why;
    atomic_store(&lane.has_work, true);
    chans_link_lost(l);
}

void link_free(struct rdma_link *l)
{
    list_del(&l->node);
    list_del(&l->owing);
    destroy_qp(l);
    if (l->words_mr)
        ibv_dereg_mr(l->words_mr);
    if (l->words)
        munmap(l->words, WORDS_BYTES);
    if (l->outbox_mr)
        ibv_dereg_mr(l->outbox_mr);
    if (l->outbox)
        munmap(l->outbox, OUTBOX_BYTES);
    if (l->id)
        rdma_destroy_id(l->id);
    if (l->hub) {
        l->hub->peer_silent -= l->peer_silent;
        l->hub->links--;
        hub_put(l->hub);
    }
    free(l->slots);
    free(l);
}

// ---- sending ----

// Are n entries of the send queue free? Those that the device is done with are found out.
static bool has_sends(struct rdma_link *l, uint32_t n)
{
    if (l->posted - l->done + n > LINK_SENDS)
        hub_poll(l->hub);
    return l->state == LINK_UP && l->posted - l->done + n <= LINK_SENDS;
}

bool link_can_write(struct rdma_link *l)
{
    if (l->credits <= LINK_CREDITS_KEPT)
        hub_poll(l->hub);
    return l->credits > LINK_CREDITS_KEPT && link_can_whisper(l);
}

bool link_can_whisper(struct rdma_link *l)
{
    return l->state == LINK_UP && has_sends(l, SENDS_KEPT + 2);
}

bool link_can_note(struct rdma_link *l)
{
    return l->state == LINK_UP && l->credits > 1 && has_sends(l, 2);
}

static void post(struct rdma_link *l, struct ibv_send_wr *wr)
{
    struct ibv_send_wr *bad;
    int err;

    l->posted++;
    wr->wr_id = l->posted | LINK_SEND_BIT;
    if (++l->unsignaled >= SIGNAL_EVERY) {
        wr->send_flags |= IBV_SEND_SIGNALED;
        l->unsignaled = 0;
    }
    err = ibv_post_send(l->qp, wr, &bad);
    if (err)
        link_lose(l, "the device takes no more");
}

// Takes a credit for a message, which gives back those that we owe when they are some.
static uint16_t give_back(struct rdma_link *l)
{
    uint32_t owed = l->owed >= LINK_OWED_LEAST ? l->owed : 0;

    if (owed)
        hub_replenish(l->hub);
    l->owed -= owed;
    l->credits--;
    return (uint16_t)owed;
}

// Must the peer look at the words after the message for which a credit was just taken?
static bool is_silent(const struct rdma_link *l)
{
    return l->n_silent || l->credits <= LINK_CREDITS_KEPT;
}

// Where a message of at most RDMA_NOTE_BYTES is to be put, so that it can be sent.
static uint8_t *outbox(struct rdma_link *l, uint8_t *here, struct ibv_sge *sge,
                       struct ibv_send_wr *wr)
{
    uint8_t *at = l->outbox ? l->outbox + l->posted % LINK_SENDS * RDMA_NOTE_BYTES : here;

    sge->addr = (uintptr_t)at;
    if (l->outbox)
        sge->lkey = l->outbox_mr->lkey;
    else
        wr->send_flags |= IBV_SEND_INLINE;
    return at;
}

static void send_note(struct rdma_link *l, const struct rdma_note *n)
{
    uint8_t bytes[RDMA_NOTE_BYTES];
    struct ibv_sge sge = {0};
    struct ibv_send_wr wr = {
        .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SOLICITED};

    sge.length = (uint32_t)rdma_pack_note(outbox(l, bytes, &sge, &wr), n);
    post(l, &wr);
}

void link_note(struct rdma_link *l, struct rdma_note *n)
{
    n->credits = give_back(l);
    n->silent = is_silent(l);
    send_note(l, n);
}

void link_settle(struct rdma_link *l)
{
    struct rdma_note n = {.type = RDMA_NOTE_CREDITS};

    if (l->owed >= LINK_OWED_MOST && l->state == LINK_UP && l->credits && has_sends(l, 1))
        link_note(l, &n);
}

void link_write(struct rdma_link *l, const struct link_write *w)
{
    struct ibv_sge sge = {(uintptr_t)w->from, w->bytes, w->lkey};
    struct ibv_send_wr wr = {
        .sg_list = &sge,
        .num_sge = 1,
        .opcode = l->has_imm ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_RDMA_WRITE,
        .send_flags = w->bytes <= l->inline_bytes ? IBV_SEND_INLINE : 0,
        .wr.rdma = {w->to, w->rkey},
    };
    struct rdma_note n = {.type = RDMA_NOTE_DATA, .slot = w->slot, .bytes = w->bytes};

    if (l->has_imm) {
        uint16_t credits = give_back(l);

        wr.imm_data = htonl(rdma_imm(w->slot, is_silent(l), credits));
        wr.send_flags |= IBV_SEND_SOLICITED;
    }
    post(l, &wr);
    if (!l->has_imm && l->state == LINK_UP)
        link_note(l, &n);
}

void link_whisper(struct rdma_link *l, const struct link_write *w, uint64_t tail, uint64_t word,
                  uint32_t word_rkey)
{
    uint8_t bytes[RDMA_NOTE_BYTES];
    struct ibv_sge data = {(uintptr_t)w->from, w->bytes, w->lkey}, sge = {.length = sizeof tail};
    struct ibv_send_wr wr = {
        .sg_list = &data,
        .num_sge = 1,
        .opcode = IBV_WR_RDMA_WRITE,
        .send_flags = w->bytes <= l->inline_bytes ? IBV_SEND_INLINE : 0,
        .wr.rdma = {w->to, w->rkey},
    };

    post(l, &wr);
    if (l->state != LINK_UP)
        return;
    wr = (struct ibv_send_wr){
        .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE, .wr.rdma = {word, word_rkey}};
    tail = htole64(tail);
    memcpy(outbox(l, bytes, &sge, &wr), &tail, sizeof tail);
    post(l, &wr);
}

// An empty write needs no memory, no credit and no answer but the device's own.
void link_flush(struct rdma_link *l)
{
    struct ibv_send_wr wr = {.opcode = IBV_WR_RDMA_WRITE};

    if (l->state != LINK_UP || !l->unsignaled || !has_sends(l, 1))
        return;
    l->unsignaled = SIGNAL_EVERY;
    post(l, &wr);
}

#define LOSE_NS (5 * NS_PER_S)

// Devices tell when their retries are used up, and some never do: soft-RoCE, where the peer's host
// has no address any more. This process may not have looked for long: so the time counts from when
// the device was asked to say what is done.
void link_watch(struct rdma_link *l, uint64_t now_ns)
{
    if (l->state != LINK_UP || l->posted == l->done || l->done != l->seen_done) {
        l->seen_done = l->done;
        l->asked_ns = 0;
    } else if (!l->asked_ns) {
        if (l->unsignaled)
            link_flush(l);
        l->asked_ns = now_ns;
    } else if (now_ns - l->asked_ns >= LOSE_NS) {
        link_lose(l, "the peer does not answer");
    }
}

// ---- channels ----

struct rdma_chan *link_chan(const struct rdma_link *l, uint32_t slot)
{
    return slot < l->n_slots ? l->slots[slot] : NULL;
}

static int more_slots(struct rdma_link *l)
{
    uint32_t n = l->n_slots ? 2 * l->n_slots : 16;
    struct rdma_chan **slots;

    if (n > LINK_SLOTS_MAX)
        return -EMFILE;
    slots = realloc(l->slots, n * sizeof(struct rdma_chan *));
    if (!slots)
        return -ENOMEM;
    for (uint32_t i = l->n_slots; i < n; i++)
        slots[i] = NULL;
    l->slots = slots;
    l->n_slots = n;
    return 0;
}

int link_add_chan(struct rdma_link *l, struct rdma_chan *ch, uint16_t *slot)
{
    uint32_t at = 0;
    int err = 0;

    if (l->n_chans == l->n_slots)
        err = more_slots(l);
    if (err)
        return err;
    while (l->slots[at])
        at++;
    l->slots[at] = ch;
    l->n_chans++;
    *slot = (uint16_t)at;
    return 0;
}

void link_del_chan(struct rdma_link *l, uint16_t slot)
{
    l->slots[slot] = NULL;
    l->n_chans--;
}
