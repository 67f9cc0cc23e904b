// SPDX-License-Identifier: BSD-2-Clause
// The tcp carrier for the socket layer: connections on Shunt's own TCP, which shuntd opens and this
// process drives.
//
// shuntd is spoken to over a connection of its own, a question at a time, each with a deadline. Not
// thread-safe: the caller holds its own lock around every call, but for those that take only a
// channel, which any thread may make. Nothing is allocated by malloc. All fds are close-on-exec,
// and all but lifelines and ears' packets are moved up (cm_fd_up).
#ifndef SHUNT_CM_WIRE_H
#define SHUNT_CM_WIRE_H

#include "chan/chan.h"
#include "cm/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CM_WIRE_WHY_BYTES 96
#define CM_WIRE_OPTIONS   12

// What the engine can be told of a connection; in the order of enum tcp_option (tcp/tcp.h).
enum cm_wire_option {
    CM_WIRE_NODELAY,
    CM_WIRE_CORK,
    CM_WIRE_QUICKACK,
    CM_WIRE_KEEPALIVE,
    CM_WIRE_KEEP_IDLE_MS,
    CM_WIRE_KEEP_INTERVAL_MS,
    CM_WIRE_KEEP_COUNT,
    CM_WIRE_USER_TIMEOUT_MS,
    CM_WIRE_SYN_RETRIES,
    CM_WIRE_MSS,
    CM_WIRE_CC,
    CM_WIRE_TOS,
};

struct cm_wire_options {
    uint32_t n;
    struct {
        enum cm_wire_option option;
        uint64_t value;
    } at[CM_WIRE_OPTIONS];
};

// As cm_init().
void cm_wire_init(const char *daemon_socket);

// In a forked child, before anything else.
void cm_wire_forked(void);

// As cm_mute().
int cm_wire_mute(void);

bool cm_wire_owns_fd(int fd);

// One that must keep its number.
bool cm_wire_is_fixed(int fd);

// The caller has made newfd of oldfd, which is ours and is about to be lost.
void cm_wire_moved(int oldfd, int newfd);

// Opens a connection to remote; sock is the kernel's socket, which is neither connected nor used
// up. On success *chan is mapped (cm_wire_leave() undoes it), *lifeline is what the program's fd is
// to be, and the handshake is under way. *cookie: SO_COOKIE of the lifeline. Else -errno, and why
// has a phrase.
int cm_wire_open(int sock, const union cm_addr *remote, const struct cm_wire_options *options,
                 uint64_t deadline_ns, struct chan *chan, int *lifeline,
                 char why[CM_WIRE_WHY_BYTES]);

// Listens as the kernel's listener sock does, on every interface that has a queue. *ears: where
// connections arrive. 0 or -errno with why.
int cm_wire_listen(int sock, uint32_t backlog, const struct cm_wire_options *options,
                   uint64_t deadline_ns, int *ears, char why[CM_WIRE_WHY_BYTES]);

// The listener's stacks are to listen no more, so that the kernel alone does: ears hear nothing new
// then, in no process that has them. Blocks until it is so, or deadline_ns.
void cm_wire_stop(int ears, uint64_t deadline_ns);

// Will the ears hear nothing any more because shuntd is gone?
bool cm_wire_is_deaf(int ears);

// The next connection that ears hear; does not block. As cm_wire_open(); -EAGAIN: there is none;
// -EPIPE: shuntd is gone.
int cm_wire_accept(int ears, struct chan *chan, int *lifeline);

// Before a lifeline goes to another process: where the state of its connection is. shuntd knows it
// when this returns 0, so that the other process may ask at once. Else -errno.
int cm_wire_share(int lifeline, int chunk_fd, uint32_t chunk_slot, uint64_t deadline_ns);

// This process and its family have let go of the rings for good: shuntd carries the bytes between
// them and the lifeline from now on. hard: the last close is to be a reset. May be said again. 0 or
// -errno.
int cm_wire_relay(int lifeline, bool hard, uint64_t deadline_ns);

// A unix socket came from another process. 0: it is a lifeline; *chan is mapped, and the chunk's
// memfd is the caller's. -ENOENT: it is not.
int cm_wire_attach(int sock, uint64_t deadline_ns, struct chan *chan, int *chunk_fd,
                   uint32_t *chunk_slot);

// The channel lives at to from now on.
void cm_wire_move(struct chan *from, struct chan *to);

// Before this process closes its last copy of the lifeline: the bell does not ring any more, for
// who gets the socket's number next is another.
void cm_wire_deaf(const struct chan *chan);

// Unmaps the channel and closes its bell, for this process.
void cm_wire_leave(struct chan *chan);

// ---- of a channel; any thread ----

// As enum net_status.
enum cm_wire_status {
    CM_WIRE_CONNECTED = 1,
    CM_WIRE_FIN = 2,
    CM_WIRE_CLOSED = 4,
    CM_WIRE_URGENT = 16,
};

uint32_t cm_wire_status(const struct chan *chan);
int cm_wire_error(const struct chan *chan); // 0 or the negative errno that ended it

// The next change of the status rings the bell.
void cm_wire_arm(const struct chan *chan);

// Ends our direction after the bytes in the ring (FIN); reads no more.
void cm_wire_shut_tx(const struct chan *chan);
void cm_wire_shut_rx(const struct chan *chan);

// The last user lets go: FIN, or RST with bytes unread or where hard, leaves now, not only when
// shuntd sees that the lifeline has hung up. Nothing else may be asked of the channel after it.
void cm_wire_end(const struct chan *chan, bool hard);

// The last of the next ahead bytes that are put into the ring is urgent.
void cm_wire_urgent(const struct chan *chan, uint32_t ahead);

// What CM_WIRE_CC is to be for an algorithm; -1: the engine has none of that name.
int cm_wire_congestion(const char *name);

int cm_wire_set(const struct chan *chan, enum cm_wire_option option, uint64_t value);

struct cm_wire_info {
    union cm_addr local, remote; // of the family asked for
    uint8_t state;               // as tcp(7) numbers them: 1 is ESTABLISHED
    bool timestamps, sack, wscale;
    uint8_t snd_wscale, rcv_wscale;
    uint32_t unsent_bytes, unacked_bytes; // written: not sent; sent, and not acknowledged
    uint64_t urgent_pos;                  // stream position behind the urgent byte: CM_WIRE_URGENT
    uint32_t mss, mss_peer, pmtu, cwnd_bytes, ssthresh_bytes, rcv_bytes, retransmits;
    uint64_t srtt_ns, rttvar_ns, min_rtt_ns, pacing_rate;
};

// 0 or -EBADF: it is over, and all is zero.
int cm_wire_info(const struct chan *chan, int family, struct cm_wire_info *info);

#endif
