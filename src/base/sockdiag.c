// SPDX-License-Identifier: BSD-2-Clause
#include "base/sockdiag.h"

#include "base/sys.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>

int sockdiag_open(void)
{
    return (int)sys_call(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                         NETLINK_SOCK_DIAG);
}

void sockdiag_request(struct inet_diag_req_v2 *req, int family, uint64_t cookie)
{
    *req = (struct inet_diag_req_v2){
        .sdiag_family = (uint8_t)family,
        .sdiag_protocol = IPPROTO_TCP,
        .idiag_states = UINT32_MAX,
        .id.idiag_cookie = {(uint32_t)cookie, (uint32_t)(cookie >> 32)},
    };
}

static int send_request(int netlink, const struct inet_diag_req_v2 *req)
{
    struct {
        struct nlmsghdr hdr;
        struct inet_diag_req_v2 req;
    } msg = {{sizeof msg, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0}, *req};
    long n = sys_write(netlink, &msg, sizeof msg);

    return n < 0 ? (int)n : n == sizeof msg ? 0 : -EMSGSIZE;
}

static int receive(int netlink, struct inet_diag_msg *found)
{
    union {
        struct nlmsghdr hdr;
        char bytes[1024];
    } msg;
    const struct nlmsgerr *err = NLMSG_DATA(&msg.hdr);
    long n = sys_read(netlink, &msg, sizeof msg);

    if (n < 0)
        return (int)n;
    if (n >= (long)NLMSG_SPACE(sizeof *err) && msg.hdr.nlmsg_type == NLMSG_ERROR)
        return err->error < 0 ? err->error : -EBADMSG;
    if (n < (long)NLMSG_SPACE(sizeof *found) || msg.hdr.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return -EBADMSG;
    memcpy(found, NLMSG_DATA(&msg.hdr), sizeof *found);
    return 0;
}

int sockdiag_ask(int netlink, const struct inet_diag_req_v2 *req, struct inet_diag_msg *found)
{
    int err = send_request(netlink, req);

    if (!err)
        err = receive(netlink, found);
    if (!err && found->id.idiag_dport != req->id.idiag_dport)
        err = -ENOENT; // it is a listener
    return err;
}
