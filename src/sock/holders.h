// SPDX-License-Identifier: BSD-2-Clause
// Which processes of the family have a socket? A mirrored channel belongs to one process, so only
// who has the socket alone may ask for one.
//
// The kernel does not count them. Each process that a fork gave the socket to stands in the shared
// end, and whether it still has it is looked up in /proc.
#ifndef SHUNT_SOCK_HOLDERS_H
#define SHUNT_SOCK_HOLDERS_H

#include "sock/end.h"

// In the parent before a fork, and in the child after it.
void holders_expect_child(struct sock_end *e);
void holders_add_self(struct sock_end *e);

// Is this process the only one that has fd, of which e is the end? False where that cannot be
// known. Makes some system calls if there was a fork.
bool holders_only_self(struct sock_end *e, int fd);

#endif
