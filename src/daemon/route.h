// SPDX-License-Identifier: BSD-2-Clause
// Which of this host's interfaces leads to a peer, or has an address.
#ifndef SHUNT_DAEMON_ROUTE_H
#define SHUNT_DAEMON_ROUTE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "cm/record.h"
#include "net/net.h"

// The parts of an address; false: it is of no family that we know.
bool route_ip(const union cm_addr *addr, struct ip_addr *ip, uint16_t *port);

// The interface that the kernel would send to remote by, from *local; any: as it likes, and *local
// is set. NULL, or why no stack of ours can: a static phrase.
const char *route_to(const union cm_addr *remote, struct ip_addr *local,
                     char interface[static IF_NAMESIZE]);

// Calls see for each Ethernet interface that is up and has the address local (any: an address).
void route_each_interface(const struct ip_addr *local, void (*see)(void *arg, const char *name),
                          void *arg);

#endif
