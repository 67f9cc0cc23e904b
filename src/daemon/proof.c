// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/proof.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

static int option(int sock, int name)
{
    int val = -1;
    socklen_t len = sizeof val;

    return getsockopt(sock, SOL_SOCKET, name, &val, &len) ? -errno : val;
}

static uint64_t cookie_option(int sock, int name)
{
    uint64_t val = 0;
    socklen_t len = sizeof val;

    return getsockopt(sock, SOL_SOCKET, name, &val, &len) ? 0 : val;
}

static int tcp_state(int sock)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info.tcpi_state;

    return getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &len) ? -errno : info.tcpi_state;
}

static void normalise(const union cm_addr *a, struct flow_end *end)
{
    memset(end, 0, sizeof *end);
    end->port = a->in.sin_port;
    if (a->sa.sa_family == AF_INET) {
        end->ip[10] = end->ip[11] = 0xff;
        memcpy(end->ip + 12, &a->in.sin_addr, 4);
    } else {
        memcpy(end->ip, &a->in6.sin6_addr, sizeof end->ip);
        if (IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr))
            end->scope = a->in6.sin6_scope_id;
    }
}

void proof_address(const struct flow_end *end, union cm_addr *out)
{
    memset(out, 0, sizeof *out);
    if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)end->ip)) {
        out->in.sin_family = AF_INET;
        memcpy(&out->in.sin_addr, end->ip + 12, 4);
    } else {
        out->in6.sin6_family = AF_INET6;
        memcpy(&out->in6.sin6_addr, end->ip, sizeof end->ip);
        out->in6.sin6_scope_id = end->scope;
    }
    out->in.sin_port = end->port;
}

static bool is_ip(const union cm_addr *addr)
{
    return addr->sa.sa_family == AF_INET || addr->sa.sa_family == AF_INET6;
}

const char *proof_add_flow(struct proof *proof, const union cm_addr *local,
                           const union cm_addr *remote)
{
    struct flow_end mine, other;
    int order;

    if (!is_ip(local) || !is_ip(remote))
        return "the claim has no addresses";
    normalise(local, &mine);
    normalise(remote, &other);
    order = memcmp(&mine, &other, sizeof mine);
    if (order == 0)
        return "the socket is connected to itself";
    proof->side = order > 0;
    proof->flow.end[proof->side] = mine;
    proof->flow.end[!proof->side] = other;
    return NULL;
}

bool proof_can_look(pid_t pid)
{
    char path[64];
    struct stat mine, theirs;
    int dir;

    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    if (stat("/proc/self/ns/net", &mine) || stat(path, &theirs) || mine.st_ino != theirs.st_ino)
        return false;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0)
        close(dir);
    return dir >= 0;
}

uint32_t proof_inode(pid_t pid, int fd)
{
    char path[64], link[64];
    uint32_t inode = 0;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
    n = readlink(path, link, sizeof link - 1);
    if (n < 0)
        return 0;
    link[n] = 0;
    return sscanf(link, "socket:[%" SCNu32 "]", &inode) == 1 ? inode : 0;
}

static bool is_tcp(int sock)
{
    int domain = option(sock, SO_DOMAIN);

    return (domain == AF_INET || domain == AF_INET6) && option(sock, SO_TYPE) == SOCK_STREAM &&
           option(sock, SO_PROTOCOL) == IPPROTO_TCP;
}

const char *proof_of_socket(int sock, uint64_t cookie, struct proof *proof)
{
    memset(proof, 0, sizeof *proof);
    if (!is_tcp(sock))
        return "what was passed is no TCP socket";
    proof->cookie = cookie_option(sock, SO_COOKIE);
    if (!cookie || proof->cookie != cookie)
        return "the socket has another cookie";
    proof->flow.netns = cookie_option(sock, SO_NETNS_COOKIE);
    if (!proof->flow.netns)
        return "this kernel does not tell network namespaces apart";
    proof->bound_if = option(sock, SO_BINDTOIFINDEX);
    return NULL;
}

const char *proof_check(int sock, const struct proof *proof)
{
    union cm_addr local, remote;
    socklen_t len = sizeof local, rlen = sizeof remote;
    struct proof true_proof = *proof;
    const char *reason;

    if (tcp_state(sock) != TCP_ESTABLISHED || getsockname(sock, &local.sa, &len) ||
        getpeername(sock, &remote.sa, &rlen))
        return "the connection is not established";
    reason = proof_add_flow(&true_proof, &local, &remote);
    if (reason)
        return reason;
    return memcmp(&true_proof.flow, &proof->flow, sizeof proof->flow) ||
                   true_proof.side != proof->side
               ? "the socket has other addresses"
               : NULL;
}
