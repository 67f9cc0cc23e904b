// SPDX-License-Identifier: BSD-2-Clause
// The tcp carrier's connections and listeners, as shuntd holds them.
//
// The program's fd is one end of a socket pair, the *lifeline*; the other end is here. When the
// last copy of the program's end is gone, by close, exit or SIGKILL, ours hangs up, and the
// connection is closed properly. When shuntd ends, the program's end hangs up: a reset.
//
// A listener's fd is the kernel's listening socket. Its companion, the *ears*, is one end of a
// SOCK_SEQPACKET pair: each connection that a stack accepts is sent there with its lifeline, and
// whoever receives it has accepted it. The kernel shares ears among workers as it shares a
// listener, and what nobody took hangs up when they close.
#ifndef SHUNT_DAEMON_WIRE_H
#define SHUNT_DAEMON_WIRE_H

#include "cm/packet.h"
#include "daemon/client.h"

// Answers a message about the tcp carrier at once; others are none of its business.
void wire_handle(struct client *client, struct packet *p);

#endif
