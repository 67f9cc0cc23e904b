// SPDX-License-Identifier: BSD-2-Clause
// Asks the kernel for the peer's socket on this host.
#include "base/sockdiag.h"
#include "base/sys.h"
#include "sock/conn.h"

#include <netinet/in.h>
#include <string.h>

static void fill_address(__be32 to[4], __be16 *port, const union cm_addr *from)
{
    if (from->sa.sa_family == AF_INET6) {
        memcpy(to, &from->in6.sin6_addr, 16);
        *port = from->in6.sin6_port;
    } else {
        to[0] = from->in.sin_addr.s_addr;
        *port = from->in.sin_port;
    }
}

static int addresses(int fd, union cm_addr *local, union cm_addr *remote)
{
    socklen_t n = sizeof *local, m = sizeof *remote;
    int err = (int)sys_call(SYS_getsockname, fd, local, &n);

    return err ? err : (int)sys_call(SYS_getpeername, fd, remote, &m);
}

// 0, and *held: a process has the socket whose own address is from. Else as sockdiag_ask().
static int ask(int netlink, const union cm_addr *from, const union cm_addr *to, bool *held)
{
    struct inet_diag_req_v2 req;
    struct inet_diag_msg found;
    int err;

    sockdiag_request(&req, from->sa.sa_family, SOCKDIAG_ANY);
    fill_address(req.id.idiag_src, &req.id.idiag_sport, from);
    fill_address(req.id.idiag_dst, &req.id.idiag_dport, to);
    err = sockdiag_ask(netlink, &req, &found);
    *held = !err && found.idiag_inode;
    return err;
}

// A kernel without tcp_diag has -ENOENT for every socket: so also for ours.
bool conn_peer_gone(int fd)
{
    union cm_addr local = {0}, remote = {0};
    int netlink = sockdiag_open(), err;
    bool held = true;

    if (netlink < 0)
        return false;
    err = addresses(fd, &local, &remote);
    if (!err)
        err = ask(netlink, &remote, &local, &held);
    if (err == -ENOENT)
        err = ask(netlink, &local, &remote, &(bool){false});
    sys_close(netlink);
    return !err && !held;
}
