// SPDX-License-Identifier: BSD-2-Clause
#include "queue/device.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_ether.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// The netdev family (Linux 6.3, Documentation/netlink/specs/netdev.yaml); Debian 12's headers are
// older.
#define NETDEV_FAMILY            "netdev"
#define NETDEV_VERSION           1
#define NETDEV_DEV_GET           1
#define NETDEV_DEV_IFINDEX       1
#define NETDEV_DEV_XDP_FEATURES  3
#define NETDEV_FEATURE_ZERO_COPY (UINT64_C(1) << 3)

struct request {
    struct nlmsghdr nl;
    struct genlmsghdr genl;
    struct nlattr attr;
    char value[16];
};

static int device_ioctl(int fd, const char *name, unsigned long request, struct ifreq *ifr)
{
    snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
    return ioctl(fd, request, ifr) ? -errno : 0;
}

static void ask_driver(int fd, struct device *device)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq ifr = {.ifr_data = (void *)&info};

    snprintf(device->driver, sizeof(device->driver), "%s",
             device_ioctl(fd, device->name, SIOCETHTOOL, &ifr) ? "?" : info.driver);
}

// veth counts its queues under rx, most NICs under combined.
static void ask_queues(int fd, struct device *device)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq ifr = {.ifr_data = (void *)&channels};
    uint32_t n = 0;

    if (!device_ioctl(fd, device->name, SIOCETHTOOL, &ifr))
        n = channels.rx_count + channels.combined_count;
    device->rx_queues = n ? (uint16_t)n : 1;
}

// One generic netlink request with one attribute; the first message of the answer, its length or
// -errno.
static int ask_genl(int fd, struct request *r, size_t value_bytes, void *answer, size_t size)
{
    ssize_t n;

    r->attr.nla_len = (uint16_t)(NLA_HDRLEN + value_bytes);
    r->nl.nlmsg_len = (uint32_t)(NLMSG_LENGTH(GENL_HDRLEN) + NLA_ALIGN(r->attr.nla_len));
    r->nl.nlmsg_flags = NLM_F_REQUEST;
    if (send(fd, r, r->nl.nlmsg_len, 0) < 0)
        return -errno;
    n = recv(fd, answer, size, 0);
    if (n < (ssize_t)NLMSG_LENGTH(GENL_HDRLEN))
        return n < 0 ? -errno : -EPROTO;
    return ((struct nlmsghdr *)answer)->nlmsg_type == NLMSG_ERROR ? -ENOENT : (int)n;
}

// Copies attribute `type` of an answer of n bytes to value; false: it is not there.
static bool attribute(const char *answer, int n, int type, void *value, size_t bytes)
{
    for (int at = NLMSG_LENGTH(GENL_HDRLEN); at + NLA_HDRLEN <= n;) {
        struct nlattr attr;

        memcpy(&attr, answer + at, sizeof(attr));
        if (attr.nla_len < NLA_HDRLEN || at + attr.nla_len > n)
            return false;
        if ((attr.nla_type & NLA_TYPE_MASK) == type && attr.nla_len >= NLA_HDRLEN + bytes) {
            memcpy(value, answer + at + NLA_HDRLEN, bytes);
            return true;
        }
        at += NLA_ALIGN(attr.nla_len);
    }
    return false;
}

static uint64_t xdp_features(int fd, uint32_t ifindex)
{
    _Alignas(struct nlmsghdr) char answer[8192];
    struct request family = {.nl.nlmsg_type = GENL_ID_CTRL,
                             .genl = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
                             .attr.nla_type = CTRL_ATTR_FAMILY_NAME,
                             .value = NETDEV_FAMILY};
    struct request get = {.genl = {.cmd = NETDEV_DEV_GET, .version = NETDEV_VERSION},
                          .attr.nla_type = NETDEV_DEV_IFINDEX};
    uint64_t features = 0;
    int n = ask_genl(fd, &family, sizeof(NETDEV_FAMILY), answer, sizeof(answer));

    if (n < 0 || !attribute(answer, n, CTRL_ATTR_FAMILY_ID, &get.nl.nlmsg_type, 2))
        return 0;
    memcpy(get.value, &ifindex, sizeof(ifindex));
    n = ask_genl(fd, &get, sizeof(ifindex), answer, sizeof(answer));
    if (n > 0)
        attribute(answer, n, NETDEV_DEV_XDP_FEATURES, &features, sizeof(features));
    return features;
}

static void ask_zero_copy(struct device *device)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

    if (fd < 0)
        return;
    device->zero_copy = xdp_features(fd, device->ifindex) & NETDEV_FEATURE_ZERO_COPY;
    close(fd);
}

int device_find(struct device *device, const char *name)
{
    struct ifreq ifr = {0};
    int fd, err;

    *device = (struct device){.ifindex = if_nametoindex(name)};
    if (!device->ifindex || strlen(name) >= sizeof(device->name))
        return -ENODEV;
    strcpy(device->name, name);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    err = device_ioctl(fd, name, SIOCGIFMTU, &ifr);
    if (!err) {
        device->mtu_bytes = (uint32_t)ifr.ifr_mtu;
        ask_driver(fd, device);
        ask_queues(fd, device);
        ask_zero_copy(device);
    }
    close(fd);
    return err;
}

int device_lock(const char *purpose, uint32_t ifindex)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int n = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "shunt-%s-%u", purpose, ifindex);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&name, len)) {
        int err = errno == EADDRINUSE ? -EBUSY : -errno;

        close(fd);
        return err;
    }
    return fd;
}
