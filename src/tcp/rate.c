// SPDX-License-Identifier: BSD-2-Clause
#include "base/util.h"
#include "tcp/ack.h"

// Of all that this ACK delivers, the packet sent last gives the sample.
void rate_note(struct tcp_conn *c, const struct tcp_span *s, struct tcp_ack *ack)
{
    if (!s->delivered_ns)
        return;
    if (ack->prior_ns && seq_lt(s->delivered, ack->prior_delivered))
        return;
    ack->prior_ns = s->delivered_ns;
    ack->prior_delivered = s->delivered;
    ack->first_ns = s->first_ns;
    ack->sent_ns = s->sent_ns;
    ack->limited = s->flags & SPAN_LIMITED;
    c->rate_first_ns = s->sent_ns;
}

// The rate is what arrived, over the longer of the times of sending and of acknowledging: so
// neither a burst of data nor one of ACKs makes it too high.
void rate_sample(struct tcp_conn *c, struct tcp_ack *ack)
{
    uint64_t send_ns, ack_ns, span_ns;

    if (c->app_limited && seq_lt(c->app_limited, c->delivered))
        c->app_limited = 0;
    if (!ack->prior_ns)
        return;
    send_ns = ack->sent_ns - ack->first_ns;
    ack_ns = ack->now_ns - ack->prior_ns;
    span_ns = u64_max(send_ns, ack_ns);
    if (!span_ns || span_ns < c->min_rtt_ns)
        return;
    ack->rate = (uint64_t)(c->delivered - ack->prior_delivered) * NS_PER_S / span_ns;
}
