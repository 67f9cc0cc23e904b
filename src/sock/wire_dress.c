// SPDX-License-Identifier: BSD-2-Clause
// What an accepted connection on Shunt's own TCP inherits from its listener (tcp(7), socket(7)).
#include "base/sys.h"
#include "base/util.h"
#include "sock/info.h"
#include "sock/move.h"
#include "sock/wire.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

#define VALUE_BYTES 32
#define LIMIT_LEAST 2048 // as little as the kernel allows

static const struct inherited {
    int level, name;
    bool doubled; // the kernel tells twice what was set
} inherited[] = {
    {SOL_SOCKET, SO_RCVBUF, true},
    {SOL_SOCKET, SO_SNDBUF, true},
    {SOL_SOCKET, SO_KEEPALIVE, false},
    {SOL_SOCKET, SO_LINGER, false},
    {SOL_SOCKET, SO_OOBINLINE, false},
    {SOL_SOCKET, SO_PRIORITY, false},
    {SOL_SOCKET, SO_RCVLOWAT, false},
    {SOL_SOCKET, SO_RCVTIMEO, false},
    {SOL_SOCKET, SO_SNDTIMEO, false},
    {IPPROTO_TCP, TCP_NODELAY, false},
    {IPPROTO_TCP, TCP_CORK, false},
    {IPPROTO_TCP, TCP_KEEPIDLE, false},
    {IPPROTO_TCP, TCP_KEEPINTVL, false},
    {IPPROTO_TCP, TCP_KEEPCNT, false},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, false},
    {IPPROTO_TCP, TCP_SYNCNT, false},
    {IPPROTO_TCP, TCP_LINGER2, false},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, false},
    {IPPROTO_TCP, TCP_CONGESTION, false},
    {IPPROTO_IP, IP_TOS, false},
    {IPPROTO_IP, IP_TTL, false},
    {IPPROTO_IPV6, IPV6_TCLASS, false},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, false},
};

struct value {
    char bytes[VALUE_BYTES];
    socklen_t n; // 0: there is none
};

static void get(int sock, const struct inherited *o, struct value *v)
{
    *v = (struct value){.n = sizeof v->bytes};
    if (sys_getsockopt(sock, o->level, o->name, v->bytes, &v->n))
        v->n = 0;
}

static bool same(const struct value *a, const struct value *b)
{
    return a->n == b->n && !memcmp(a->bytes, b->bytes, a->n);
}

static int domain_of(int sock)
{
    int domain = AF_INET;
    socklen_t n = sizeof domain;

    sys_getsockopt(sock, SOL_SOCKET, SO_DOMAIN, &domain, &n);
    return domain;
}

bool wire_is_dressed(int sock)
{
    int plain = (int)sys_call(SYS_socket, domain_of(sock), SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    bool differs = false;

    for (size_t i = 0; plain >= 0 && i < ARRAY_LEN(inherited) && !differs; i++) {
        struct value a, b;

        get(plain, &inherited[i], &a);
        get(sock, &inherited[i], &b);
        differs = !same(&a, &b);
    }
    if (plain >= 0)
        sys_close(plain);
    return differs;
}

static void halve(struct value *v)
{
    int n;

    memcpy(&n, v->bytes, sizeof n);
    n /= 2;
    memcpy(v->bytes, &n, sizeof n);
}

// The kernel tells twice what was set, for its overhead, of which a ring has none.
void wire_limit(struct conn *c, int sock)
{
    int bytes = 0;
    socklen_t n = sizeof bytes;

    if (!sys_getsockopt(sock, SOL_SOCKET, SO_SNDBUF, &bytes, &n) && bytes > 0)
        c->end->tx_limit = (uint32_t)MAX(bytes / 2, LIMIT_LEAST);
}

void wire_dress(struct conn *c, int fd, int listener)
{
    int shadow = wire_shadow(c);

    for (size_t i = 0; shadow >= 0 && i < ARRAY_LEN(inherited); i++) {
        const struct inherited *o = &inherited[i];
        struct value now, want;

        get(shadow, o, &now);
        get(listener, o, &want);
        if (!want.n || same(&now, &want))
            continue;
        if (o->doubled)
            halve(&want);
        sys_setsockopt(shadow, o->level, o->name, want.bytes, want.n);
        wire_tell(c, o->level, o->name);
        if (o->name == SO_SNDBUF && o->level == SOL_SOCKET)
            wire_limit(c, shadow);
    }
    if (shadow < 0)
        return;
    opts_mirror(c->end, shadow);
    wire_note_linger(c, fd);
}
