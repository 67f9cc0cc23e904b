// SPDX-License-Identifier: BSD-2-Clause
// Which interface a connection goes by: a fact that rules may ask for.
#ifndef SHUNT_CM_IFACE_H
#define SHUNT_CM_IFACE_H

#include <net/if.h>
#include <sys/socket.h>

// Writes the name of the interface that holds the address of local (AF_INET or AF_INET6; its port
// is not looked at). Asks the kernel by rtnetlink(7), with raw system calls and without malloc;
// does not wait for anybody. Returns 0, -ENOENT if no interface holds it, or what the kernel said.
int iface_of(const struct sockaddr *local, char name[static IFNAMSIZ]);

#endif
