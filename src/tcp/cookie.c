// SPDX-License-Identifier: BSD-2-Clause
// The sequence number: 6 bits of a 64-second counter, 2 bits of MSS, 24 bits of MAC. What else the
// SYN offered goes into the low bits of our timestamp, which the peer echoes; without timestamps
// there is no window scale and no SACK.
#include "tcp/cookie.h"

#include "base/util.h"
#include "tcp/isn.h"
#include "tcp/mtu.h"

#define SLOT_NS     (64 * NS_PER_S)
#define SLOTS_VALID 2

#define TS_BITS   0x3fu
#define TS_WSCALE 0x0fu // the peer's; 15: none offered
#define TS_SACK   0x10u
#define TS_ECN    0x20u

static const uint16_t mss_table[4] = {536, 1220, 1440, 8960};

static struct tcp_tuple tuple_of(const struct segment *seg)
{
    return (struct tcp_tuple){.local = seg->dst,
                              .remote = seg->src,
                              .local_port = seg->dst_port,
                              .remote_port = seg->src_port};
}

static uint32_t mac(const struct tcp_ctx *ctx, const struct tcp_tuple *t, uint32_t peer_iss,
                    uint32_t slot, uint32_t mss_index)
{
    struct {
        uint8_t addrs[32];
        uint16_t ports[2];
        uint32_t peer_iss, slot, mss_index;
    } b = {.ports = {t->local_port, t->remote_port},
           .peer_iss = peer_iss,
           .slot = slot,
           .mss_index = mss_index};

    memcpy(b.addrs, &t->local, 16);
    memcpy(b.addrs + 16, &t->remote, 16);
    return siphash24(&ctx->arena->keys.cookie[0], &b, sizeof b) & 0xffffff;
}

static uint32_t make(const struct tcp_ctx *ctx, const struct tcp_tuple *t, uint32_t peer_iss,
                     uint64_t now_ns, uint16_t mss)
{
    uint32_t slot = now_ns / SLOT_NS, index = 0;

    while (index < 3 && mss_table[index + 1] <= mss)
        index++;
    return (slot & 63) << 26 | index << 24 | mac(ctx, t, peer_iss, slot, index);
}

// Returns the MSS that a good cookie stands for, or 0.
static uint16_t check(const struct tcp_ctx *ctx, const struct tcp_tuple *t, uint32_t peer_iss,
                      uint64_t now_ns, uint32_t cookie)
{
    uint32_t now_slot = now_ns / SLOT_NS, age = (now_slot - (cookie >> 26)) & 63;
    uint32_t index = cookie >> 24 & 3;

    if (age >= SLOTS_VALID || mac(ctx, t, peer_iss, now_slot - age, index) != (cookie & 0xffffff))
        return 0;
    return mss_table[index];
}

static uint32_t ts_with_options(uint32_t ts, const struct segment *syn, bool ecn)
{
    uint32_t bits = syn->opts & SEG_OPT_WSCALE ? u64_min(syn->wscale, 14) : TS_WSCALE;
    uint32_t coded;

    bits |= (syn->opts & SEG_OPT_SACK_OK ? TS_SACK : 0) | (ecn ? TS_ECN : 0);
    coded = (ts & ~TS_BITS) | bits;
    return seq_lt(ts, coded) ? coded - TS_BITS - 1 : coded; // never ahead of the clock
}

void cookie_answer(struct in *in)
{
    const struct segment *syn = in->seg;
    const struct tcp_config *cfg = &in->ctx->cfg;
    struct tcp_tuple t = tuple_of(syn);
    struct tcp_conn probe = {.tuple = t};
    bool ecn = cfg->ecn && (syn->flags & (SEG_ECE | SEG_CWR)) == (SEG_ECE | SEG_CWR);
    struct tcp_path path = {.mtu = 1500};
    struct segment seg = {
        .src = syn->dst, .dst = syn->src, .src_port = syn->dst_port, .dst_port = syn->src_port};

    in->ctx->host->path(in->ctx->self, &probe, &path);
    mtu_set_path(&probe, &path);
    seg.seq = make(in->ctx, &t, syn->seq, in->now_ns, syn->opts & SEG_OPT_MSS ? syn->mss : 536);
    seg.ack = syn->seq + 1;
    seg.flags = SEG_SYN | SEG_ACK;
    seg.window = u64_min(cfg->rcv_initial, UINT16_MAX);
    seg.opts = SEG_OPT_MSS;
    seg.mss = mtu_announced_mss(&probe);
    if (syn->opts & SEG_OPT_TS && cfg->timestamps) {
        seg.opts |= SEG_OPT_TS | (syn->opts & SEG_OPT_SACK_OK) | (syn->opts & SEG_OPT_WSCALE);
        seg.wscale = tcp_rcv_wscale(cfg);
        seg.flags |= ecn ? SEG_ECE : 0;
        seg.ts_val = ts_with_options(
            (uint32_t)(in->now_ns / NS_PER_MS) + isn_ts_offset(in->ctx, &t), syn, ecn);
        seg.ts_ecr = syn->ts_val;
    }
    in->ctx->arena->cookie_until_ns = in->now_ns + SLOTS_VALID * SLOT_NS;
    if (in->sink->put(in->sink, &seg))
        return;
    tcp_count(in->ctx, segs_out);
    tcp_count(in->ctx, cookies_sent);
}

// The SYN as it must have been, for input_make_child().
static void rebuild_syn(const struct tcp_ctx *ctx, const struct segment *ack, uint16_t mss,
                        struct segment *syn)
{
    uint32_t bits = ack->ts_ecr & TS_BITS;

    *syn = *ack;
    syn->seq = ack->seq - 1;
    syn->flags = SEG_SYN;
    syn->opts = SEG_OPT_MSS;
    syn->mss = mss;
    syn->len = 0;
    if (!(ack->opts & SEG_OPT_TS) || !ctx->cfg.timestamps)
        return;
    syn->opts |= SEG_OPT_TS | (bits & TS_SACK ? SEG_OPT_SACK_OK : 0);
    if ((bits & TS_WSCALE) != TS_WSCALE) {
        syn->opts |= SEG_OPT_WSCALE;
        syn->wscale = bits & TS_WSCALE;
    }
    if (bits & TS_ECN)
        syn->flags |= SEG_ECE | SEG_CWR;
}

bool cookie_redeem(struct in *in)
{
    const struct segment *seg = in->seg;
    struct tcp_tuple t = tuple_of(seg);
    struct segment syn;
    struct in make_in = *in;
    struct tcp_conn *c;
    uint16_t mss;

    if (in->now_ns >= in->ctx->arena->cookie_until_ns || seg->flags & (SEG_SYN | SEG_RST))
        return false;
    mss = check(in->ctx, &t, seg->seq - 1, in->now_ns, seg->ack - 1);
    if (!mss) {
        tcp_count(in->ctx, cookies_bad);
        return false;
    }
    rebuild_syn(in->ctx, seg, mss, &syn);
    make_in.seg = &syn;
    c = input_make_child(&make_in, seg->ack - 1);
    if (!c)
        return true; // no room: the peer's next segment tries again
    c->snd_nxt = c->snd_una + 1;
    c->rcv_adv = c->rcv_nxt + u64_min(in->ctx->cfg.rcv_initial, UINT16_MAX);
    tcp_count(in->ctx, cookies_ok);
    tcp_conn_input(in->ctx, c, in->now_ns, seg, in->sink);
    if (c->in_use && c->state == TCP_SYN_RECEIVED) // not taken: it has no SYN-ACK to wait for
        conn_free(in->ctx, c);
    return true;
}
