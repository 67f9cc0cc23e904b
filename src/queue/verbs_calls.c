// SPDX-License-Identifier: BSD-2-Clause
// The verbs themselves. Some are macros or inline, and so have no address of their own.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "queue/verbs_raw.h"

// The network device of a port, as the kernel tells it; false: none.
static bool is_netdev_of(const char *device, unsigned port, const char *netdev)
{
    char path[300], name[64] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/sys/class/infiniband/%s/ports/%u/gid_attrs/ndevs/0", device,
             port);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (!fgets(name, sizeof(name), file))
        name[0] = 0;
    fclose(file);
    name[strcspn(name, "\n")] = 0;
    return !strcmp(name, netdev);
}

static int port_of(const char *device, const char *netdev)
{
    char path[300];
    struct dirent *entry;
    unsigned port = 0, number;
    DIR *dir;

    snprintf(path, sizeof(path), "/sys/class/infiniband/%s/ports", device);
    dir = opendir(path);
    while (dir && !port && (entry = readdir(dir)))
        if (sscanf(entry->d_name, "%u", &number) == 1 && is_netdev_of(device, number, netdev))
            port = number;
    if (dir)
        closedir(dir);
    return (int)port;
}

static int open_device(const char *netdev, struct ibv_context **context, uint8_t *port)
{
    struct ibv_device **list = ibv_get_device_list(NULL);
    int err = -ENODEV;

    for (int i = 0; list && list[i] && err == -ENODEV; i++) {
        *port = (uint8_t)port_of(ibv_get_device_name(list[i]), netdev);
        if (!*port)
            continue;
        *context = ibv_open_device(list[i]);
        err = *context ? 0 : errno ? -errno : -ENOMEM;
    }
    if (list)
        ibv_free_device_list(list);
    return err;
}

static bool has_csum(struct ibv_context *context)
{
    struct ibv_device_attr_ex attr;

    return !ibv_query_device_ex(context, NULL, &attr) &&
           attr.raw_packet_caps & IBV_RAW_PACKET_CAP_IP_CSUM;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *addr, size_t bytes, int access)
{
    return ibv_reg_mr(pd, addr, bytes, access);
}

static struct ibv_flow *create_flow(struct ibv_qp *qp, struct ibv_flow_attr *attr)
{
    return ibv_create_flow(qp, attr);
}

static int destroy_flow(struct ibv_flow *flow)
{
    return ibv_destroy_flow(flow);
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    return ibv_post_recv(qp, wr, bad);
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    return ibv_post_send(qp, wr, bad);
}

static int poll_cq(struct ibv_cq *cq, int entries, struct ibv_wc *wc)
{
    return ibv_poll_cq(cq, entries, wc);
}

static int req_notify_cq(struct ibv_cq *cq, int solicited_only)
{
    return ibv_req_notify_cq(cq, solicited_only);
}

static const struct verbs_calls libibverbs = {
    .open = open_device,
    .has_csum = has_csum,
    .close = ibv_close_device,
    .alloc_pd = ibv_alloc_pd,
    .dealloc_pd = ibv_dealloc_pd,
    .reg_mr = reg_mr,
    .dereg_mr = ibv_dereg_mr,
    .create_comp_channel = ibv_create_comp_channel,
    .destroy_comp_channel = ibv_destroy_comp_channel,
    .create_cq = ibv_create_cq,
    .destroy_cq = ibv_destroy_cq,
    .create_qp = ibv_create_qp,
    .modify_qp = ibv_modify_qp,
    .destroy_qp = ibv_destroy_qp,
    .create_flow = create_flow,
    .destroy_flow = destroy_flow,
    .post_recv = post_recv,
    .post_send = post_send,
    .poll_cq = poll_cq,
    .req_notify_cq = req_notify_cq,
    .get_cq_event = ibv_get_cq_event,
    .ack_cq_events = ibv_ack_cq_events,
};

const struct verbs_calls *verbs_raw_calls = &libibverbs;
