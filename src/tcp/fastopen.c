// SPDX-License-Identifier: BSD-2-Clause
#include "tcp/fastopen.h"

#include "base/util.h"
#include "tcp/ack.h"
#include "tcp/mtu.h"

#define COOKIE_BYTES 8
#define LEAST_MSS    536               // of a peer that announces none (RFC 9293, MUST-15)
#define BLOCK_NS     (3600 * NS_PER_S) // how long a path that lost a SYN with data is spared
#define SYN_OPTIONS  40                // that a SYN may carry: what room they take, data has not

static struct tfo_entry *entry_of(struct tcp_ctx *ctx, const struct ip_addr *server)
{
    uint64_t h = siphash13(&ctx->arena->keys.hash, server, sizeof *server);

    return &ctx->arena->tfo[h % TFO_ENTRIES];
}

static struct tfo_entry *known(struct tcp_ctx *ctx, const struct ip_addr *server)
{
    struct tfo_entry *e = entry_of(ctx, server);

    return ip_addr_equal(&e->server, server) ? e : NULL;
}

bool fastopen_has_cookie(struct tcp_ctx *ctx, uint64_t now_ns, const struct ip_addr *server)
{
    struct tfo_entry *e = known(ctx, server);

    return ctx->cfg.tfo_client && e && e->len && now_ns >= e->blocked_until_ns;
}

void fastopen_fill_syn(struct out *o, struct segment *seg)
{
    struct tcp_conn *c = o->c;
    struct tfo_entry *e;
    uint32_t ready, room;

    if (!c->tfo || !o->ctx->cfg.tfo_client)
        return;
    e = known(o->ctx, &c->tuple.remote);
    if (e && o->now_ns < e->blocked_until_ns)
        return;
    seg->opts |= SEG_OPT_TFO;
    if (!e || !e->len) // a cookie request
        return;
    seg->tfo_len = u64_min(e->len, SEG_TFO_MAX);
    memcpy(seg->tfo, e->cookie, SEG_TFO_MAX);
    ready = o->has_tx ? ring_ready(&o->tx, c->tx_pos) : 0;
    room = u64_max(u64_min(mtu_announced_mss(c), e->mss), SYN_OPTIONS) - SYN_OPTIONS;
    ready = u64_min(ready, room);
    if (ready)
        emit_payload(o, seg, c->snd_una + 1, ready);
    seg->gso_size = 0;
}

void fastopen_sent(struct out *o, const struct segment *seg)
{
    struct tcp_conn *c = o->c;

    if (!seg->len || !span_may_push(o->ctx, c))
        return;
    // by itself, so that a SYN-ACK for the SYN alone leaves it to be sent again
    span_push(o->ctx, c, o->now_ns + 1, c->snd_nxt, c->snd_nxt + seg->len, 0);
    c->snd_nxt += seg->len;
    c->tfo_data = 1;
    tcp_count(o->ctx, tfo_out);
}

void fastopen_learn(struct tcp_ctx *ctx, struct tcp_conn *c, const struct segment *seg)
{
    struct tfo_entry *e = entry_of(ctx, &c->tuple.remote);

    if (!c->tfo || !(seg->opts & SEG_OPT_TFO) || !seg->tfo_len || seg->tfo_len > SEG_TFO_MAX)
        return;
    *e = (struct tfo_entry){.server = c->tuple.remote, .len = seg->tfo_len};
    e->mss = u64_max(c->mss_peer ? c->mss_peer : LEAST_MSS, 2 * SYN_OPTIONS);
    memcpy(e->cookie, seg->tfo, seg->tfo_len);
}

void fastopen_on_timeout(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns)
{
    struct tfo_entry *e = known(ctx, &c->tuple.remote);

    if (c->state != TCP_SYN_SENT || !c->tfo)
        return;
    if (e)
        e->blocked_until_ns = now_ns + BLOCK_NS;
    c->tfo = 0;
}

// RFC 7413, 4.1.2: a MAC over the client's address; nothing is stored.
static void make_cookie(const struct tcp_ctx *ctx, const struct ip_addr *client, uint8_t out[8])
{
    uint64_t mac = siphash24(&ctx->arena->keys.tfo, client, sizeof *client);

    memcpy(out, &mac, COOKIE_BYTES);
}

bool fastopen_cookie_ok(const struct tcp_ctx *ctx, const struct tcp_conn *listener,
                        const struct segment *seg)
{
    uint8_t want[COOKIE_BYTES];

    if (!listener->tfo || !ctx->cfg.tfo_server || !(seg->opts & SEG_OPT_TFO))
        return false;
    make_cookie(ctx, &seg->src, want);
    return seg->tfo_len == COOKIE_BYTES && !memcmp(want, seg->tfo, COOKIE_BYTES);
}

void fastopen_fill_synack(const struct tcp_ctx *ctx, const struct tcp_conn *c, struct segment *seg)
{
    if (!c->tfo_ask)
        return;
    seg->opts |= SEG_OPT_TFO;
    seg->tfo_len = COOKIE_BYTES;
    make_cookie(ctx, &c->tuple.remote, seg->tfo);
}
