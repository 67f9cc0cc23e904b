// SPDX-License-Identifier: BSD-2-Clause
// Numbers that a stranger cannot guess.
#ifndef SHUNT_TCP_ISN_H
#define SHUNT_TCP_ISN_H

#include "tcp/arena.h"

// RFC 6528: ISN = M + F(tuple, key), M a clock of 4 us.
uint32_t isn_make(const struct tcp_ctx *ctx, const struct tcp_tuple *t, uint64_t now_ns);

// RFC 7323, 5.4: the timestamp clock's offset for a pair of addresses; it does not tell our uptime.
uint32_t isn_ts_offset(const struct tcp_ctx *ctx, const struct tcp_tuple *t);

#endif
