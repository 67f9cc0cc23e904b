// SPDX-License-Identifier: BSD-2-Clause
// The receiving side: bytes into the ring, acknowledgements out of it, window auto-tuning.
#ifndef SHUNT_TCP_RECEIVE_H
#define SHUNT_TCP_RECEIVE_H

#include "tcp/input.h"

// Puts in's whole payload, which starts at rcv_nxt with nothing out of order, into the receive
// ring. Returns false where it does not fit as a whole; nothing has changed then.
bool receive_in_order(struct in *in);

// The program has taken bytes: does the window open by enough to tell the peer?
void receive_window_opened(struct tcp_ctx *ctx, struct tcp_conn *c);

#endif
