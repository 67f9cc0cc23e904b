// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/diag.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
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

struct request {
    struct nlmsghdr hdr;
    struct inet_diag_req_v2 req;
};

static int open_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
}

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

static void fill(struct request *rq, const struct proof *proof)
{
    const struct flow_end *mine = &proof->flow.end[proof->side];
    const struct flow_end *other = &proof->flow.end[!proof->side];
    struct inet_diag_sockid *id = &rq->req.id;
    bool v4 = is_mapped(mine->ip);

    *rq = (struct request){
        .hdr = {sizeof *rq, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0},
        .req = {.sdiag_family = v4 ? AF_INET : AF_INET6,
                .sdiag_protocol = IPPROTO_TCP,
                .idiag_states = UINT32_MAX},
    };
    id->idiag_sport = mine->port;
    id->idiag_dport = other->port;
    fill_address(id->idiag_src, mine, v4);
    fill_address(id->idiag_dst, other, v4);
    id->idiag_if = proof->bound_if > 0 ? (uint32_t)proof->bound_if : 0;
    id->idiag_cookie[0] = (uint32_t)proof->cookie;
    id->idiag_cookie[1] = (uint32_t)(proof->cookie >> 32);
}

union answer {
    struct nlmsghdr hdr;
    char bytes[1024];
};

// Asks for the socket of proof. DIAG_HELD: there is one, which *answer tells of. The kernel answers
// during the send.
static enum diag_answer request(int netlink, const struct proof *proof, union answer *answer)
{
    const struct nlmsgerr *err = NLMSG_DATA(&answer->hdr);
    struct request rq;
    ssize_t n;

    fill(&rq, proof);
    if (send(netlink, &rq, sizeof rq, 0) != sizeof rq)
        return DIAG_UNKNOWN;
    n = recv(netlink, answer, sizeof *answer, 0);
    if (n >= (ssize_t)NLMSG_SPACE(sizeof *err) && answer->hdr.nlmsg_type == NLMSG_ERROR)
        return err->error == -ENOENT || err->error == -ESTALE ? DIAG_GONE : DIAG_UNKNOWN;
    if (n < (ssize_t)NLMSG_SPACE(sizeof(struct inet_diag_msg)) ||
        answer->hdr.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return DIAG_UNKNOWN;
    return DIAG_HELD;
}

static enum diag_answer query(int netlink, const struct proof *proof, uint32_t *inode)
{
    union answer answer;
    const struct inet_diag_msg *msg = NLMSG_DATA(&answer.hdr);
    enum diag_answer found = request(netlink, proof, &answer);

    if (found != DIAG_HELD)
        return found;
    if (!msg->idiag_inode)
        return DIAG_GONE;
    *inode = msg->idiag_inode;
    return msg->idiag_state == TCP_ESTABLISHED ? DIAG_ESTABLISHED : DIAG_HELD;
}

// Without a cookie the kernel also finds a listener that the connection would have come to.
enum diag_answer diag_find(struct diag *diag, const struct flow *flow, int side)
{
    const struct proof any = {.cookie = UINT64_MAX, .flow = *flow, .side = side};
    int netlink = diag->works ? open_netlink() : -1;
    enum diag_answer found = DIAG_UNKNOWN;
    union answer answer;
    const struct inet_diag_msg *msg = NLMSG_DATA(&answer.hdr);

    if (netlink >= 0) {
        found = request(netlink, &any, &answer);
        close(netlink);
    }
    if (found == DIAG_HELD && msg->id.idiag_dport != flow->end[!side].port)
        return DIAG_GONE;
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
    int netlink = open_netlink();
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
        netlink = open_netlink();
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
    space->netlink = netns == diag->own_netns ? open_netlink() : open_elsewhere(sock);
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
