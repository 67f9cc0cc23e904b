// SPDX-License-Identifier: BSD-2-Clause
// Making segments and handing them to the sink.
#ifndef SHUNT_TCP_EMIT_H
#define SHUNT_TCP_EMIT_H

#include "tcp/arena.h"

// One call of tcp_conn_output().
struct out {
    struct tcp_ctx *ctx;
    struct tcp_conn *c;
    uint64_t now_ns;
    struct tcp_sink *sink;
    struct ring tx;  // valid with has_tx
    uint32_t unsent; // bytes in the send ring that were never sent, up to our FIN
    bool has_tx;
    bool hold; // new data waits, so that a probe of the path MTU finds room
};

// Fills everything but payload: addresses, ports, ACK, window, timestamps, SACK blocks, ECN echo.
void emit_fill(struct out *o, struct segment *seg, uint32_t seq, uint8_t flags);

// Adds len bytes of the send ring from sequence number seq on as the payload.
void emit_payload(struct out *o, struct segment *seg, uint32_t seq, uint32_t len);

// Gives the segment to the sink. After 0 the connection knows what it acknowledged and advertised;
// after -EAGAIN nothing has changed.
int emit_put(struct out *o, const struct segment *seg);

// A segment without data: seq is SND.NXT, or one below SND.UNA for a probe.
int emit_ack(struct out *o, uint32_t seq);

// The window to offer now, in bytes; it never takes back what was offered (RFC 9293, 3.8.6).
uint32_t emit_window(const struct tcp_ctx *ctx, const struct tcp_conn *c);

// Bytes of options that every data segment to this peer carries.
static inline uint32_t emit_option_bytes(const struct tcp_conn *c)
{
    return c->ts_ok ? 12 : 0;
}

// Answers a segment that belongs to no connection with a RST (RFC 9293, 3.10.7.1).
void emit_reset_for(struct tcp_ctx *ctx, struct tcp_sink *sink, const struct segment *in);

// output.c and retransmit.c
// ------------------------------------------------------------------------

// SYN or SYN-ACK, new or again. retransmit.c
int output_syn(struct out *o);

// Sends lost spans again as cwnd allows. retransmit.c
int output_retransmissions(struct out *o);

// The tail-loss probe: new data where there is some, else the last segment again. retransmit.c
int output_probe(struct out *o);

// False where the engine has no span for new data now: the connection looks again in a little
// while, because nothing tells it when there are some. output.c
bool output_span_is_free(struct out *o);

// Sends up to limit bytes of new data as one segment; *sent says how many. output.c
int output_new_segment(struct out *o, uint32_t len, uint32_t flags, uint32_t *sent);

#endif
