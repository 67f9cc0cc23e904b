// SPDX-License-Identifier: BSD-2-Clause
// ICMP errors about our segments (RFC 9293, 3.9.2.2; RFC 5461; RFC 5927).
#include "base/util.h"
#include "tcp/demux.h"
#include "tcp/machine.h"
#include "tcp/mtu.h"

// RFC 5927, 4.1: the quoted sequence number must be of data that is in flight.
static bool quote_is_ours(const struct tcp_conn *c, uint32_t seq)
{
    return seq_le(c->snd_una, seq) && seq_lt(seq, c->snd_nxt);
}

// MUST-56: a soft error never ends a connection; SHLD-26 with RFC 5461: a hard one ends it only
// while it is being opened.
bool tcp_icmp(struct tcp_ctx *ctx, uint64_t now_ns, const struct tcp_tuple *t, uint32_t seq,
              enum tcp_icmp kind, int err, uint16_t mtu)
{
    struct tcp_conn *c = demux_find(ctx, t);

    if (!c || c->state <= TCP_LISTEN || !quote_is_ours(c, seq)) {
        tcp_count(ctx, drops_invalid);
        return false;
    }
    if (kind == TCP_ICMP_TOO_BIG)
        return mtu_too_big(ctx, c, now_ns, mtu);
    if (kind == TCP_ICMP_HARD && c->state < TCP_ESTABLISHED) {
        conn_end(ctx, c, err);
        return true;
    }
    c->soft_error = u64_min(-err, UINT8_MAX);
    return true;
}
