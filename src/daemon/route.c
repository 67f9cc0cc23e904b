// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/route.h"

#include "cm/iface.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool route_ip(const union cm_addr *addr, struct ip_addr *ip, uint16_t *port)
{
    *ip = (struct ip_addr){0};
    *port = 0;
    if (addr->sa.sa_family == AF_INET) {
        *ip = ip_addr_v4(addr->in.sin_addr.s_addr);
        *port = ntohs(addr->in.sin_port);
    } else if (addr->sa.sa_family == AF_INET6) {
        *ip = ip_addr_v6(&addr->in6.sin6_addr);
        *port = ntohs(addr->in6.sin6_port);
    } else {
        return false;
    }
    return true;
}

static void to_address(const struct ip_addr *ip, int family, union cm_addr *out)
{
    memset(out, 0, sizeof *out);
    out->sa.sa_family = (sa_family_t)family;
    if (family == AF_INET)
        out->in.sin_addr.s_addr = ip_addr_is_v4(ip) ? ip->w[3] : 0;
    else
        memcpy(&out->in6.sin6_addr, ip->b, 16);
}

// A UDP socket that connects sends nothing, and learns its address.
static bool source_of(const union cm_addr *remote, const struct ip_addr *local, union cm_addr *out)
{
    socklen_t n = sizeof *out;
    int sock = socket(remote->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found, any = ip_addr_is_any(local);

    if (sock < 0)
        return false;
    if (!any)
        to_address(local, remote->sa.sa_family, out);
    found = (any || !bind(sock, &out->sa, sizeof *out)) &&
            !connect(sock, &remote->sa, sizeof *remote) && !getsockname(sock, &out->sa, &n);
    close(sock);
    return found;
}

static bool same_ip(const union cm_addr *a, const union cm_addr *b)
{
    struct ip_addr x, y;
    uint16_t port;

    return route_ip(a, &x, &port) && route_ip(b, &y, &port) && ip_addr_equal(&x, &y);
}

const char *route_to(const union cm_addr *remote, struct ip_addr *local,
                     char interface[static IF_NAMESIZE])
{
    union cm_addr source = {0};
    uint16_t port;

    if (!source_of(remote, local, &source))
        return "there is no route to the peer";
    if (same_ip(&source, remote))
        return "the peer is on this host";
    if (iface_of(&source.sa, interface))
        return "no interface has the address that the kernel would connect from";
    if (!strcmp(interface, "lo"))
        return "the route leads over loopback";
    route_ip(&source, local, &port);
    return NULL;
}

static bool has_address(const struct ifaddrs *a, const struct ip_addr *local)
{
    struct ip_addr ip;
    uint16_t port;

    if (!a->ifa_addr || !(a->ifa_flags & IFF_UP) || (a->ifa_flags & IFF_LOOPBACK))
        return false;
    if (!route_ip((const union cm_addr *)(const void *)a->ifa_addr, &ip, &port))
        return false;
    if (ip_addr_is_any(local))
        return !ip_addr_is_v4(local) || ip_addr_is_v4(&ip);
    return ip_addr_equal(&ip, local);
}

static bool is_ethernet(const struct ifaddrs *all, const char *name)
{
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        const struct sockaddr_ll *ll = (const void *)a->ifa_addr;

        if (ll && ll->sll_family == AF_PACKET && !strcmp(a->ifa_name, name))
            return ll->sll_hatype == ARPHRD_ETHER;
    }
    return false;
}

// An interface with several addresses is in the list several times.
static bool is_first(const struct ifaddrs *all, const struct ifaddrs *at,
                     const struct ip_addr *local)
{
    for (const struct ifaddrs *a = all; a != at; a = a->ifa_next)
        if (!strcmp(a->ifa_name, at->ifa_name) && has_address(a, local))
            return false;
    return true;
}

void route_each_interface(const struct ip_addr *local, void (*see)(void *arg, const char *name),
                          void *arg)
{
    struct ifaddrs *all;

    if (getifaddrs(&all))
        return;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next)
        if (has_address(a, local) && is_ethernet(all, a->ifa_name) && is_first(all, a, local))
            see(arg, a->ifa_name);
    freeifaddrs(all);
}
