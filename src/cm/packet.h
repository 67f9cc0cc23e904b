// SPDX-License-Identifier: BSD-2-Clause
// One message of proto/control.proto with its file descriptors, to and from a unix socket.
//
// Both ends use this. Nothing here allocates by malloc, sets errno, or blocks, packet_wait() apart,
// and all calls into the kernel are made by number: it works inside a preloaded library.
#ifndef SHUNT_CM_PACKET_H
#define SHUNT_CM_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cm/record.h"
#include "proto/control.pb-c.h"

#define PACKET_VERSION     4
#define PACKET_MAX_BYTES   65536 // received
#define PACKET_SENT_BYTES  2048  // sent: no message of ours is longer, but for a Relay
#define PACKET_RELAY_BYTES (CM_RELAY_MAX_BYTES + 64) // the longest Relay
#define PACKET_MAX_FDS     4
#define PACKET_SPIN_BYTES  64    // of the host page, for one client's count
#define PACKET_PAGE_BYTES  65536 // the host page: as long as the longest page of any machine
#define PACKET_ARENA_BYTES (2 * PACKET_MAX_BYTES)

// A place to receive into. Static or in BSS: it is big, but only what is used is ever touched.
struct packet {
    const Ctl__Envelope *msg; // in arena, good until the next receive
    int fds[PACKET_MAX_FDS];  // -1: none, or taken
    int n_fds;
    bool fds_lost; // fds were sent that could not be received: too many, or our table is full
    size_t arena_used;
    _Alignas(16) uint8_t bytes[PACKET_MAX_BYTES];
    _Alignas(16) uint8_t arena[PACKET_ARENA_BYTES];
};

// Sends msg, of at most PACKET_SENT_BYTES, with copies of the fds, which stay the caller's. Returns
// 0, or -errno: -EAGAIN (the receiver does not keep up), -EMSGSIZE, -EPIPE, -ECONNRESET,
// -ETOOMANYREFS.
int packet_send(int sock, const Ctl__Envelope *msg, const int *fds, int n_fds);

// The same for a message that was packed before.
int packet_send_bytes(int sock, const uint8_t *bytes, size_t n_bytes, const int *fds, int n_fds);

// Receives one packet. Returns 0, or -errno: -EAGAIN (nothing there), -EPIPE (hung up), -EBADMSG
// (no message). In every case the fds that came are close-on-exec and the caller's: it takes them
// with packet_take() and closes the rest with packet_close_fds().
int packet_recv(int sock, struct packet *p);

// Sleeps until sock is ready for events (POLLIN, POLLOUT), a signal has come, or deadline_ns
// (CLOCK_NEVER: none). 0; -ETIMEDOUT once the deadline has passed.
int packet_wait(int sock, short events, uint64_t deadline_ns);

// Unpacks what stands in p->bytes. 0 or -EBADMSG. What packet_recv() ends with; also for tests.
int packet_unpack(struct packet *p, size_t n_bytes);

// The i-th fd, now the caller's; -1 if there is none.
int packet_take(struct packet *p, int i);

void packet_close_fds(struct packet *p);

// Makes *msg an envelope whose body is FIELD of the .proto, in capitals CASE; body stays where it
// is.
#define PACKET_INIT(msg, CASE, FIELD, body)                                                        \
    do {                                                                                           \
        ctl__envelope__init(msg);                                                                  \
        (msg)->body_case = CTL__ENVELOPE__BODY_##CASE;                                             \
        (msg)->FIELD = (body);                                                                     \
    } while (0)

// The two forms of an address. packet_address() makes *out point into *addr.
void packet_address(const union cm_addr *addr, Ctl__Address *out);
void packet_read_address(const Ctl__Address *in, union cm_addr *out); // in NULL or odd: family 0

#endif
