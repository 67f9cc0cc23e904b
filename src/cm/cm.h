// SPDX-License-Identifier: BSD-2-Clause
// The connection manager inside a program: the client side of shuntd's registry.
//
// A process has one manager. It connects to shuntd when first needed, never waits for it (except in
// cm_attach and cm_await, which have deadlines), and lives without it: when shuntd is gone or of
// another version every claim is refused with a reason, existing channels go on. After a refusal to
// connect it tries again at most once a second. It allocates nothing by malloc and may be called
// where malloc may not. Not thread-safe: the caller holds its own lock around every call.
//
// All fds that it opens are close-on-exec and moved up, out of the way of the program's own
// numbers, see cm_fd_up(); cm_owns_fd() tells them apart. If the program closes them in spite of
// that, the manager notices, and neither uses nor closes what has the number now.
#ifndef SHUNT_CM_CM_H
#define SHUNT_CM_CM_H

#include "cm/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What a side wants for one connection.
struct cm_wish {
    uint64_t cookie; // SO_COOKIE
    union cm_addr local, remote;
    uint32_t ring_bytes;     // the smaller of both sides' is taken
    bool cross_user;         // may be linked with another user's process
    int chunk_fd;            // memfd of the chunk that holds this side's state, and its slot: what
    uint32_t chunk_slot;     // another process needs to share this side (cm_attach)
    uint8_t lanes[CM_LANES]; // enum shunt_lane, best first: those that this side can use; shm, rdma
    uint8_t n_lanes;
    const void *endpoint;  // for lane rdma: opaque, for the peer's lane; NULL: none
    size_t endpoint_bytes; // at most CM_ENDPOINT_MAX_BYTES
};

// A channel that shuntd made. The fds are the receiver's, close-on-exec, already moved up.
struct cm_channel {
    uint64_t cookie;
    int memfd;
    int side;            // 0 or 1
    int bell, peer_bell; // lane rdma: two numbers of the same
    int chunk_fd;        // only from cm_attach: this side's chunk, else -1
    uint32_t chunk_slot;
    uint8_t lane;              // enum shunt_lane
    uint64_t channel_id;       // the same on both sides; not 0
    const void *peer_endpoint; // of the peer's wish; good until the callback returns
    size_t peer_endpoint_bytes;
};

// Why the other side of a mirrored channel (lane rdma) is out of reach.
enum cm_gone {
    CM_GONE_LEFT = 1, // its program has dropped the channel
    CM_GONE_DIED,     // its process has ended
    CM_GONE_OVER,     // the connection is over, or was claimed anew
    CM_GONE_CUT,      // a shuntd or the link between two is lost; the other process may live
};

// Called from cm_poll, cm_attach, cm_await and cm_claim.
struct cm_events {
    // The peer has claimed too: here is the channel. The fds in ch belong to the callee.
    void (*matched)(void *arg, const struct cm_channel *ch);
    // No channel for cookie: reason is a short sentence without a full stop. Final for this claim.
    // again: only because there is no shuntd, or it has too much to do; a new claim may do better
    // in a while.
    void (*refused)(void *arg, uint64_t cookie, const char *reason, bool again);
    // The claim still waits; text says for what, without a full stop.
    void (*noted)(void *arg, uint64_t cookie, const char *text);
    // The other side of a mirrored channel says this, by cm_relay(): in order, none twice. bytes
    // are good until the callback returns.
    void (*relayed)(void *arg, uint64_t cookie, const void *bytes, size_t n);
    // Nothing more can be relayed on the mirrored channel, and shuntd has forgotten it: the process
    // may claim the connection anew. Told once, and not after this side's cm_drop(). These two may
    // be NULL in a process that never wishes for lane rdma.
    void (*peer_gone)(void *arg, uint64_t cookie, enum cm_gone why);
    void *arg; // of all
};

struct cm;

// Makes no connection to shuntd yet. daemon_socket: of shunt.conf, NULL for none (see cm/place.h);
// it must last. Never fails; the struct is static inside cm (one a process).
struct cm *cm_init(const char *daemon_socket, const struct cm_events *events);

// In a forked child, before anything else: forgets the parent's connection and claims.
void cm_forked(struct cm *cm);

// Tells shuntd of a chunk (memfd stays the caller's), connecting if need be; queued if that cannot
// be done now, and told again to the next shuntd if this one dies.
void cm_chunk(struct cm *cm, int memfd);

// To be called before the memfd of a chunk that was told is closed: shuntd lets go of it as well.
void cm_chunk_gone(struct cm *cm, int memfd);

// Claims a connection; proves it by the number of sock in this process, where shuntd can look it
// up, or else by passing it. Does not block. The answer comes as an event, perhaps never (the peer
// may not be under Shunt).
void cm_claim(struct cm *cm, int sock, const struct cm_wish *wish);

// Takes a claim back, or says that this process is done with the channel of cookie. Does not block,
// but where there is no room for more: then 100 ms at most, and no more while shuntd reads nothing.
// Best called after the socket is closed: then shuntd sees at once whether another process has it.
void cm_drop(struct cm *cm, uint64_t cookie);

// Says n bytes, 1 to CM_RELAY_MAX_BYTES, to the other side of a mirrored channel. Does not block.
// 0; -EAGAIN: shuntd does not keep up, try again later; -ENOTCONN: there is no such channel (any
// more); -EMSGSIZE. That it was sent does not mean that it will arrive: see peer_gone().
int cm_relay(struct cm *cm, uint64_t cookie, const void *bytes, size_t n);

// The process makes no system call for the manager any more: nothing is claimed, asked or dropped
// from now on, and what shuntd knows stands until the process ends. The number that the connection
// had and keeps, the caller's now; or -1.
int cm_mute(struct cm *cm);

// Handles what has come, calling events. Does not block. Cheap when nothing is due: one load and
// one clock read; looks at the socket at most every 20 us in the first 50 ms after a claim or
// something relayed, every 10 ms later. shuntd rings the bell of a channel when something was
// relayed to it and when its peer is gone: who was woken so calls cm_await() with a deadline of 0,
// which looks at once.
void cm_poll(struct cm *cm);

// True while any claim waits for its answer, or this process has a mirrored channel: then cm_poll()
// must be called now and then.
bool cm_busy(const struct cm *cm);

// Waits until something came or deadline_ns; then as cm_poll. -ETIMEDOUT, -ENOTCONN or 0.
int cm_await(struct cm *cm, uint64_t deadline_ns);

// Asks for an existing channel of which sock is one end (SO_COOKIE), made by another process that
// gave this one the socket. Blocks until deadline_ns at most.
// Returns 0 and *ch; -ENOENT (no such channel), -ENOTCONN, -ETIMEDOUT.
int cm_attach(struct cm *cm, int sock, uint64_t cookie, uint64_t deadline_ns,
              struct cm_channel *ch);

// Tells shuntd of a socket that another process is about to get, and where the state of its end is:
// of wish, cookie, addresses, chunk_fd and chunk_slot. Blocks as above. 0, or -errno: whoever gets
// the socket will not find the state.
int cm_lend(struct cm *cm, int sock, const struct cm_wish *wish, uint64_t deadline_ns);

// Where is the state of the end of sock, which another process has made? Blocks as above. 0, and
// *chunk_fd is the caller's; -ENOENT: nobody has lent it; -ENOTCONN, -ETIMEDOUT, -EMFILE.
int cm_borrow(struct cm *cm, int sock, uint64_t cookie, uint64_t deadline_ns, int *chunk_fd,
              uint32_t *chunk_slot);

// Does the process pid have a connection to this shuntd, so that it can attach? Blocks as above.
// 1, 0 or -errno.
int cm_is_client(struct cm *cm, int pid, uint64_t deadline_ns);

// The number of threads on this host that spin now, shared by all clients of one shuntd; a private
// word until shuntd gave one. Never NULL, always the same address.
_Atomic uint32_t *cm_spinners(struct cm *cm);

// Those of this process, which shuntd takes back from the sum when it dies: count in both, the sum
// first on the way in and last on the way out, and through the same pointer. The address of the
// pointer stays, what it points to changes with the connection.
_Atomic(_Atomic uint32_t *) *cm_own_spinners(struct cm *cm);

// Is fd one that the manager opened for itself?
bool cm_owns_fd(const struct cm *cm, int fd);

// The caller has made newfd of oldfd, the manager's own or a chunk's, and is about to lose oldfd.
void cm_moved(struct cm *cm, int oldfd, int newfd);

// Moves fd up, close-on-exec, closing the old number: above the limit of open files where that is
// small and can be lifted, else to the top quarter below it, or below 4096 where that is less (the
// kernel's table is as long as the highest number). Returns the new number, or fd itself where
// there is no room above.
int cm_fd_up(int fd);

// A copy of fd above the limit of open files, close-on-exec; -EMFILE: it cannot be lifted.
int cm_fd_dup_over(int fd);
bool cm_fd_is_over(int fd);

// Above every number that these have given so far.
int cm_fd_limit(void);

// Is fd up there, and not a number that the program will want?
bool cm_fd_is_up(int fd);

#endif
