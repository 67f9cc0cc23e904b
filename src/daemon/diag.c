// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/diag.h"

#include "base/sockdiag.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct space {
    struct list link;
    uint64_t netns;
    uint32_t refs;
    int netlink; // -1: cannot ask
};

void diag_fini(struct diag *diag)
{
    list_for_each_safe (it, &diag->spaces) {
        struct space *space = list_entry(it, struct space, link);

        if (space->netlink >= 0)
            close(space->netlink);
        free(space);
    }
    list_init(&diag->spaces);
}

static bool is_mapped(const uint8_t ip[16])
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

    return !memcmp(ip, prefix, sizeof prefix);
}

static void fill_address(uint32_t out[4], const struct flow_end *end, bool v4)
{
    memcpy(out, v4 ? end->ip + 12 : end->ip, v4 ? 4 : 16);
}

static void fill(struct inet_diag_req_v2 *req, const struct proof *proof)
{
    const struct flow_end *mine = &proof->flow.end[proof->side];
    const struct flow_end *other = &proof->flow.end[!proof->side];
    struct inet_diag_sockid *id = &req->id;
    bool v4 = is_mapped(mine->ip);

    sockdiag_request(req, v4 ? AF_INET : AF_INET6, proof->cookie);
    id->idiag_sport = mine->port;
    id->idiag_dport = other->port;
    fill_address(id->idiag_src, mine, v4);
    fill_address(id->idiag_dst, other, v4);
    id->idiag_if = proof->bound_if > 0 ? (uint32_t)proof->bound_if : 0;
}

// Asks for the socket of proof. DIAG_HELD: there is one, which *found tells of.
static enum diag_answer request(int netlink, const struct proof *proof, struct inet_diag_msg *found)
{
    struct inet_diag_req_v2 req;
    int err;

    fill(&req, proof);
    err = sockdiag_ask(netlink, &req, found);
    if (err)
        return err == -ENOENT || err == -ESTALE ? DIAG_GONE : DIAG_UNKNOWN;
    return DIAG_HELD;
}

static enum diag_answer query(int netlink, const struct proof *proof, uint32_t *inode)
{
    struct inet_diag_msg msg;
    enum diag_answer found = request(netlink, proof, &msg);

    if (found != DIAG_HELD)
        return found;
    if (!msg.idiag_inode)
        return DIAG_GONE;
    *inode = msg.idiag_inode;
    return msg.idiag_state == TCP_ESTABLISHED ? DIAG_ESTABLISHED : DIAG_HELD;
}

enum diag_answer diag_find(struct diag *diag, const struct flow *flow, int side)
{
    const struct proof any = {.cookie = SOCKDIAG_ANY, .flow = *flow, .side = side};
    int netlink = diag->works ? sockdiag_open() : -1;
    enum diag_answer found = DIAG_UNKNOWN;
    struct inet_diag_msg msg;

    if (netlink >= 0) {
        found = request(netlink, &any, &msg);
        close(netlink);
    }
    return found;
}

// A kernel without tcp_diag says ENOENT to everything: so also of a socket that there is.
static bool try_out(int netlink)
{
    const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    union cm_addr local = {.in = {.sin_family = AF_INET}}, remote = local;
    socklen_t len = sizeof local, cookie_len = sizeof(uint64_t);
    struct proof proof = {0};
    int sock = socket(AF_INET, type, 0);
    uint32_t inode;
    bool works;

    local.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    works = sock >= 0 && !bind(sock, &local.sa, len) && !listen(sock, 0) &&
            !getsockname(sock, &local.sa, &len) &&
            !getsockopt(sock, SOL_SOCKET, SO_COOKIE, &proof.cookie, &cookie_len) &&
            !proof_add_flow(&proof, &local, &remote) && query(netlink, &proof, &inode) == DIAG_HELD;
    if (sock >= 0)
        close(sock);
    return works;
}

void diag_init(struct diag *diag)
{
    int netlink = sockdiag_open();
    socklen_t len = sizeof diag->own_netns;

    *diag = (struct diag){.own_netns = 0};
    list_init(&diag->spaces);
    if (netlink < 0)
        return;
    getsockopt(netlink, SOL_SOCKET, SO_NETNS_COOKIE, &diag->own_netns, &len);
    diag->works = try_out(netlink);
    close(netlink);
}

// Opens a netlink socket in the namespace of sock, which takes CAP_NET_ADMIN there.
static int open_elsewhere(int sock)
{
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = here < 0 ? -1 : ioctl(sock, SIOCGSKNS);
    int netlink = -1;

    if (there >= 0 && !setns(there, CLONE_NEWNET)) {
        netlink = sockdiag_open();
        if (setns(here, CLONE_NEWNET))
            abort(); // in a stranger's namespace for good
    }
    if (there >= 0)
        close(there);
    if (here >= 0)
        close(here);
    return netlink;
}

static struct space *find(const struct diag *diag, uint64_t netns)
{
    list_for_each (it, &diag->spaces)
        if (list_entry(it, struct space, link)->netns == netns)
            return list_entry(it, struct space, link);
    return NULL;
}

void diag_learn(struct diag *diag, int sock, uint64_t netns)
{
    struct space *space = find(diag, netns);

    if (space) {
        space->refs++;
        return;
    }
    space = calloc(1, sizeof *space);
    if (!space)
        return;
    space->netns = netns;
    space->refs = 1;
    space->netlink = netns == diag->own_netns ? sockdiag_open() : open_elsewhere(sock);
    list_add_tail(&diag->spaces, &space->link);
}

void diag_forget(struct diag *diag, uint64_t netns)
{
    struct space *space = find(diag, netns);

    if (!space || --space->refs)
        return;
    if (space->netlink >= 0)
        close(space->netlink);
    list_del(&space->link);
    free(space);
}

enum diag_answer diag_ask_inode(struct diag *diag, const struct proof *proof, uint32_t *inode)
{
    const struct space *space = find(diag, proof->flow.netns);

    return diag->works && space && space->netlink >= 0 ? query(space->netlink, proof, inode)
                                                       : DIAG_UNKNOWN;
}

enum diag_answer diag_ask(struct diag *diag, const struct proof *proof)
{
    uint32_t inode;

    return diag_ask_inode(diag, proof, &inode);
}
