// SPDX-License-Identifier: BSD-2-Clause
// What goes to a client: at once if it fits, else when the client has read what came before.
#ifndef SHUNT_DAEMON_OUT_H
#define SHUNT_DAEMON_OUT_H

#include "cm/packet.h"
#include "daemon/client.h"

// Sends msg with copies of the fds. It never blocks. A client that is gone, or leaves too much
// unread, dies.
void client_send(struct client *client, const Ctl__Envelope *msg, const int *fds, int n_fds);

// Sends what waits, as far as it goes. True when nothing is left.
bool client_flush(struct client *client);

// Forgets what waits.
void client_discard(struct client *client);

// The most packets that may wait for a client; it is hung up on when there are more.
#define OUT_MAX_WAITING 16384

// No more for this client; it is buried after the round.
void client_die(struct client *client);

#endif
