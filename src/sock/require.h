// SPDX-License-Identifier: BSD-2-Clause
// Connections whose rule may require a lane (action = "require"), until they have it or end.
#ifndef SHUNT_SOCK_REQUIRE_H
#define SHUNT_SOCK_REQUIRE_H

#include "sock/conn.h"

// A connection has just been made; nothing where no rule requires a lane.
void require_begin(struct conn *c);
// It has its lane, needs none, or is no more.
void require_over(struct conn *c);

// Does what is due of all such connections. Returns when that is to be done again, at the latest;
// CLOCK_NEVER: there are none. Inside, no lock held; does not block.
uint64_t require_serve(void);

// Waits until c has its lane, or has been ended. Not inside.
void require_await(struct conn *c, int fd);

// For connect(), after the kernel's: 0, or -ECONNREFUSED where the lane cannot be had (wait: until
// the rule's deadline is over). Not inside.
int require_connected(struct conn *c, int fd, bool wait);

// What the program is to be told in the place of err, once: -ECONNREFUSED for a connection that it
// opened and that was ended for want of a lane.
int require_error(struct conn *c, int err);

#endif
