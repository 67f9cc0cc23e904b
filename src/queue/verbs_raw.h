// SPDX-License-Identifier: BSD-2-Clause
// IBV_QPT_RAW_PACKET with ibv_create_flow: Ethernet frames by verbs, as mlx5 has it. Rules in the
// NIC choose the frames, so the kernel never sees them. This door has not met hardware: the test
// machines have no such device, and what runs the suite is a double of the calls below, carried by
// AF_PACKET (tests/queue/verbs_double.c).
//
// Verbs objects belong to one process, so only the owner's process can drive the queue, and no
// forked child of it may. No super-frames: TSO by verbs is not used.
#ifndef SHUNT_QUEUE_VERBS_RAW_H
#define SHUNT_QUEUE_VERBS_RAW_H

#include <infiniband/verbs.h>

#include "queue/owner.h"

extern const struct queue_ops queue_verbs_raw;
extern const struct queue_owner_ops queue_verbs_raw_owner;

// The verbs that the door uses, each as its manual page says, but that flow calls return -errno
// too.
struct verbs_calls {
    // The device and port behind a network device, opened. 0, -ENODEV, -errno.
    int (*open)(const char *netdev, struct ibv_context **context, uint8_t *port);
    // True where the device finishes and checks the checksums of raw packets.
    bool (*has_csum)(struct ibv_context *context);
    int (*close)(struct ibv_context *context);
    struct ibv_pd *(*alloc_pd)(struct ibv_context *context);
    int (*dealloc_pd)(struct ibv_pd *pd);
    struct ibv_mr *(*reg_mr)(struct ibv_pd *pd, void *addr, size_t bytes, int access);
    int (*dereg_mr)(struct ibv_mr *mr);
    struct ibv_comp_channel *(*create_comp_channel)(struct ibv_context *context);
    int (*destroy_comp_channel)(struct ibv_comp_channel *channel);
    struct ibv_cq *(*create_cq)(struct ibv_context *context, int entries, void *cookie,
                                struct ibv_comp_channel *channel, int vector);
    int (*destroy_cq)(struct ibv_cq *cq);
    struct ibv_qp *(*create_qp)(struct ibv_pd *pd, struct ibv_qp_init_attr *attr);
    int (*modify_qp)(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask);
    int (*destroy_qp)(struct ibv_qp *qp);
    struct ibv_flow *(*create_flow)(struct ibv_qp *qp, struct ibv_flow_attr *attr);
    int (*destroy_flow)(struct ibv_flow *flow);
    int (*post_recv)(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
    int (*post_send)(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
    int (*poll_cq)(struct ibv_cq *cq, int entries, struct ibv_wc *wc);
    int (*req_notify_cq)(struct ibv_cq *cq, int solicited_only);
    int (*get_cq_event)(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **cookie);
    void (*ack_cq_events)(struct ibv_cq *cq, unsigned n);
};

// What open() uses: libibverbs unless a test says otherwise.
extern const struct verbs_calls *verbs_raw_calls;

#define VERBS_RX_SLOTS 1024
#define VERBS_TX_SLOTS 256

// A frame that has come.
struct verbs_came {
    uint32_t slot, len_bytes;
    uint8_t flags;
};

// One queue, of this process; shared by its owner and those who have attached.
struct verbs_port {
    const struct verbs_calls *calls;
    struct verbs_port *next; // of all in this process
    unsigned users;          // owner and attached queues
    struct ibv_context *context;
    struct ibv_pd *pd;
    struct ibv_mr *mr;
    struct ibv_comp_channel *channel;
    struct ibv_cq *rx_cq, *tx_cq;
    struct ibv_qp *qp;
    uint8_t *memory; // slots to receive into, then those to send from
    uint32_t slot_bytes;
    struct queue_shared *shared;
    struct verbs_came came[VERBS_RX_SLOTS];
    uint64_t came_head, came_tail;        // [tail, head) are not released
    uint64_t tx_head, tx_kicked, tx_tail; // taken by tx(), posted, and known to have gone
    struct ibv_send_wr sends[VERBS_TX_SLOTS];
    struct ibv_sge pieces[VERBS_TX_SLOTS];
};

static inline size_t verbs_memory_bytes(const struct verbs_port *p)
{
    return (size_t)(VERBS_RX_SLOTS + VERBS_TX_SLOTS) * p->slot_bytes;
}

// Ends what open() made, when the last user is gone.
void verbs_port_put(struct verbs_port *p);

// Puts it among those of this process.
void verbs_port_add(struct verbs_port *p);

// Gives receive slots [from, from + n) of the ring of came[] to the device. 0, -errno.
int verbs_post_slots(struct verbs_port *p, const uint32_t *slots, int n);

#endif
