// SPDX-License-Identifier: BSD-2-Clause
// The receiving side: bytes into the ring, acknowledgements out of it, window auto-tuning.
#ifndef SHUNT_TCP_RECEIVE_H
#define SHUNT_TCP_RECEIVE_H

#include "tcp/input.h"

// Puts in's whole payload, which starts at rcv_nxt with nothing out of order, into the receive
// ring. Returns false where it does not fit as a whole; nothing has changed then.
bool receive_in_order(struct in *in);

// Bytes have arrived in order: acknowledge now, soon, or with the next data (RFC 9293, 3.8.6.3).
void receive_schedule_ack(struct in *in, uint32_t len);

// The program has taken bytes: does the window open by enough to tell the peer?
void receive_window_opened(struct tcp_ctx *ctx, struct tcp_conn *c);

// Dynamic right-sizing: offers twice what the program took in the last round trip.
void receive_tune(struct in *in);

#endif
