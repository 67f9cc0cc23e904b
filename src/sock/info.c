// SPDX-License-Identifier: BSD-2-Clause
#include "sock/info.h"

#include "base/addrtext.h"
#include "base/log.h"
#include "base/reach.h"
#include "base/sys.h"
#include "cm/counters.h"
#include "shunt/info.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <string.h>

static uint64_t load(_Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

// The kernel counts for itself, so that calls which went past us are counted, too.
static void carrier_bytes(int fd, struct shunt_info *info)
{
    struct tcp_info tcp = {0};
    socklen_t n = sizeof tcp;
    int unread = 0, unsent = 0;

    if (sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &tcp, &n) || sys_ioctl(fd, SIOCINQ, &unread) ||
        sys_ioctl(fd, SIOCOUTQNSD, &unsent))
        return;
    info->bytes_tx_lane[SHUNT_LANE_KERNEL] =
        tcp.tcpi_bytes_sent - tcp.tcpi_bytes_retrans + (uint64_t)unsent;
    info->bytes_rx_lane[SHUNT_LANE_KERNEL] = tcp.tcpi_bytes_received - (uint64_t)unread;
}

static void from_record(struct cm_record *rec, struct shunt_info *info)
{
    info->lane_tx = atomic_load_explicit(&rec->lane_tx, memory_order_relaxed);
    info->lane_rx = atomic_load_explicit(&rec->lane_rx, memory_order_relaxed);
    info->switches = atomic_load_explicit(&rec->switches, memory_order_relaxed);
    for (int i = 0; i < SHUNT_LANES; i++) {
        info->bytes_tx_lane[i] = load(&rec->bytes_tx[i]);
        info->bytes_rx_lane[i] = load(&rec->bytes_rx[i]);
    }
    info->waits_spin = load(&rec->waits_spin);
    info->waits_sleep = load(&rec->waits_sleep);
    snprintf(info->rule, sizeof info->rule, "%s", rec->rule);
    snprintf(info->reason, sizeof info->reason, "%s", rec->reason);
}

int info_shunt(struct conn *c, int fd, void *val, socklen_t *len)
{
    struct shunt_info info = {0};

    if (reach(len, sizeof *len, REACH_WRITE) < sizeof *len)
        return -EFAULT;
    if ((int)*len < 0)
        return -EINVAL;
    info.size = (uint32_t)MIN(sizeof info, (size_t)*len);
    if (reach(val, info.size, REACH_WRITE) < info.size)
        return -EFAULT;
    if (c->end)
        from_record(&c->end->rec, &info);
    if (!c->chan.shared)
        carrier_bytes(fd, &info);
    memcpy(val, &info, info.size);
    *len = info.size;
    return 0;
}

// The bytes of t that end with field are there.
#define HAS(field) (len >= offsetof(struct tcp_info, field) + sizeof t->field)

// Bytes in the ring have arrived at the peer, as those in its receive buffer have.
void info_tcp(struct conn *c, void *val, socklen_t len)
{
    struct tcp_info *t = val;

    if (HAS(tcpi_bytes_acked))
        t->tcpi_bytes_acked += c->end->tx.tail;
    if (HAS(tcpi_bytes_received))
        t->tcpi_bytes_received += c->end->rx.tail;
    if (HAS(tcpi_bytes_sent))
        t->tcpi_bytes_sent += c->end->tx.tail;
}

void info_log(const struct conn *c, const char *text)
{
    const struct cm_record *rec = &c->end->rec;
    char local[ADDR_TEXT_BYTES], remote[ADDR_TEXT_BYTES];

    if (log_level() < LOG_INFO)
        return;
    log_info("fd %d, %s to %s: %s", rec->fd, addr_text(&rec->local.sa, local),
             addr_text(&rec->remote.sa, remote), text);
}

void info_log_lanes(const struct conn *c)
{
    const struct cm_record *rec = &c->end->rec;
    char text[64];

    if (log_level() < LOG_INFO)
        return;
    snprintf(text, sizeof text, "out by %s, in by %s",
             cm_lane_name(atomic_load_explicit(&rec->lane_tx, memory_order_relaxed)),
             cm_lane_name(atomic_load_explicit(&rec->lane_rx, memory_order_relaxed)));
    info_log(c, text);
}
