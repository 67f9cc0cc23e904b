// SPDX-License-Identifier: BSD-2-Clause
// RACK-TLP (RFC 8985): loss by time, not by counting, and a probe for lost tails.
#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/machine.h"
#include "tcp/timers.h"

#define DUP_THRESHOLD 3

static bool sent_after(uint64_t a_ns, uint32_t a_end, uint64_t b_ns, uint32_t b_end)
{
    return a_ns > b_ns || (a_ns == b_ns && seq_lt(b_end, a_end));
}

// 6.2, step 2: "Update the state for RACK: the most recently sent segment that has been delivered."
void rack_note(struct tcp_conn *c, const struct tcp_span *s, const struct tcp_ack *ack)
{
    uint64_t rtt_ns = span_age_ns(s, ack->now_ns);

    if (s->flags & SPAN_EVER) { // the ACK may be for the original
        if (ack->seg->opts & SEG_OPT_TS && c->ts_ok &&
            seq_lt(ack->seg->ts_ecr, tcp_ts_now(c, s->sent_ns)))
            return;
        if (rtt_ns < c->min_rtt_ns)
            return;
    }
    c->rack_rtt_ns = u64_min(rtt_ns, UINT32_MAX);
    if (!sent_after(s->sent_ns, s->end, c->rack_sent_ns, c->rack_end))
        return;
    c->rack_sent_ns = s->sent_ns;
    c->rack_end = s->end;
}

// 6.2, step 4: each round trip with a DSACK widens the window by a quarter of the minimum RTT;
// sixteen recoveries without one reset it.
void rack_note_dsack(struct tcp_conn *c, const struct tcp_ack *ack)
{
    if (c->rack_dsack_end && seq_lt(ack->seg->ack, c->rack_dsack_end))
        return;
    c->rack_dsack_end = c->snd_nxt | !c->snd_nxt; // 0 stands for none
    c->rack_mult = u64_min(c->rack_mult + 1, 254);
    c->rack_persist = 16;
}

static uint64_t reorder_window(const struct tcp_conn *c)
{
    if (!c->reordered &&
        (c->ca_state >= TCP_CA_RECOVERY || c->sacked >= DUP_THRESHOLD * (uint32_t)c->mss))
        return 0;
    if (c->min_rtt_ns == UINT32_MAX)
        return 0;
    return u64_min((uint64_t)c->rack_mult * (c->min_rtt_ns / 4), c->srtt_ns);
}

// 6.2, step 5. Originals lie in the list in the order of sending: behind the first one that was
// sent after the newest delivery nothing can be lost yet.
void rack_detect(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    uint64_t allowed_ns = c->rack_rtt_ns + reorder_window(c), wait_ns = 0;

    if (c->loss_timer == TCP_LOSS_REORDER)
        c->loss_timer = TCP_LOSS_NONE;
    if (!c->rack_sent_ns)
        return;
    for_each_span(ctx, i, c->span_first)
    {
        struct tcp_span *s = span_at(ctx, i);

        if (!sent_after(c->rack_sent_ns, c->rack_end, s->sent_ns, s->end)) {
            if (!(s->flags & SPAN_EVER))
                break;
            continue;
        }
        if (s->flags & SPAN_SACKED || (s->flags & (SPAN_LOST | SPAN_RETRANS)) == SPAN_LOST)
            continue;
        if (s->sent_ns + allowed_ns <= now_ns)
            span_mark_lost(c, s);
        else
            wait_ns = u64_max(wait_ns, s->sent_ns + allowed_ns - now_ns);
    }
    if (!wait_ns)
        return;
    c->loss_timer = TCP_LOSS_REORDER;
    timer_set(ctx, c, TCP_TIMER_LOSS, now_ns + wait_ns);
}

uint64_t rack_probe_timeout(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    uint64_t pto_ns = NS_PER_S;

    // 7.3: "no previous TLP in the same tail", SACK negotiated, no recovery under way
    if (!ctx->cfg.tlp || !c->sack_ok || c->ca_state != TCP_CA_OPEN || c->tlp_out || c->sacked ||
        c->state < TCP_ESTABLISHED)
        return CLOCK_NEVER;
    if (c->srtt_ns) {
        pto_ns = 2 * c->srtt_ns; // 7.2
        if (c->snd_nxt - c->snd_una <= c->mss)
            pto_ns += ctx->cfg.rto_min_ns; // "inflate PTO by TLP.max_ack_delay"
    }
    return u64_min(pto_ns, rtt_rto_ns(ctx, c));
}

// 7.4.2: "TLP_process_ack"
void rack_probe_acked(struct tcp_ctx *ctx, struct tcp_conn *c, const struct tcp_ack *ack)
{
    if (!c->tlp_out || seq_lt(ack->seg->ack, c->tlp_end))
        return;
    if (c->tlp_retrans && !ack->dsack) {
        if (!seq_lt(c->tlp_end, ack->seg->ack)) {
            if (!ack->duplicate)
                return; // the original or the copy: a later ACK will tell
        } else {
            recovery_enter_cwr(ctx, c, ack->now_ns); // repaired a single loss
        }
    }
    c->tlp_out = 0;
}
