// SPDX-License-Identifier: BSD-2-Clause
// What all links of one device share in a process. A hub has a size for life; when it is full the
// next one is twice as large, so that a process with one link takes little.
#include "lane/rdma/link.h"
#include "lane/rdma/state.h"

#include "base/util.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LINKS_FIRST   8
#define LINKS_MOST    128
#define POST_AT_ONCE  64
#define CQES_PER_LINK (LINK_CREDITS + LINK_SENDS)

_Static_assert(HUB_SPENT_MOST <= POST_AT_ONCE, "one call posts all that is spent");

static uint32_t links_for(const struct ibv_device_attr *a, uint32_t wanted)
{
    uint32_t by_srq = (uint32_t)MAX(a->max_srq_wr, 0) / LINK_CREDITS;
    uint32_t by_cq = (uint32_t)MAX(a->max_cqe, 0) / CQES_PER_LINK;

    return MIN(wanted, MIN(by_srq, by_cq));
}

static int make_notes(struct rdma_hub *h)
{
    size_t bytes = (size_t)h->receives * RDMA_NOTE_BYTES;

    h->notes = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (h->notes == MAP_FAILED) {
        h->notes = NULL;
        return -ENOMEM;
    }
    h->notes_mr = ibv_reg_mr(h->pd, h->notes, bytes, IBV_ACCESS_LOCAL_WRITE);
    return h->notes_mr ? 0 : -errno;
}

// Posts receives for n notes.
static int hub_receive(struct rdma_hub *h, const uint64_t *notes, uint32_t n)
{
    struct ibv_recv_wr wr[POST_AT_ONCE], *bad;
    struct ibv_sge sge[POST_AT_ONCE];

    for (uint32_t i = 0; i < n; i++) {
        sge[i] = (struct ibv_sge){(uintptr_t)(h->notes + notes[i] * RDMA_NOTE_BYTES),
                                  RDMA_NOTE_BYTES, h->notes_mr->lkey};
        wr[i] = (struct ibv_recv_wr){notes[i], i + 1 < n ? &wr[i + 1] : NULL, &sge[i], 1};
    }
    return n ? -ibv_post_srq_recv(h->srq, wr, &bad) : 0;
}

void hub_replenish(struct rdma_hub *h)
{
    hub_receive(h, h->spent, h->n_spent);
    h->n_spent = 0;
}

static int receive_all(struct rdma_hub *h)
{
    uint64_t notes[POST_AT_ONCE];
    int err = 0;

    for (uint64_t at = 0; at < h->receives && !err;) {
        uint32_t n = 0;

        while (n < POST_AT_ONCE && at < h->receives)
            notes[n++] = at++;
        err = hub_receive(h, notes, n);
    }
    return err;
}

static int make_queues(struct rdma_hub *h)
{
    struct ibv_srq_init_attr attr = {.attr = {.max_wr = h->receives, .max_sge = 1}};

    h->pd = ibv_alloc_pd(h->verbs);
    h->events = h->pd ? ibv_create_comp_channel(h->verbs) : NULL;
    if (!h->events)
        return -errno;
    lane_own_fd(&h->events->fd);
    h->cq = ibv_create_cq(h->verbs, (int)(h->max_links * CQES_PER_LINK), h, h->events, 0);
    h->srq = h->cq ? ibv_create_srq(h->pd, &attr) : NULL;
    return h->srq ? make_notes(h) : -errno;
}

// librdmacm keeps a context of its own of each device, and tells nobody but its ids of the device's
// end.
static int watch_device(struct rdma_hub *h, const struct rdma_cm_id *id)
{
    struct sockaddr_storage here;

    memcpy(&here, rdma_get_local_addr((struct rdma_cm_id *)id), sizeof here);
    ((struct sockaddr_in *)&here)->sin_port = 0; // at the same place for both families
    if (rdma_create_id(lane.events, &h->watch, NULL, RDMA_PS_TCP) ||
        rdma_bind_addr(h->watch, (struct sockaddr *)&here))
        return -errno;
    if (!h->watch->verbs)
        return -ENODEV;
    lane_borrow_fd(&h->watch->verbs->cmd_fd);
    lane_borrow_fd(&h->watch->verbs->async_fd);
    return 0;
}

static void unwatch_device(struct rdma_hub *h)
{
    struct ibv_context *theirs = h->watch->verbs;

    rdma_destroy_id(h->watch);
    if (!theirs)
        return;
    lane_void_fd(theirs->cmd_fd);
    lane_void_fd(theirs->async_fd);
}

static int make(struct rdma_hub *h, struct ibv_device *device, uint32_t wanted)
{
    struct ibv_device_attr attr;
    int err;

    h->verbs = ibv_open_device(device);
    if (!h->verbs)
        return -errno;
    lane_own_fd(&h->verbs->cmd_fd);
    lane_own_fd(&h->verbs->async_fd);
    if (ibv_query_device(h->verbs, &attr))
        return -errno;
    h->max_links = links_for(&attr, wanted);
    h->receives = h->max_links * LINK_CREDITS;
    if (!h->max_links)
        return -EOPNOTSUPP;
    err = make_queues(h);
    if (!err)
        err = receive_all(h);
    if (!err)
        err = lane_watch(h->events->fd);
    return err ? err : lane_watch(h->verbs->async_fd);
}

static void free_hub(struct rdma_hub *h)
{
    list_del(&h->node);
    if (h->srq)
        ibv_destroy_srq(h->srq);
    if (h->notes_mr)
        ibv_dereg_mr(h->notes_mr);
    if (h->notes)
        munmap(h->notes, (size_t)h->receives * RDMA_NOTE_BYTES);
    if (h->cq)
        ibv_destroy_cq(h->cq);
    if (h->events) {
        lane_lose_fd(h->events->fd);
        ibv_destroy_comp_channel(h->events);
    }
    if (h->pd)
        ibv_dealloc_pd(h->pd);
    if (h->verbs) {
        lane_lose_fd(h->verbs->cmd_fd);
        lane_lose_fd(h->verbs->async_fd);
        ibv_close_device(h->verbs);
    }
    if (h->watch)
        unwatch_device(h);
    free(h);
}

struct rdma_hub *hub_get(const struct rdma_cm_id *id)
{
    struct ibv_device *device = id->verbs->device;
    uint32_t wanted = LINKS_FIRST;
    struct rdma_hub *h;
    int err;

    list_for_each (it, &lane.hubs) {
        h = list_entry(it, struct rdma_hub, node);
        if (h->gone || h->verbs->device != device)
            continue;
        if (h->links < h->max_links)
            return h;
        wanted = MIN(2 * wanted, LINKS_MOST);
    }
    h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    list_add_tail(&lane.hubs, &h->node);
    err = make(h, device, wanted);
    if (!err && wanted == LINKS_FIRST)
        err = watch_device(h, id);
    if (!err)
        return h;
    free_hub(h);
    errno = -err;
    return NULL;
}

void hub_put(struct rdma_hub *h)
{
    if (!h->links && (h->gone || !h->watch))
        free_hub(h);
}

struct rdma_hub *hub_of_watch(const struct rdma_cm_id *id)
{
    list_for_each (it, &lane.hubs) {
        struct rdma_hub *h = list_entry(it, struct rdma_hub, node);

        if (h->watch == id)
            return h;
    }
    return NULL;
}

static void lose_all(const struct rdma_hub *h)
{
    list_for_each (it, &lane.links) {
        struct rdma_link *l = list_entry(it, struct rdma_link, node);

        if (l->hub == h)
            link_lose(l, "the device was removed");
    }
}

// Hubs with links end with the last of these, in end_links().
void hub_gone(struct rdma_hub *h)
{
    const struct ibv_device *device = h->verbs->device;

    list_for_each_safe (it, &lane.hubs) {
        struct rdma_hub *one = list_entry(it, struct rdma_hub, node);

        if (one->verbs->device != device)
            continue;
        one->gone = true;
        lose_all(one);
        hub_put(one);
    }
}
