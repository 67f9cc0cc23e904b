// SPDX-License-Identifier: BSD-2-Clause
// What programs ask of the tcp carrier. shuntd checks the socket, finds the interface and holds the
// port; the keeper of the stack (lifeline.h) does the rest, and its answer is passed on.
#ifndef SHUNT_DAEMON_WIRE_H
#define SHUNT_DAEMON_WIRE_H

#include "cm/packet.h"
#include "daemon/client.h"

// Takes a message about the tcp carrier, and answers now or later; others are none of its business.
void wire_handle(struct client *client, struct packet *p);

// The client is going: its questions are answered to nobody.
void wire_forget(struct client *client);

#endif
