// SPDX-License-Identifier: BSD-2-Clause
// The connections and listeners of a stack, as its keeper holds them.
//
// The program's fd is one end of a socket pair, the *lifeline*; the other end is here. When the
// last copy of the program's end is gone, by close, exit or SIGKILL, ours hangs up, and the
// connection is closed properly. When the keeper ends, the program's end hangs up: a reset.
//
// A listener's fd is the kernel's listening socket. Its companion, the *ears*, is one end of a
// SOCK_SEQPACKET pair: each connection that the stack accepts is sent there with its lifeline, and
// whoever receives it has accepted it. The kernel shares ears among workers as it shares a
// listener, and what nobody took hangs up when they close.
#ifndef SHUNT_DAEMON_LIFELINE_H
#define SHUNT_DAEMON_LIFELINE_H

#include "daemon/keeper.h"

// Questions of shuntd; each tells it the answer. lifeline_listen() takes ears over;
// -1: they could not be received.
void lifeline_open(struct keeper *k, const struct keep_ask *ask);
void lifeline_listen(struct keeper *k, const struct keep_ask *ask, int ears);
void lifeline_attach(struct keeper *k, uint64_t cookie);
void lifeline_relay(struct keeper *k, const struct keep_ask *ask);

// The state of a connection is in chunk_fd, which is taken over where this returns true.
bool lifeline_share(struct keeper *k, const struct keep_ask *ask, int chunk_fd);

// The socket has news that its program's own driver could not tell it.
void lifeline_woken(struct wire *w);

// Asks the listeners again that could not be asked.
void lifelines_accept_late(struct keeper *k);

// Frees those that have ended. To be called between the rounds of the loop.
void lifelines_bury(struct keeper *k);

#endif
