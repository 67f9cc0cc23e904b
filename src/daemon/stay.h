// SPDX-License-Identifier: BSD-2-Clause
// Processes that a private shuntd outlives: `shunt run` asks it to stay for the program that it
// becomes, which may use its first connection long after.
#ifndef SHUNT_DAEMON_STAY_H
#define SHUNT_DAEMON_STAY_H

#include "daemon/client.h"

// Stays until the client's process has ended; does nothing where that cannot be watched.
void stay_add(struct client *client);

void stays_end(struct clients *cs);

#endif
