// SPDX-License-Identifier: BSD-2-Clause
#include "verbs_double.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "queue/csum.h"

#define RING 4096

struct posted {
    uint64_t id;
    uint8_t *data;
    uint32_t bytes;
};

// A device with one port, protection domain, channel and queue pair.
struct nic {
    struct ibv_context context;
    struct queue_owner *owner;
    struct queue *queue;
    struct ibv_pd pd;
    struct ibv_mr mr;
    struct ibv_comp_channel channel;
    struct ibv_cq rx_cq, tx_cq;
    unsigned cqs;
    struct ibv_qp qp;
    enum ibv_qp_state state;
    struct posted posted[RING];
    uint32_t posted_from, posted_end, posted_max;
    uint64_t sent[RING]; // ids to complete
    uint32_t sent_from, sent_end;
};

struct rule {
    struct ibv_flow handle;
    struct nic *nic;
    struct queue_flow flow;
};

static struct nic *nic_of(struct ibv_context *context)
{
    return (struct nic *)(void *)context;
}

static int open_nic(const char *netdev, struct ibv_context **context, uint8_t *port)
{
    struct queue_options options = {.device = netdev, .door = QUEUE_AF_PACKET};
    struct nic *nic = calloc(1, sizeof(*nic));
    struct queue_grant grant;
    char why[200];
    int err = queue_open(&nic->owner, &options, why, sizeof(why));

    if (!err && !(err = queue_grant_dup(&grant, &nic->owner->grant)))
        err = queue_attach(&nic->queue, &grant);
    if (err) {
        free(nic);
        return err;
    }
    *context = &nic->context;
    *port = 1;
    return 0;
}

static bool has_csum(struct ibv_context *context)
{
    return true;
}

static int close_nic(struct ibv_context *context)
{
    queue_detach(nic_of(context)->queue);
    queue_close(nic_of(context)->owner);
    free(nic_of(context));
    return 0;
}

static struct ibv_pd *alloc_pd(struct ibv_context *context)
{
    nic_of(context)->pd.context = context;
    return &nic_of(context)->pd;
}

static int dealloc_pd(struct ibv_pd *pd)
{
    return 0;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *addr, size_t bytes, int access)
{
    struct ibv_mr *mr = &nic_of(pd->context)->mr;

    *mr = (struct ibv_mr){.context = pd->context, .addr = addr, .length = bytes, .lkey = 77};
    return access == IBV_ACCESS_LOCAL_WRITE ? mr : NULL;
}

static int dereg_mr(struct ibv_mr *mr)
{
    return 0;
}

static struct ibv_comp_channel *create_comp_channel(struct ibv_context *context)
{
    struct nic *nic = nic_of(context);

    nic->channel = (struct ibv_comp_channel){.context = context, .fd = queue_wait_fd(nic->queue)};
    return &nic->channel;
}

static int destroy_comp_channel(struct ibv_comp_channel *channel)
{
    return 0;
}

static struct ibv_cq *create_cq(struct ibv_context *context, int entries, void *cookie,
                                struct ibv_comp_channel *channel, int vector)
{
    struct nic *nic = nic_of(context);
    struct ibv_cq *cq = nic->cqs++ ? &nic->tx_cq : &nic->rx_cq;

    *cq = (struct ibv_cq){.context = context, .channel = channel, .cqe = entries};
    return cq;
}

static int destroy_cq(struct ibv_cq *cq)
{
    return 0;
}

static struct ibv_qp *create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
    struct nic *nic = nic_of(pd->context);

    if (attr->qp_type != IBV_QPT_RAW_PACKET || attr->recv_cq != &nic->rx_cq ||
        attr->send_cq != &nic->tx_cq || attr->cap.max_recv_wr > RING) {
        errno = EINVAL;
        return NULL;
    }
    nic->posted_max = attr->cap.max_recv_wr;
    nic->qp = (struct ibv_qp){.context = pd->context, .pd = pd, .qp_type = attr->qp_type};
    return &nic->qp;
}

// RESET, INIT, RTR, RTS, in this order only.
static int modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
    struct nic *nic = nic_of(qp->context);

    if (!(mask & IBV_QP_STATE) || attr->qp_state != nic->state + 1 ||
        (attr->qp_state == IBV_QPS_INIT && (!(mask & IBV_QP_PORT) || attr->port_num != 1)))
        return EINVAL;
    nic->state = attr->qp_state;
    return 0;
}

static int destroy_qp(struct ibv_qp *qp)
{
    return 0;
}

// ---- rules ----

static struct in6_addr mapped(uint32_t v4)
{
    struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    memcpy(&address.s6_addr[12], &v4, sizeof(v4));
    return address;
}

static bool read_v4(const struct ibv_flow_spec_ipv4 *ip, struct queue_flow *flow)
{
    flow->local = mapped(ip->val.dst_ip & ip->mask.dst_ip);
    if (ip->mask.src_ip)
        flow->remote = mapped(ip->val.src_ip & ip->mask.src_ip);
    return ip->type == IBV_FLOW_SPEC_IPV4 && ip->size == sizeof(*ip);
}

static bool read_v6(const struct ibv_flow_spec_ipv6 *ip, struct queue_flow *flow)
{
    if (ip->mask.dst_ip[15])
        memcpy(&flow->local, ip->val.dst_ip, 16);
    if (ip->mask.src_ip[15])
        memcpy(&flow->remote, ip->val.src_ip, 16);
    return ip->type == IBV_FLOW_SPEC_IPV6 && ip->size == sizeof(*ip);
}

static bool read_tcp(const struct ibv_flow_spec_tcp_udp *tcp, struct queue_flow *flow)
{
    flow->local_port = tcp->val.dst_port & tcp->mask.dst_port;
    flow->remote_port = tcp->val.src_port & tcp->mask.src_port;
    return tcp->type == IBV_FLOW_SPEC_TCP && tcp->size == sizeof(*tcp) &&
           tcp->mask.dst_port == 0xffff;
}

// The three specifications that follow the head, each as long as it says.
static bool read_rule(const struct ibv_flow_attr *attr, struct queue_flow *flow)
{
    const uint8_t *at = (const uint8_t *)(attr + 1), *end = (const uint8_t *)attr + attr->size;
    struct ibv_flow_spec_eth ether;
    struct ibv_flow_spec_ipv4 v4;
    struct ibv_flow_spec_ipv6 v6;
    struct ibv_flow_spec_tcp_udp tcp;
    bool good, is_v4;

    memcpy(&ether, at, sizeof(ether));
    is_v4 = ether.val.ether_type == htons(0x0800);
    memcpy(&v4, at + ether.size, sizeof(v4));
    memcpy(&v6, at + ether.size, sizeof(v6));
    good = is_v4 ? read_v4(&v4, flow) : read_v6(&v6, flow);
    at += ether.size + (is_v4 ? v4.size : v6.size);
    memcpy(&tcp, at, sizeof(tcp));
    good = good && read_tcp(&tcp, flow) && at + tcp.size == end;
    return good && attr->type == IBV_FLOW_ATTR_NORMAL && attr->num_of_specs == 3 &&
           attr->port == 1 && ether.type == IBV_FLOW_SPEC_ETH && ether.size == sizeof(ether) &&
           ether.mask.ether_type == 0xffff && (attr->priority == 0) == (flow->remote_port != 0);
}

static struct ibv_flow *create_flow(struct ibv_qp *qp, struct ibv_flow_attr *attr)
{
    struct rule *rule = calloc(1, sizeof(*rule));
    int err;

    rule->nic = nic_of(qp->context);
    err = read_rule(attr, &rule->flow) ? queue_flow_add(rule->nic->owner, &rule->flow) : -EINVAL;
    if (!err)
        return &rule->handle;
    free(rule);
    errno = -err;
    return NULL;
}

static int destroy_flow(struct ibv_flow *flow)
{
    struct rule *rule = (struct rule *)(void *)flow;
    int err = queue_flow_del(rule->nic->owner, &rule->flow);

    free(rule);
    return -err;
}

// ---- work ----

static bool is_ours(const struct nic *nic, const struct ibv_sge *sge)
{
    uintptr_t from = (uintptr_t)nic->mr.addr;

    return sge->lkey == nic->mr.lkey && sge->addr >= from &&
           sge->addr + sge->length <= from + nic->mr.length;
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    struct nic *nic = nic_of(qp->context);

    for (; wr; wr = wr->next) {
        *bad = wr;
        if (nic->state < IBV_QPS_INIT || wr->num_sge != 1 || !is_ours(nic, wr->sg_list))
            return EINVAL;
        if (nic->posted_end - nic->posted_from == nic->posted_max)
            return ENOMEM;
        nic->posted[nic->posted_end++ % RING] = (struct posted){
            wr->wr_id, (uint8_t *)(uintptr_t)wr->sg_list->addr, wr->sg_list->length};
    }
    return 0;
}

// Where TCP's head begins.
static uint16_t tcp_at(const uint8_t *frame)
{
    return frame[12] == 0x86 ? 54 : (uint16_t)(14 + (frame[14] & 15) * 4);
}

static void send_one(struct nic *nic, const struct ibv_send_wr *wr)
{
    uint8_t *frame = (uint8_t *)(uintptr_t)wr->sg_list->addr;
    uint32_t bytes = wr->sg_list->length, head = bytes < 54 ? bytes : tcp_at(frame) + 20u;
    struct iovec payload = {frame + head, bytes - head};
    struct queue_out out = {
        .head = frame, .head_bytes = (uint16_t)head, .payload = &payload, .payload_count = 1};

    if (wr->send_flags & IBV_SEND_IP_CSUM) {
        out.csum_start = tcp_at(frame);
        out.csum_offset = 16;
    }
    queue_tx(nic->queue, &out, 0);
    if (wr->send_flags & IBV_SEND_SIGNALED)
        nic->sent[nic->sent_end++ % RING] = wr->wr_id;
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    struct nic *nic = nic_of(qp->context);

    for (; wr; wr = wr->next) {
        *bad = wr;
        if (nic->state != IBV_QPS_RTS || wr->opcode != IBV_WR_SEND || wr->num_sge != 1 ||
            !is_ours(nic, wr->sg_list))
            return EINVAL;
        send_one(nic, wr);
    }
    queue_kick(nic->queue, 0); // a NIC says nothing of a link that is down
    return 0;
}

// As the wire would have had it.
static void finish(const struct queue_frame *frame, uint8_t *data)
{
    uint32_t head = tcp_at(data) + 20u;
    struct iovec payload = {data + head, frame->len_bytes - head};
    struct queue_out out = {.head_bytes = (uint16_t)head,
                            .payload = &payload,
                            .payload_count = 1,
                            .csum_start = tcp_at(data),
                            .csum_offset = 16};

    csum_finish(&out, data);
}

static void receive_one(struct nic *nic, const struct queue_frame *frame, struct ibv_wc *wc)
{
    const struct posted *slot = &nic->posted[nic->posted_from++ % RING];

    *wc = (struct ibv_wc){.wr_id = slot->id, .byte_len = frame->len_bytes};
    if (frame->len_bytes > slot->bytes) {
        wc->status = IBV_WC_LOC_LEN_ERR;
        return;
    }
    queue_frame_copy(nic->queue, frame, 0, slot->data, frame->len_bytes);
    if (frame->flags & QUEUE_CSUM_UNFINISHED)
        finish(frame, slot->data);
    if (frame->flags)
        wc->wc_flags = IBV_WC_IP_CSUM_OK;
}

static int poll_received(struct nic *nic, int entries, struct ibv_wc *wc)
{
    struct queue_frame frame;
    int n = 0;

    while (n < entries && nic->posted_from != nic->posted_end &&
           queue_rx(nic->queue, &frame, 1, 0) == 1) {
        receive_one(nic, &frame, &wc[n++]);
        queue_release(nic->queue, 1);
    }
    return n;
}

static int poll_cq(struct ibv_cq *cq, int entries, struct ibv_wc *wc)
{
    struct nic *nic = nic_of(cq->context);
    int n = 0;

    if (cq == &nic->rx_cq)
        return poll_received(nic, entries, wc);
    for (; n < entries && nic->sent_from != nic->sent_end; n++)
        wc[n] = (struct ibv_wc){.wr_id = nic->sent[nic->sent_from++ % RING]};
    return n;
}

static int req_notify_cq(struct ibv_cq *cq, int solicited_only)
{
    return -queue_arm(nic_of(cq->context)->queue);
}

static int get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **cookie)
{
    errno = EAGAIN; // the socket's own state is what wakes
    return -1;
}

static void ack_cq_events(struct ibv_cq *cq, unsigned n)
{
}

const struct verbs_calls verbs_double = {
    .open = open_nic,
    .has_csum = has_csum,
    .close = close_nic,
    .alloc_pd = alloc_pd,
    .dealloc_pd = dealloc_pd,
    .reg_mr = reg_mr,
    .dereg_mr = dereg_mr,
    .create_comp_channel = create_comp_channel,
    .destroy_comp_channel = destroy_comp_channel,
    .create_cq = create_cq,
    .destroy_cq = destroy_cq,
    .create_qp = create_qp,
    .modify_qp = modify_qp,
    .destroy_qp = destroy_qp,
    .create_flow = create_flow,
    .destroy_flow = destroy_flow,
    .post_recv = post_recv,
    .post_send = post_send,
    .poll_cq = poll_cq,
    .req_notify_cq = req_notify_cq,
    .get_cq_event = get_cq_event,
    .ack_cq_events = ack_cq_events,
};
