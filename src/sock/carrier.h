// SPDX-License-Identifier: BSD-2-Clause
// What lies below the ring, and answers what the ring cannot: the kernel's socket (the twin), or
// Shunt's own TCP.
//
// With the kernel's, the ring is an express lane, which the connection may take and leave. With our
// own the ring is the connection: fd is a lifeline, there is nothing to go back to, and our
// direction is "on the ring" from the end of the handshake on.
#ifndef SHUNT_SOCK_CARRIER_H
#define SHUNT_SOCK_CARRIER_H

#include "sock/conn.h"

struct carrier {
    bool twin; // fd is a kernel TCP socket

    // What poll(2) says of what is below the ring, of ask and RDHUP, ERR, HUP. Does not block.
    short (*poll)(struct conn *c, int fd, short ask);

    // The ring is empty, and poll() told of FIN or an error: 0 for the end of the stream, or
    // -errno, which is told once. Inside, under rx_lock.
    ssize_t (*at_end)(struct conn *c, int fd);

    // Ends the connection with an RST. Inside.
    void (*abort)(struct conn *c, int fd);

    // As their namesakes (man section 2); what the ring answers is the caller's matter.
    int (*shutdown)(struct conn *c, int fd, int how);
    int (*name)(struct conn *c, int fd, bool peer, struct sockaddr *addr, socklen_t *len);
    int (*getsockopt)(struct conn *c, int fd, int level, int name, void *val, socklen_t *len);
    int (*setsockopt)(struct conn *c, int fd, int level, int name, const void *val, socklen_t len);
    int (*ioctl)(struct conn *c, int fd, unsigned long request, void *arg);
};

extern const struct carrier carrier_kernel, carrier_wire;

// Do calls of the kernel on fd carry bytes? On Shunt's own TCP only where shuntd relays them.
static inline bool conn_has_stream(const struct conn *c)
{
    return likely(c->carrier->twin) || end_has(c->end, END_RELAYED);
}

// ---- connections on Shunt's own TCP (wire.c, wire_open.c) ----

// Where the rule wants it: connects c by a stack. -EOPNOTSUPP: the kernel is to do it, and nothing
// has happened. Else what connect(2) is to say. Not inside.
int wire_connect(struct conn *c, int fd, const struct sockaddr *addr, socklen_t len);

// A listener was made: its stacks listen, too, where the rule wants it. Not inside.
void wire_listen(struct conn *c, int fd, int backlog);

// A listener that has ears loses them: the kernel alone serves it. Not inside.
void wire_unlisten(struct conn *c, int fd);
// The same in every process that has the listener, because one will get it, or become one, that
// knows nothing of ears. What they have heard is theirs still. Blocks 200 ms at most.
void wire_deafen(const struct conn *c, int fd);
// True: shuntd is gone, and so the listener has lost its ears.
bool wire_was_deaf(struct conn *c, int fd);

// connect(AF_UNSPEC): a reset, and the socket is as new. Not inside. 0 or -errno.
int wire_disconnect(struct conn *c, int fd);

// Does what the handshake's end asks for. Inside.
void wire_advance(struct conn *c, int fd);

// What a send returns whose bytes no ring takes: it is too early, or too late for them. Not inside.
ssize_t wire_no_send(struct conn *c, int fd, int flags);

// The rings are given up for good, and shuntd carries the bytes between them and the lifeline: so
// fd does whatever a stream socket does, for who knows nothing of rings. Not inside. As
// conn_go_back().
int wire_relay(struct conn *c, int fd, const char *reason);

// Relays if the peer has sent urgent data, which a ring cannot tell apart. Not inside.
void wire_mind_urgent(struct conn *c, int fd);

// Has it, while the ring is ours?
bool wire_is_urgent(const struct conn *c);

// c goes to another process: tells shuntd where its state is. Inside.
void wire_share(struct conn *c, int fd);

// fd came from another process: if it is a lifeline, c is that connection. True when it is.
bool wire_adopt(int fd);

// fd, one of c's numbers, is about to be closed: if it is the last copy of the lifeline, the end of
// the connection leaves the host before this returns, as by the kernel's close(); where another
// thread is in a call on it, before that one returns. Inside.
void wire_closing(struct conn *c, int fd);

// The same for all connections, before the process ends.
void wire_exit(void);

// This process lets go of it. Under self.lock.
void wire_leave(struct conn *c);

#endif
