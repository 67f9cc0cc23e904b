// SPDX-License-Identifier: BSD-2-Clause
// Carries a connection's bytes between its rings and its lifeline, for who knows only the lifeline:
// stdio, a program that is not under Shunt, a process that wants signals. To those the lifeline is
// the connection, a stream socket with the peer's bytes, its urgent byte, and its end.
//
// The program lets go of the rings before it asks for that, and it is for good.
#ifndef SHUNT_DAEMON_RELAY_H
#define SHUNT_DAEMON_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/loop.h"
#include "net/net.h"

struct relay {
    struct net *net; // NULL: the program has the rings
    uint32_t sock;
    int fd;        // our end of the lifeline; -1: closed
    bool tx_ended; // the program has ended its direction
    bool rx_ended; // the peer has, and the program was told
    bool reset;    // to be closed with RST
};

enum relay_wish {
    RELAY_IN = 1,   // call again when the lifeline is readable
    RELAY_OUT = 2,  // ... or writable
    RELAY_OVER = 4, // nothing is left to be carried: the connection may be closed
};

// Begins; fd stays the caller's.
void relay_begin(struct relay *r, struct net *net, uint32_t sock, int fd);

// Carries what can be carried now, and arms the socket's bell for the rest. gone: the last copy of
// the lifeline is closed. Returns enum relay_wish.
unsigned relay_turn(struct relay *r, bool gone);

#endif
