// SPDX-License-Identifier: BSD-2-Clause
// All that the lane has in one process, and its channels. Shared by the files of this folder.
#ifndef SHUNT_LANE_RDMA_STATE_H
#define SHUNT_LANE_RDMA_STATE_H

#include "chan/mirror.h"
#include "lane/rdma/link.h"
#include "lane/rdma/mirror.h"

#include <netinet/in.h>
#include <pthread.h>

#define QP_BUCKETS 64

union lane_addr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct rdma_chan {
    struct list node;  // lane.chans
    struct list dirty; // in lane.dirty: something could not be sent for want of credits
    struct mirror mirror;
    _Atomic uint8_t state; // enum mirror_state
    bool is_offered;       // the peer may write into our ring, or will be told that it may
    bool is_answered;      // the peer's OPEN is here
    bool is_closed;        // by its user
    bool is_bereft;        // the peer's process has ended: what the link brings counts no more
    bool tell_loss;        // by the control path
    bool silent;           // the peer has bytes of which no message told
    bool active;           // this side calls, if there is no link yet
    uint16_t slot, peer_slot;
    uint32_t peer_rkey;
    uint64_t peer_addr, peer_word;
    uint32_t word_rkey;
    uint64_t word; // what the peer had written into ours
    uint64_t channel_id;
    struct rdma_endpoint peer;
    union lane_addr local, remote; // of the connection; ports are of no account
    struct rdma_link *link;        // NULL: none yet, or no more
    struct ibv_mr *tx_mr, *rx_mr;
    const char *why; // it is lost or failed
    uint64_t deadline_ns;
    uint8_t relay[MIRROR_RELAY_MAX]; // waits for the control path
    size_t relay_bytes;
};

// A call that came before the channel that it is for.
struct rdma_caller {
    struct list node;
    struct rdma_cm_id *id;
    struct rdma_hello hello;
    uint64_t deadline_ns;
};

struct rdma_lane {
    pthread_mutex_t lock;
    struct mirror_host host;
    bool started;
    struct list hubs, links, chans, callers;
    struct list owing; // links that owe many credits
    struct list dirty; // channels that have something to push, or may have
    bool has_news;     // some are new there
    struct list by_qp[QP_BUCKETS];
    struct rdma_endpoint self;
    struct rdma_event_channel *events;
    struct rdma_cm_id *listener;
    int epfd;
    uint32_t n_callers;
    uint32_t n_heard; // sleeps that a completion has ended
    uint64_t pinned_bytes;
    _Atomic bool has_work; // advance() has something to do
    _Atomic uint32_t opening;
    uint64_t looked_ns;             // for events, when something is opening
    uint32_t sleepers;              // threads between arm() and woken()
    _Atomic uint64_t watched_ticks; // when the links were watched last
};

extern struct rdma_lane lane;

static inline struct rdma_chan *chan_of(struct chan_mirror *m)
{
    return (struct rdma_chan *)(void *)m;
}

// Does what comes by the link count for it?
static inline bool chan_hears(const struct rdma_chan *ch)
{
    return ch->state <= MIRROR_OPEN && !ch->is_bereft;
}

// ---- fds.c ----

// Gives a library's fd another number, out of the program's way, hides it from the program, and
// remembers it. A library can close it only after lane_lose_fd().
void lane_own_fd(int *fd);
void lane_lose_fd(int fd);
// The same for an fd that its library goes on to use by number and never closes when asked to: the
// kernel's object goes at lane_void_fd(), and the number stays taken.
void lane_borrow_fd(int *fd);
void lane_void_fd(int fd);
// In a forked child: kernel objects live as long as an fd of them is open anywhere.
void lane_close_fds(void);
// Makes fd one that does not block, and the lane's fd readable when fd is. 0 or -errno.
int lane_watch(int fd);

// ---- meet.c: links are made ----

int meet_start(void);
// The link to the peer of ch: there already, or being made. NULL: it must wait for the peer's call,
// or no link can be made and ch has failed.
struct rdma_link *meet(struct rdma_chan *ch);
void meet_advance(uint64_t now_ns);

// ---- chans.c ----

void chan_fail(struct rdma_chan *ch, enum mirror_state state, const char *why);
void chan_lost(struct rdma_chan *ch, const char *why);
// The link is up: the rings are registered and offered.
void chan_join(struct rdma_chan *ch, struct rdma_link *l);
// The peer's OPEN has come.
void chan_answered(struct rdma_chan *ch, const struct rdma_open *o);
// Sends what can be sent.
void chan_push(struct rdma_chan *ch);
// What the peer of a lost channel is to be told by the control path; 0: nothing new.
size_t chan_tell_lines(struct rdma_chan *ch, uint8_t *to);
// A link of theirs is up, or gone.
void chans_link_up(struct rdma_link *l);
void chans_link_lost(struct rdma_link *l);
void chans_advance(uint64_t now_ns);

#endif
