// SPDX-License-Identifier: BSD-2-Clause
// Asks the kernel of the peer's socket on this host (sock_diag(7)).
#include "base/sys.h"
#include "sock/conn.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>

struct request {
    struct nlmsghdr hdr;
    struct inet_diag_req_v2 req;
};

static void fill_address(__be32 *to, __be16 *port, const union cm_addr *from, bool v6)
{
    if (v6) {
        memcpy(to, &from->in6.sin6_addr, 16);
        *port = from->in6.sin6_port;
    } else {
        to[0] = from->in.sin_addr.s_addr;
        *port = from->in.sin_port;
    }
}

// The peer's socket is ours seen in a mirror.
static int fill(struct request *r, int fd)
{
    union cm_addr local = {0}, remote = {0};
    socklen_t n = sizeof local, m = sizeof remote;
    bool v6;
    int err = (int)sys_call(SYS_getsockname, fd, &local, &n);

    if (!err)
        err = (int)sys_call(SYS_getpeername, fd, &remote, &m);
    v6 = local.sa.sa_family == AF_INET6;
    memset(r, 0, sizeof *r);
    r->hdr.nlmsg_len = sizeof *r;
    r->hdr.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    r->hdr.nlmsg_flags = NLM_F_REQUEST;
    r->req.sdiag_family = v6 ? AF_INET6 : AF_INET;
    r->req.sdiag_protocol = IPPROTO_TCP;
    r->req.idiag_states = UINT32_MAX;
    r->req.id.idiag_cookie[0] = r->req.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    fill_address(r->req.id.idiag_src, &r->req.id.idiag_sport, &remote, v6);
    fill_address(r->req.id.idiag_dst, &r->req.id.idiag_dport, &local, v6);
    return err;
}

// No such socket, or one that no file holds any more.
static bool says_gone(const char *reply, long n)
{
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)reply;
    const struct inet_diag_msg *msg = NLMSG_DATA(h);
    const struct nlmsgerr *e = NLMSG_DATA(h);

    if (n >= (long)(NLMSG_HDRLEN + sizeof *e) && h->nlmsg_type == NLMSG_ERROR)
        return e->error == -ENOENT;
    return n >= (long)(NLMSG_HDRLEN + sizeof *msg) && h->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
           msg->idiag_inode == 0;
}

bool conn_peer_gone(int fd)
{
    alignas(8) char reply[1024];
    struct request r;
    bool gone = false;
    int nl = (int)sys_call(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    if (nl < 0)
        return false;
    if (!fill(&r, fd) && sys_write(nl, &r, sizeof r) == sizeof r)
        gone =
            says_gone(reply, sys_call(SYS_recvfrom, nl, reply, sizeof reply, MSG_DONTWAIT, 0, 0));
    sys_close(nl);
    return gone;
}
