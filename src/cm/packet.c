// SPDX-License-Identifier: BSD-2-Clause
#include "cm/packet.h"

#include "base/clock.h"
#include "base/sys.h"
#include "base/util.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

union control {
    struct cmsghdr hdr;
    char space[CMSG_SPACE(sizeof(int) * PACKET_MAX_FDS)];
};

static void attach_fds(struct msghdr *mh, union control *c, const int *fds, int n_fds)
{
    size_t len = sizeof(int) * (size_t)n_fds;

    mh->msg_control = c;
    mh->msg_controllen = CMSG_SPACE(len);
    memset(c, 0, sizeof *c);
    c->hdr.cmsg_level = SOL_SOCKET;
    c->hdr.cmsg_type = SCM_RIGHTS;
    c->hdr.cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(&c->hdr), fds, len);
}

int packet_send_bytes(int sock, const uint8_t *bytes, size_t n_bytes, const int *fds, int n_fds)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, n_bytes};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    union control control;
    long ret;

    if (n_fds > PACKET_MAX_FDS)
        return -EMSGSIZE;
    if (n_fds)
        attach_fds(&mh, &control, fds, n_fds);
    do {
        ret = sys_call(SYS_sendmsg, sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (ret == -EINTR);
    return ret < 0 ? (int)ret : 0;
}

int packet_send(int sock, const Ctl__Envelope *msg, const int *fds, int n_fds)
{
    uint8_t bytes[PACKET_SENT_BYTES];
    size_t n = ctl__envelope__get_packed_size(msg);

    if (n > sizeof bytes)
        return -EMSGSIZE;
    ctl__envelope__pack(msg, bytes);
    return packet_send_bytes(sock, bytes, n, fds, n_fds);
}

static void *arena_alloc(void *data, size_t size)
{
    struct packet *p = data;
    size_t at = (p->arena_used + 15) & ~(size_t)15;

    if (size > sizeof p->arena || at > sizeof p->arena - size)
        return NULL;
    p->arena_used = at + size;
    return p->arena + at;
}

// Everything goes at once, with the next packet.
static void arena_free(void *data, void *at)
{
}

int packet_unpack(struct packet *p, size_t n_bytes)
{
    ProtobufCAllocator arena = {arena_alloc, arena_free, p};

    p->arena_used = 0;
    p->msg = ctl__envelope__unpack(&arena, n_bytes, p->bytes);
    return p->msg ? 0 : -EBADMSG;
}

static void note_fds(struct packet *p, struct msghdr *mh)
{
    p->fds_lost = mh->msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
        size_t len = c->cmsg_len - CMSG_LEN(0);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        len = MIN(len, sizeof(int) * (size_t)(PACKET_MAX_FDS - p->n_fds));
        memcpy(p->fds + p->n_fds, CMSG_DATA(c), len);
        p->n_fds += (int)(len / sizeof(int));
    }
}

int packet_recv(int sock, struct packet *p)
{
    struct iovec iov = {p->bytes, sizeof p->bytes};
    union control control;
    struct msghdr mh = {.msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof control};
    long n;

    p->n_fds = 0;
    do {
        n = sys_call(SYS_recvmsg, sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n == -EINTR);
    if (n < 0)
        return (int)n;
    note_fds(p, &mh);
    if (n == 0)
        return -EPIPE;
    return mh.msg_flags & MSG_TRUNC ? -EBADMSG : packet_unpack(p, (size_t)n);
}

int packet_wait(int sock, short events, uint64_t deadline_ns)
{
    struct pollfd pfd = {sock, events, 0};
    uint64_t now = clock_now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;
    struct timespec ts = {(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)};
    long n = sys_call(SYS_ppoll, &pfd, 1, deadline_ns == CLOCK_NEVER ? NULL : &ts, NULL, 8);

    return n == 0 && left == 0 ? -ETIMEDOUT : 0;
}

int packet_take(struct packet *p, int i)
{
    int fd = i < p->n_fds ? p->fds[i] : -1;

    if (fd >= 0)
        p->fds[i] = -1;
    return fd;
}

void packet_close_fds(struct packet *p)
{
    for (int i = 0; i < p->n_fds; i++)
        if (p->fds[i] >= 0)
            sys_close(p->fds[i]);
    p->n_fds = 0;
}

void packet_address(const union cm_addr *addr, Ctl__Address *out)
{
    ctl__address__init(out);
    out->port = ntohs(addr->in.sin_port);
    if (addr->sa.sa_family == AF_INET)
        out->ip = (ProtobufCBinaryData){4, (uint8_t *)(uintptr_t)&addr->in.sin_addr};
    else if (addr->sa.sa_family == AF_INET6)
        out->ip = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)&addr->in6.sin6_addr};
    out->scope = addr->sa.sa_family == AF_INET6 ? addr->in6.sin6_scope_id : 0;
}

void packet_read_address(const Ctl__Address *in, union cm_addr *out)
{
    memset(out, 0, sizeof *out);
    if (!in)
        return;
    if (in->ip.len == 4) {
        out->in.sin_family = AF_INET;
        memcpy(&out->in.sin_addr, in->ip.data, 4);
    } else if (in->ip.len == 16) {
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_scope_id = in->scope;
        memcpy(&out->in6.sin6_addr, in->ip.data, 16);
    }
    out->in.sin_port = htons((uint16_t)in->port);
}
