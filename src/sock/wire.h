// SPDX-License-Identifier: BSD-2-Clause
// What the files of the tcp carrier share.
#ifndef SHUNT_SOCK_WIRE_H
#define SHUNT_SOCK_WIRE_H

#include "sock/conn.h"

// The options of the kernel's socket sock that the engine must know.
void wire_options(int sock, struct cm_wire_options *out);

// The kernel's socket that keeps c's options; made where there is none. -errno.
int wire_shadow(struct conn *c);

// Tells the engine of an option that the shadow has; whatever else must know it.
void wire_tell(struct conn *c, int level, int name);
void wire_note_linger(struct conn *c, int fd);

// The send ring of c holds what SO_SNDBUF of sock says, at most.
void wire_limit(struct conn *c, int sock);

// Has the socket options that accepted ones inherit, and that are not a new socket's?
bool wire_is_dressed(int sock);

// Gives c, which is new and has fd, the options that it inherits from listener. Inside.
void wire_dress(struct conn *c, int fd, int listener);

// Has shuntd relay fd, and tells it how it is to end (END_HARD). Inside. 0 or -errno.
int wire_relay_ask(const struct conn *c, int fd);

#endif
