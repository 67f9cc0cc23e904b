// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/icmp.h"

#include "base/util.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <stdalign.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/icmp.h> // after netinet/in.h, or that lacks in6_pktinfo

#define ROUND        32 // packets at once
#define PACKET_BYTES 2048

static void on_v4(struct watch *watch, uint32_t events)
{
    struct icmp *icmp = list_entry(watch, struct icmp, v4);
    uint8_t packet[PACKET_BYTES];
    ssize_t n = 0;

    for (int i = 0; i < ROUND && n >= 0; i++) {
        n = recv(watch->fd, packet, sizeof packet, MSG_DONTWAIT);
        if (n > 0)
            icmp->heard(icmp, packet, (uint32_t)n);
    }
}

// The kernel leaves the IPv6 header out; its addresses are told beside. Bytes of the whole, or -1.
static ssize_t receive_v6(int fd, uint8_t packet[PACKET_BYTES])
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct sockaddr_in6 from = {0};
    struct ip6_hdr *ip = (void *)packet;
    struct iovec iov = {ip + 1, PACKET_BYTES - sizeof *ip};
    struct msghdr msg = {.msg_name = &from,
                         .msg_namelen = sizeof from,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
    const struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    struct in6_pktinfo to;

    if (!h || h->cmsg_type != IPV6_PKTINFO)
        return n < 0 ? -1 : 0;
    memcpy(&to, CMSG_DATA(h), sizeof to);
    *ip = (struct ip6_hdr){.ip6_flow = htonl(UINT32_C(6) << 28),
                           .ip6_plen = htons((uint16_t)n),
                           .ip6_nxt = IPPROTO_ICMPV6,
                           .ip6_hlim = 64,
                           .ip6_src = from.sin6_addr,
                           .ip6_dst = to.ipi6_addr};
    return n + (ssize_t)sizeof *ip;
}

static void on_v6(struct watch *watch, uint32_t events)
{
    struct icmp *icmp = list_entry(watch, struct icmp, v6);
    alignas(8) uint8_t packet[PACKET_BYTES];
    ssize_t n = 0;

    for (int i = 0; i < ROUND && n >= 0; i++) {
        n = receive_v6(watch->fd, packet);
        if (n > 0)
            icmp->heard(icmp, packet, (uint32_t)n);
    }
}

// Errors only: the rest of ICMP, at any rate, does not wake us.
static int filter_v4(int fd)
{
    const struct icmp_filter errors = {~(UINT32_C(1) << ICMP_DEST_UNREACH |
                                         UINT32_C(1) << ICMP_TIME_EXCEEDED |
                                         UINT32_C(1) << ICMP_PARAMETERPROB)};

    return setsockopt(fd, SOL_RAW, ICMP_FILTER, &errors, sizeof errors);
}

static int filter_v6(int fd)
{
    struct icmp6_filter errors;
    const int on = 1;

    ICMP6_FILTER_SETBLOCKALL(&errors);
    for (int type = ICMP6_DST_UNREACH; type <= ICMP6_PARAM_PROB; type++)
        ICMP6_FILTER_SETPASS(type, &errors);
    return setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &errors, sizeof errors) ||
           setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
}

static int open_one(struct icmp *icmp, struct watch *watch, int family, int protocol,
                    int (*filter)(int fd))
{
    int err;

    if (watch->fd >= 0)
        return 0;
    watch->fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (watch->fd < 0)
        return -errno;
    err = filter(watch->fd) ? -errno : loop_add(icmp->loop, watch, EPOLLIN);
    if (!err)
        return 0;
    close(watch->fd);
    watch->fd = -1;
    return err;
}

void icmp_init(struct icmp *icmp, struct loop *loop,
               void (*heard)(struct icmp *icmp, const void *packet, uint32_t len))
{
    *icmp = (struct icmp){.loop = loop, .v4 = {-1, on_v4}, .v6 = {-1, on_v6}, .heard = heard};
}

int icmp_open(struct icmp *icmp)
{
    int v4 = open_one(icmp, &icmp->v4, AF_INET, IPPROTO_ICMP, filter_v4);
    int v6 = open_one(icmp, &icmp->v6, AF_INET6, IPPROTO_ICMPV6, filter_v6);

    return v4 ? v4 : v6;
}

void icmp_close(struct icmp *icmp)
{
    struct watch *all[] = {&icmp->v4, &icmp->v6};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i]->fd < 0)
            continue;
        loop_remove(icmp->loop, all[i]);
        close(all[i]->fd);
        all[i]->fd = -1;
    }
}
