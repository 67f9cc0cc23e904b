// SPDX-License-Identifier: BSD-2-Clause
// SYN cookies (RFC 4987, 3.6): under a flood of SYNs the sequence number of the SYN-ACK carries
// what a half-open connection would have remembered, and a MAC over it.
#ifndef SHUNT_TCP_COOKIE_H
#define SHUNT_TCP_COOKIE_H

#include "tcp/input.h"

// Answers a SYN without keeping anything.
void cookie_answer(struct in *in);

// An ACK for a listener: if it brings back a cookie of the last two minutes, makes its child and
// lets it have the segment. Returns false where there is no good cookie.
bool cookie_redeem(struct in *in);

#endif
