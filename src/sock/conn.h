// SPDX-License-Identifier: BSD-2-Clause
// A TCP socket as this process knows it: the private part, above the family's struct sock_end.
//
// The fd is always a real kernel TCP socket, the twin. Functions here return -errno and never set
// errno. Those that say "inside" must be called between sock_enter() and sock_leave().
#ifndef SHUNT_SOCK_CONN_H
#define SHUNT_SOCK_CONN_H

#include "base/list.h"
#include "cm/choice.h"
#include "cm/wire.h"
#include "sock/end.h"
#include "sock/spin.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum conn_stage {
    CONN_NEW = 0, // made, not connected
    CONN_LISTEN,
    CONN_FRESH,   // connected, hardly used yet: no decision, no end
    CONN_RAW,     // the kernel's for good: every call passes straight through
    CONN_HOPEFUL, // may be claimed when it has carried enough
    CONN_CLAIMED, // claimed at shuntd, no answer yet
    CONN_MAPPED,  // has a channel: the epochs in end say where bytes go
};

struct carrier;

struct conn {
    alignas(
        64) _Atomic uint32_t users; // threads inside a call on it (counted when there are threads)
    _Atomic uint32_t fds;           // fd numbers of this process
    _Atomic uint32_t early;  // as end.rx_raw and tx_raw, for who came before there was an end
    _Atomic uint32_t uses;   // calls until it is claimed (conn_is_early)
    _Atomic uint8_t stage;   // enum conn_stage
    uint8_t role;            // enum policy_role
    bool nonblock;           // O_NONBLOCK before there is an end to note it in
    bool live;               // taken from the pool and not given back; under self.lock
    bool registered;         // shuntd counts this process among the channel's holders
    _Atomic bool epoll_up;   // the epoll sets watch the bell (epoll.c)
    bool inherited;          // others may hold the socket without knowing an end: never offered
    _Atomic bool wants_lane; // may have to end without one (require.c)
    _Atomic bool refused;    // was ended so, and the program not told yet
    bool dressed;            // a listener with ears: options that accepted ones must be given
    bool kernel_only;        // not connected yet: has options that its connections must keep
    bool hasty;              // the engine gives up its handshake early (wire_open.c)
    bool sndbuf;             // the program has set SO_SNDBUF
    struct conn_far *far;    // of a mirrored channel (mirror.h); NULL: the peer shares it
    struct sock_end *end;    // NULL before the first use and for listeners
    struct chan chan;        // chan.shared NULL until CONN_MAPPED; blank when that is over
    uint32_t generation;     // of chan; behind the end's: another process has ended the channel
#define CONN_NO_CHANNEL UINT32_MAX       // it is blank
    struct policy_outcome rule;          // good from the first use on
    _Atomic uint64_t early_tx, early_rx; // bytes carried before there was an end to count them in
    uint64_t made_ns;                    // when it was connected
    uint32_t hint_seen;                  // value of the peer's hint that was acted upon
    struct spin_memory spin;             // how long waits took lately
    uint64_t cookie;                     // SO_COOKIE, good from CONN_CLAIMED on
    // When an epoll set that watches the twin had all news from the kernel last; NULL: no set does.
    const _Atomic uint64_t *told_ticks;
    const struct carrier *carrier;    // what lies below the ring; never NULL
    uint8_t ring_lane;                // enum shunt_lane that bytes in the ring are counted as
    uint8_t family;                   // of its addresses, where the carrier is our own
    int shadow;                       // the kernel's socket that was to be connected and keeps the
                                      // options; -1: not made. Only where the carrier is our own
    char obstacle[CM_WIRE_WHY_BYTES]; // why it is not on our own TCP; "": nobody asked
    int held;            // the lifeline, for calls that outlive the last number (wire_closing); -1
    int ears;            // of a listener: hears what stacks accept (daemon/wire.h); -1
    struct list watches; // of struct epoll_watch, guarded by epoll.c
    struct list claimed; // in the table of claims, by cookie
};

// ---- life (conn.c) ----

// The connection behind fd, held until conn_put(); NULL: fd is none of ours. Never blocks.
struct conn *conn_get(int fd);
void conn_put(struct conn *c);

// Is fd one of c's numbers still?
bool conn_has_number(const struct conn *c, int fd);

void conn_made(int fd, int type_flags);      // after socket()
void conn_connected(struct conn *c, int fd); // after connect() said 0 or EINPROGRESS
void conn_accepted(int fd, int type_flags, struct conn *listener); // after accept()
void conn_listening(struct conn *c);
// A connection that did not come from the kernel, new and in stage CONN_NEW. NULL: no memory.
struct conn *conn_wired(int fd, int type_flags, enum policy_role role);
void conn_duped(int oldfd, int newfd); // after any kind of dup; newfd's old meaning is gone
void conn_adopt(int fd);               // an fd that came by exec or SCM_RIGHTS; any kind

// close(fd): forgets the number, closes it in the kernel, tells the peer to look. What close said.
int conn_close(int fd);

// The number is about to be closed by the kernel itself (dup2 over it): forgets it and tells the
// peer to look soon.
void conn_closing(int fd);

// Around fork: in the parent before (takes the locks that the child must find free; gives ends to
// all that might be used on both sides), and after in both.
void conn_before_fork(void);
void conn_after_fork(bool child);

// Lets go of the channel. Under self.lock.
void conn_unmap(struct conn *c);

// ---- progress (move.c) ----

// Asks the policy, and makes the end. Inside or out; CONN_FRESH to CONN_RAW or CONN_HOPEFUL. Due at
// the first use, or a little later where the policy has no wish of so young a connection: those
// that end after one request never pay for it.
void conn_decide(struct conn *c, int fd);

// An adopted, connected socket: shares the end that its maker has lent, or becomes CONN_RAW.
void conn_join(struct conn *c, int fd);

// Another process is about to get the socket, and will find the end by shuntd. False: not so, and
// the connection must be CONN_RAW or on the twin for good before. Not inside; blocks until
// deadline_ns.
bool conn_lend(struct conn *c, int fd, uint64_t deadline_ns);

// Does whatever is due: decision, claim, mapping, readiness, moves that are possible, wishes of the
// peer. Inside. Cheap when nothing is due. Called at every carrier operation and before every wait.
void conn_advance(struct conn *c, int fd);

// Is chan the channel that the end speaks of? For who has one.
static inline bool conn_current(const struct conn *c)
{
    return likely(c->generation == atomic_load_explicit(&c->end->generation, memory_order_relaxed));
}

// Is there a kernel TCP socket below c?
bool conn_has_twin(const struct conn *c);

// True while bytes of this direction go by the ring.
static inline bool conn_tx_ring(const struct conn *c)
{
    return c->chan.shared && (atomic_load_explicit(&c->end->tx.epoch, memory_order_relaxed) & 1) &&
           conn_current(c);
}
static inline bool conn_rx_ring(const struct conn *c)
{
    return c->chan.shared && (atomic_load_explicit(&c->end->rx.epoch, memory_order_relaxed) & 1) &&
           conn_current(c);
}

// Bytes that the ring of our sending direction holds at most.
static inline uint32_t conn_tx_bytes(const struct conn *c)
{
    uint32_t limit = c->end->tx_limit;

    return unlikely(limit) ? MIN(limit, c->chan.ring_bytes) : c->chan.ring_bytes;
}

// chan_room() of what the ring may hold. Under tx_lock.
static inline int64_t conn_room(struct conn *c, uint64_t want)
{
    uint64_t apart = c->chan.ring_bytes - conn_tx_bytes(c);
    int64_t room = chan_room(&c->chan, &c->end->tx, want + apart);

    return room < 0 ? room : MAX(room - (int64_t)apart, (int64_t)0);
}

// True when the ring will bring no more than it holds: the stream goes on in the twin.
static inline bool conn_rx_ends(const struct conn *c)
{
    uint64_t mark;

    return conn_rx_ring(c) && chan_rx_moved(&c->chan, &c->end->rx, &mark);
}

// True when reads must not block in the kernel, and readiness is told by conn_mask().
static inline bool conn_ready(const struct conn *c)
{
    return c->chan.shared && end_has(c->end, END_READY) && conn_current(c);
}

// The lane under the channel is lost, or must not be used for a while: both directions go back to
// the twin, with all unread bytes, in the calls of both sides that follow. Then the channel ends,
// and the connection may be claimed and switched anew. Nothing where there is no channel. Inside,
// no lock of the end held; does not block. reason for `shunt stat`.
void conn_lane_lost(struct conn *c, int fd, const char *reason);

// Goes back to the twin for good, both directions, with all unread bytes; waits for the peer until
// deadline_ns. Not inside. reason for `shunt stat`. 0; -ETIMEDOUT: some direction is still on the
// ring (it goes on working, and the wish stays).
int conn_go_back(struct conn *c, int fd, bool unread_too, uint64_t deadline_ns, const char *reason);

// As conn_lane_lost(), and waits until the channel has ended, or is not opened any more. Not
// inside. 0, or -ETIMEDOUT: it goes on leaving.
int conn_leave_lane(struct conn *c, int fd, uint64_t deadline_ns, const char *reason);

// As conn_go_back() for our sending direction only: whatever is sent next goes by the twin.
// nonblock: -EAGAIN.
int conn_tx_back(struct conn *c, int fd, bool nonblock, const char *reason);

// Looks at the twin (one poll call) and notes RDHUP and errors in the flags. Inside.
void conn_look(struct conn *c, int fd);

// Looks if the peer has hinted since. Inside.
void conn_look_if_hinted(struct conn *c, int fd);

// Looks if the peer has hinted since, or nobody has looked for some 100 us. Inside.
void conn_look_if_due(struct conn *c, int fd);

// Has every holder of the peer's socket closed it, so that what we send can reach nobody? Asks the
// kernel (sock_diag, peer.c); 3 us. Only for peers on this host.
bool conn_peer_gone(int fd);

// The same for any: may nobody read any more what we send?
bool conn_nobody_reads(const struct conn *c, int fd);

// Does what the peer wishes of our sending direction, if anything, and what else its header asks
// for. Inside, no lock held. Called wherever a connection with a channel is looked at.
void conn_serve(struct conn *c, int fd);

// The consumer's side of a move: if the producer has moved on and we have reached the mark,
// follows. Inside, under rx_lock. True when it did.
bool conn_follow(struct conn *c, int fd);

// ---- data (tx.c, rx.c) ----

// As sendmsg/recvmsg of bytes: iov and flags have their meaning, blocking, timeouts, signals too.
// Not inside. Return bytes or -errno; SIGPIPE is raised as the kernel would.
ssize_t conn_send(struct conn *c, int fd, const struct iovec *iov, int iovcnt, int flags);
ssize_t conn_recv(struct conn *c, int fd, const struct iovec *iov, int iovcnt, int flags);

// Moves up to n bytes from in_fd (a file or pipe; off as in sendfile, NULL: its own position) into
// the stream with one copy, and the reverse for splice to a pipe. Reading in_fd and writing out_fd
// must not block: of a pipe the caller awaits readiness first. -EOPNOTSUPP: not on the ring now,
// call the kernel's.
ssize_t conn_send_from(struct conn *c, int fd, int in_fd, off_t *off, size_t n, int flags);
ssize_t conn_recv_to(struct conn *c, int fd, int out_fd, size_t n, int flags);

// Bytes that can be read, or were written and have not arrived, on ring and twin together
// (FIONREAD, SIOCOUTQ).
int conn_unread(struct conn *c, int fd);
int conn_unsent(struct conn *c, int fd);

// ---- waiting (wait.c, poll.c, epoll.c) ----

// The POLL* bits that hold now (of IN, PRI, OUT, RDHUP, ERR, HUP), for a connection for which
// conn_ready() holds. Inside. May make one poll call on the twin where a direction is on the
// carrier.
short conn_mask(struct conn *c, int fd);
// The same for who is told by the kernel when the twin has news: looks at it only if the peer
// hints.
short conn_mask_told(struct conn *c, int fd);

// One call of the program that may wait. Zero-cost until it does: conn_wait() fills it.
struct conn_call {
    int64_t timeout_ns;   // 0: for ever (SO_RCVTIMEO, SO_SNDTIMEO)
    uint64_t deadline_ns; // 0: not waited yet
    uint32_t interrupts;  // sock_thread.interrupts when the call began
    size_t need;          // bytes without which a reader cannot go on; 0 means 1
};

// Waits for one of events on one connection for which conn_ready() holds: spins as its rule allows,
// then sleeps. Not inside. 0: look again; -EINTR; -EAGAIN: the timeout is over.
int conn_wait(struct conn *c, int fd, short events, struct conn_call *call);

// Prepares to sleep on the bell: counts the sleeper, clears and arms. The caller looks again, polls
// chan.bell for POLLIN and the twin for what conn_sleep_events() says, then calls conn_woken().
// Returns whether tx means room in the ring (else in the twin): the caller's to remember, for the
// direction may move at any time. Whoever sleeps must then be woken, too: wait.c says how.
bool conn_sleep(struct conn *c, bool rx, bool tx);
// Arms the bell alone; the caller looks again.
void conn_arm(struct conn *c, bool rx, bool room);
void conn_woken(struct conn *c, bool rx, bool room);
// What the twin has to say as things are now.
short conn_twin_events(const struct conn *c, bool rx, bool tx);
// What of the twin wakes a sleeper; twin_tx: that sleeps for room in the twin.
short conn_sleep_events(const struct conn *c, bool rx, bool twin_tx);

// Around the kernel's recv or poll, in which the thread may fall asleep: counts it, so that nobody
// lets the peer switch meanwhile. False: the peer may have switched, look at the ring; then nothing
// is counted. *counter is conn_woke()'s; NULL when no other thread or process could interfere.
bool conn_doze(struct conn *c, _Atomic uint32_t **counter);
void conn_woke(_Atomic uint32_t **counter);

// Called by move.c when a channel becomes ready for this process, and when it has gone back wholly:
// epoll sets follow (epoll.c), those of later watches, too. Nothing where they have. Inside.
// -errno: then the connection is not made ready.
int epoll_conn_up(struct conn *c);
void epoll_conn_down(struct conn *c);

// Called when the number fd is about to be closed: the watches of that number end.
void epoll_conn_closing(struct conn *c, int fd);

#endif
