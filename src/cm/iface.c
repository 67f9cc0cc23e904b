// SPDX-License-Identifier: BSD-2-Clause
#include "cm/iface.h"

#include "base/sys.h"
#include "base/util.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// the kernel's macros step from one aligned header to the next, but through a char *
#pragma GCC diagnostic ignored "-Wcast-align"

// An address without its port; IPv4 mapped into IPv6 is IPv4.
struct host {
    uint8_t family, len;
    uint8_t bytes[16];
};

static void host_init(struct host *host, const struct sockaddr *addr)
{
    const struct sockaddr_in6 *in6 = (const void *)addr;
    const struct sockaddr_in *in = (const void *)addr;
    bool v4 = addr->sa_family == AF_INET, mapped = !v4 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

    *host = (struct host){v4 || mapped ? AF_INET : AF_INET6, v4 || mapped ? 4 : 16, {0}};
    if (v4)
        memcpy(host->bytes, &in->sin_addr, 4);
    else
        memcpy(host->bytes, in6->sin6_addr.s6_addr + (mapped ? 12 : 0), host->len);
}

// Whether an address that an interface has with this length of prefix makes host local: only its
// own, but on the loopback all of its network.
static bool holds(const struct host *host, const uint8_t *held, unsigned prefix)
{
    bool network = host->family == AF_INET && held[0] == 127 && prefix == 8;

    return !memcmp(host->bytes, held, network ? 1 : host->len);
}

// Whether message is an address that makes host local.
static bool matches(const struct host *host, struct nlmsghdr *message)
{
    const struct ifaddrmsg *ifa = NLMSG_DATA(message);
    int left = (int)IFA_PAYLOAD(message);
    const uint8_t *held = NULL;

    if (message->nlmsg_type != RTM_NEWADDR || ifa->ifa_family != host->family)
        return false;
    for (struct rtattr *a = IFA_RTA(ifa); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        // IFA_ADDRESS is the peer's on a point-to-point link, where IFA_LOCAL is there as well
        if (a->rta_type == IFA_LOCAL || (a->rta_type == IFA_ADDRESS && !held))
            held = RTA_DATA(a);
    }
    return held && holds(host, held, ifa->ifa_prefixlen);
}

static int ask(int sock, uint8_t family)
{
    struct {
        struct nlmsghdr head;
        struct ifaddrmsg ifa;
    } request = {
        .head = {.nlmsg_len = sizeof request,
                 .nlmsg_type = RTM_GETADDR,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .ifa = {.ifa_family = family},
    };
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    long n = sys_call(SYS_sendto, sock, &request, sizeof request, 0, &kernel, sizeof kernel);

    return n < 0 ? (int)n : 0;
}

// The index of the interface; -ENOENT; another error.
static int find(int sock, const struct host *host)
{
    alignas(struct nlmsghdr) char buffer[8192]; // the kernel fills no more at a time
    long n;

    for (;;) {
        n = sys_call(SYS_recvfrom, sock, buffer, sizeof buffer, 0, NULL, NULL);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        for (struct nlmsghdr *m = (void *)buffer; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
            if (m->nlmsg_type == NLMSG_DONE)
                return -ENOENT;
            if (m->nlmsg_type == NLMSG_ERROR)
                return ((struct nlmsgerr *)NLMSG_DATA(m))->error;
            if (matches(host, m))
                return (int)((struct ifaddrmsg *)NLMSG_DATA(m))->ifa_index;
        }
    }
}

int iface_of(const struct sockaddr *local, char name[static IFNAMSIZ])
{
    int sock = (int)sys_call(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct ifreq request = {0};
    struct host host;
    int index;

    if (sock < 0)
        return sock;
    host_init(&host, local);
    index = ask(sock, host.family);
    if (!index)
        index = find(sock, &host);
    if (index > 0) {
        request.ifr_ifindex = index;
        index = sys_ioctl(sock, SIOCGIFNAME, &request);
    }
    sys_close(sock);
    memcpy(name, request.ifr_name, IFNAMSIZ);
    return index;
}
