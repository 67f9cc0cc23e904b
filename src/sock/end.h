// SPDX-License-Identifier: BSD-2-Clause
// One side of a TCP connection, in memory that forked processes share and the peer never sees.
//
// Ends live in chunks (memfds, see cm/record.h). A chunk that was there at a fork is shared by the
// family from then on: its ends are not reused, and it is unmapped when this process has let go of
// all of them; the kernel counts the processes.
#ifndef SHUNT_SOCK_END_H
#define SHUNT_SOCK_END_H

#include "chan/chan.h"
#include "cm/record.h"
#include "sock/lock.h"

enum end_flag {
    END_NONBLOCK = 1 << 0, // O_NONBLOCK of the file description
    END_SHARED = 1 << 1,   // a process was forked since: others may hold this end
    END_FROZEN = 1 << 2,   // stays on the carrier, or goes back to it
    END_ATTACHED = 1 << 3, // a process of the family has the channel: map it before any I/O
    END_READY = 1 << 4,    // nobody may block in the kernel's recv: the peer may switch at any time
    END_RDHUP = 1 << 5,    // the twin was seen to have the peer's FIN
    END_DEAD = 1 << 6,     // the twin was seen with an error or hung up
    END_TX_SHUT = 1 << 7,  // shutdown(SHUT_WR) was called
    END_RX_SHUT = 1 << 8,
    END_BROKEN = 1 << 9,  // the peer wrote nonsense into the channel: reset
    END_MOVING = 1 << 11, // a thread is about to move our direction to the ring: stay out of send
    // only on Shunt's own TCP
    END_TOLD = 1 << 16,    // the error that ended it was told
    END_CUT = 1 << 17,     // shuntd is gone
    END_HARD = 1 << 18,    // SO_LINGER with time 0
    END_OPENED = 1 << 19,  // connect() has told that it is connected
    END_RELAYED = 1 << 20, // shuntd carries the bytes between the rings and the lifeline
    END_HOLD = 1 << 10, // nobody may consume from the ring: the producer sends it again by the twin
    END_LEAVING = 1 << 12, // both directions go back; then the channel ends, and another may follow
    END_CROWD = 1 << 13,   // which processes have the socket is not known any more (holders.h)
};

#define END_HOLDERS 4

struct sock_end {
    struct cm_record rec;
    // producer
    alignas(64) struct sock_lock tx_lock;
    struct chan_tx tx;
    uint64_t again_from, again_to; // ring bytes that the carrier must carry again first
    _Atomic uint32_t tx_raw;       // threads inside the kernel's send
    _Atomic uint32_t tx_sleepers;  // threads that sleep on the bell for room in the ring
    int64_t sndtimeo_ns;           // 0: none
    uint32_t tx_limit;             // bytes that the ring is to hold at most (SO_SNDBUF); 0: all
    // consumer
    alignas(64) struct sock_lock rx_lock;
    struct chan_rx rx;
    _Atomic uint32_t rx_raw;      // threads inside a blocking recv or poll of the kernel's
    _Atomic uint32_t rx_sleepers; // threads that sleep on the bell for data
    uint32_t rcvlowat;            // >= 1
    int64_t rcvtimeo_ns;
    // both
    alignas(64) _Atomic uint32_t flags; // enum end_flag
    _Atomic uint32_t generation;        // counts the channels that have ended
    _Atomic uint64_t looked_ticks;      // when the twin was looked at last
    _Atomic uint64_t rest_until_ns; // on the carrier, so that a bad lane is not tried all the time
    uint64_t rest_ns;
    _Atomic uint32_t passes; // rings of our bell that were passed on to other sleepers, in turn
    _Atomic int holders[END_HOLDERS]; // processes that got the socket by fork (holders.h)
};

static inline bool end_has(const struct sock_end *e, uint32_t flag)
{
    return atomic_load_explicit(&e->flags, memory_order_relaxed) & flag;
}

static inline void end_set(struct sock_end *e, uint32_t flag)
{
    atomic_fetch_or(&e->flags, flag);
}

static inline void end_clear(struct sock_end *e, uint32_t flag)
{
    atomic_fetch_and(&e->flags, ~flag);
}

// True when no other thread and no other process can touch e now.
extern char __libc_single_threaded;
static inline bool end_alone(const struct sock_end *e)
{
    return __libc_single_threaded && !end_has(e, END_SHARED);
}

// Stay on the carrier for some time, the longer the more often that was needed lately (leave.c).
void end_rest(struct sock_end *e);
bool end_rested(const struct sock_end *e);

// Where an end lives.
struct end_place {
    int chunk_fd;
    uint32_t slot;
};

// A zeroed end, or NULL when there is no memory (the connection then stays as it is, untracked).
struct sock_end *end_new(void);
void end_free(struct sock_end *e);
struct end_place end_place(const struct sock_end *e);

// Another process is about to share e: its place is not given to another end.
void end_lend(struct sock_end *e);

// Maps the end of another process; chunk_fd is taken over on success. NULL: nonsense or no memory.
struct sock_end *end_adopt(int chunk_fd, uint32_t slot);

// In the parent before fork: marks every end END_SHARED, and starts a new chunk afterwards.
void end_before_fork(void);

// A chunk's fd has got the number newfd. False: oldfd is none.
bool end_moved(int oldfd, int newfd);

// In a forked child: tells the child's own connection to shuntd of the chunks that it shares.
void end_announce(void);

#endif
