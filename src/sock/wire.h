// SPDX-License-Identifier: BSD-2-Clause
// What the files of the tcp carrier share.
#ifndef SHUNT_SOCK_WIRE_H
#define SHUNT_SOCK_WIRE_H

#include "cm/wire.h"

// The options of the kernel's socket sock that the engine must know.
void wire_options(int sock, struct cm_wire_options *out);

// Has shuntd relay fd, and tells it how it is to end (END_HARD). Inside. 0 or -errno.
int wire_relay_ask(const struct conn *c, int fd);

#endif
