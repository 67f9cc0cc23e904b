// SPDX-License-Identifier: BSD-2-Clause
// A live engine under random segments, calls and jumps of time. The input is a list of steps;
// behind each step everything that must always hold of a connection is asserted, and at the end
// everything must be given back.
#include <sys/socket.h>

#include "base/clock.h"
#include "conn_steps.h"
#include "tcp/arena.h"
#include "tcp/span.h"
#include "wire/packet.h"

// What must always hold
// -----------------------------------------------------------------------------

struct sums {
    uint32_t spans, bytes, sacked, lost, retrans;
};

static struct sums sum_spans(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    struct sums sum = {0};
    uint32_t at = c->snd_una, prev = TCP_NONE;

    for (uint32_t i = c->span_first; i != TCP_NONE; i = span_at(ctx, i)->next) {
        const struct tcp_span *s = span_at(ctx, i);

        must(i < conn_cfg.tcp.max_spans && s->prev == prev);
        must(s->start == at && seq_lt(s->start, s->end)); // end to end, none empty
        at = s->end;
        prev = i;
        sum.spans++;
        sum.sacked += s->flags & SPAN_SACKED ? span_len(s) : 0;
        sum.lost += s->flags & SPAN_LOST ? span_len(s) : 0;
        sum.retrans += s->flags & SPAN_RETRANS ? span_len(s) : 0;
        must((s->flags & (SPAN_SACKED | SPAN_LOST)) != (SPAN_SACKED | SPAN_LOST));
        must(sum.spans <= conn_cfg.tcp.max_spans);
    }
    must(c->span_last == prev);
    must(at == c->snd_nxt || !sum.spans);
    return sum;
}

static void check_sender(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    struct sums sum = sum_spans(ctx, c);
    uint32_t flight = c->snd_nxt - c->snd_una;

    must(seq_le(c->snd_una, c->snd_nxt));
    must(flight <= CONN_RING_BYTES + 2); // the ring, SYN and FIN
    must(sum.spans == c->span_count);
    must(sum.sacked == (c->sack_ok ? c->sacked : 0)); // without SACK it counts duplicate ACKs
    must(sum.lost == c->lost && sum.retrans == c->retrans);
    must(c->sacked + c->lost <= flight);
    if (c->state >= TCP_ESTABLISHED && c->state != TCP_TIME_WAIT) {
        must(c->cwnd > 0 && c->mss > 0 && c->ssthresh > 0);
        must(c->mss <= c->pmtu);
    }
}

static uint32_t count_ooo(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    uint32_t n = 0, last = c->rcv_nxt;

    for (uint32_t i = c->ooo_first; i != TCP_NONE; i = span_at(ctx, i)->next) {
        const struct tcp_span *s = span_at(ctx, i);

        must(i < conn_cfg.tcp.max_spans);
        must(seq_lt(last, s->start) && seq_lt(s->start, s->end)); // in order, with holes between
        last = s->end;
        must(++n <= SPANS_OOO_MAX);
    }
    must(n == c->ooo_count);
    must(n == 0 || last - c->rcv_nxt <= CONN_RING_BYTES);
    return n;
}

static uint32_t check_conn(const struct tcp_ctx *ctx, const struct tcp_conn *c)
{
    must(c->state < TCP_STATES);
    must(c->ca_state <= TCP_CA_LOSS);
    must(c->snd_wscale <= 14 && c->rcv_wscale <= 14);
    if (c->state <= TCP_LISTEN || c->state == TCP_TIME_WAIT)
        return c->span_count + c->ooo_count;
    check_sender(ctx, c);
    return c->span_count + count_ooo(ctx, c);
}

static void check_everything(void)
{
    struct tcp_ctx *ctx = stack_engine(conn_stack);
    const struct tcp_counters *n = tcp_counters(ctx);
    uint32_t conns = 0, spans = 0, waits = 0;

    for (uint32_t i = 0; i < conn_cfg.tcp.max_conns; i++) {
        const struct tcp_conn *c = tcp_conn_at(ctx, i);

        if (!c)
            continue;
        conns++;
        waits += c->state == TCP_TIME_WAIT;
        spans += check_conn(ctx, c);
    }
    must(n->conns == conns && n->time_waits == waits && n->spans == spans);
    must(stack_deadline(conn_stack) >
         stack_now(conn_stack)); // everything that was due has been done
    must(!ctx->illegal_moves);
}

// Whatever leaves must be a packet that can be read, no larger than the path.
static void check_sent(void)
{
    static uint8_t bytes[STACK_PACKET_MAX];
    struct segment s;
    uint64_t sent_ns;
    ptrdiff_t n;

    while ((n = stack_take(conn_stack, bytes, &sent_ns)) > 0) {
        must(packet_parse(bytes, (size_t)n, CSUM_FULL, &s) == 0);
        must(n <= conn_cfg.path.mtu);
    }
}

static void finish(void)
{
    const struct tcp_counters *n = tcp_counters(stack_engine(conn_stack));
    static const int reset[2] = {1, 0};

    for (int fd = STACK_FIRST_FD; fd < STACK_FIRST_FD + 64; fd++) {
        stack_setsockopt(conn_stack, fd, SOL_SOCKET, SO_LINGER, reset, sizeof(reset));
        stack_close(conn_stack, fd);
    }
    stack_advance(conn_stack, stack_now(conn_stack) + 100000 * NS_PER_S);
    must(n->conns == 0 && n->time_waits == 0 && n->spans == 0);
    must(stack_deadline(conn_stack) == CLOCK_NEVER);
    stack_free(conn_stack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};

    conn_start(input_u8(&in), false);
    for (int i = 0; i < CONN_STEPS_MAX && in.left; i++) {
        conn_step(&in);
        check_everything();
        check_sent();
    }
    finish();
    return 0;
}
