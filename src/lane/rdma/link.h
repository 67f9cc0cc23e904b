// SPDX-License-Identifier: BSD-2-Clause
// A link: one reliable connection (RC queue pair) between two processes, for all their channels.
//
// Links of one device share a hub: protection domain, completion queue, shared receive queue. The
// first hub of a device stays as long as the device does, and hears of its removal. A
// message takes one receive at the peer, so a side sends only as many as it has credits for: the
// peer's receive queue never runs dry, and nothing is ever answered "receiver not ready". The last
// credit is kept for a message that gives credits back, so that two sides without any cannot wait
// for one another; some more are kept from ring bytes for lines, which must get through when the
// peer takes nothing off its queue for a while. A peer that does so gets ring bytes all the same:
// they are written without a message, and then the channel's tail into a word of the peer's, at
// which it looks for as long as our latest message said so. So bytes never wait in this process,
// which may not come back to the lane for a long time.
//
// Everything here is called under the lane's lock.
#ifndef SHUNT_LANE_RDMA_LINK_H
#define SHUNT_LANE_RDMA_LINK_H

#include "base/list.h"
#include "lane/rdma/wire.h"

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#define LINK_CREDITS      128                // receives for one link in its hub
#define LINK_CREDITS_KEPT 32                 // from ring bytes
#define LINK_SENDS        256                // of the send queue; messages in flight never fill it
#define LINK_OWED_MOST    (LINK_CREDITS / 4) // credits that may be owed without telling
#define LINK_OWED_LEAST   (LINK_CREDITS / 8) // that are worth telling with another message
#define HUB_SPENT_MOST    64
#define LINK_SLOTS_MAX    8192
#define LINK_SEND_BIT     (UINT64_C(1) << 63) // in a wr_id: a send, the number of sends up to it

struct rdma_chan;

struct rdma_hub {
    struct list node;
    struct rdma_cm_id *watch; // of a device's first hub: bound to the device
    struct ibv_context *verbs;
    struct ibv_pd *pd;
    struct ibv_comp_channel *events;
    struct ibv_cq *cq;
    struct ibv_srq *srq;
    uint8_t *notes; // RDMA_NOTE_BYTES for each receive
    struct ibv_mr *notes_mr;
    uint32_t receives, links, max_links;
    uint64_t spent[HUB_SPENT_MOST]; // notes that were received, not posted again
    uint32_t n_spent;
    int peer_silent; // links whose peer may have written tails without a message
    bool armed;      // the completion queue will say when something comes
    bool has_event;  // and has said so, or is about to
    bool gone;       // the device
};

enum link_state {
    LINK_ADDRESS,  // active: the kernel looks for a device to the peer's address
    LINK_ROUTE,    // active
    LINK_CALLED,   // active: asked, no answer yet
    LINK_ANSWERED, // passive: said yes, not confirmed yet
    LINK_UP,
    LINK_LOST,
};

struct rdma_link {
    struct list node;  // lane.links
    struct list by_qp; // in the table by queue pair number
    struct list owing; // in lane.owing
    enum link_state state;
    bool active; // this side has called
    uint8_t peer[RDMA_TOKEN_BYTES];
    uint16_t peer_port;
    uint64_t channel_id;  // that it was called for
    uint64_t deadline_ns; // until it must be up
    const char *why;      // it was lost
    struct rdma_cm_id *id;
    struct rdma_hub *hub;
    struct ibv_qp *qp;
    uint32_t inline_bytes; // that may be sent inline
    bool has_imm;
    uint8_t *outbox; // RDMA_NOTE_BYTES for each of LINK_SENDS, where notes cannot go inline
    struct ibv_mr *outbox_mr;
    uint64_t posted, done; // sends
    uint64_t seen_done;    // done, when it was looked at last
    uint64_t asked_ns;     // when it was asked for; 0: not
    uint32_t unsignaled;
    uint32_t credits;        // messages that we may send
    uint32_t owed;           // receives used, not told to the peer
    uint32_t n_silent;       // channels of ours that have bytes there without a message
    bool peer_silent;        // the peer may have written tails without a message
    _Atomic uint64_t *words; // of LINK_SLOTS_MAX channels, where the peer does
    struct ibv_mr *words_mr;
    struct rdma_chan **slots;
    uint32_t n_slots, n_chans;
};

// ---- hub.c ----

// A hub of the device that id is bound to with room for one link more, new or old. NULL: errno.
struct rdma_hub *hub_get(const struct rdma_cm_id *id);
// Frees what has no links and is not needed for others.
void hub_put(struct rdma_hub *h);
// The device is being removed, which lasts until this process has let go of it: all its links are
// lost.
void hub_gone(struct rdma_hub *h);
// The hub whose watch id is; NULL: none.
struct rdma_hub *hub_of_watch(const struct rdma_cm_id *id);
// Posts the receives again that were spent: before their credits are given back, many at a time.
void hub_replenish(struct rdma_hub *h);

// ---- link.c ----

// Makes the queue pair on the device that the id was resolved to. 0 or -errno.
int link_make_qp(struct rdma_link *l);
// Moves the queue pair to state, as rdma_cm says. 0 or -errno.
int link_modify_qp(struct rdma_link *l, enum ibv_qp_state state);
void link_lose(struct rdma_link *l, const char *why);
// Gives everything back; the link has no channels.
void link_free(struct rdma_link *l);

// May ring bytes be sent, or lines? Frees send queue entries if need be.
bool link_can_write(struct rdma_link *l);
bool link_can_note(struct rdma_link *l);

// Writes n bytes at `from` to the peer's `to`, and tells it that they are for slot. Legal when
// link_can_write(). Loses the link on error.
struct link_write {
    const uint8_t *from;
    uint64_t to;
    uint32_t bytes, lkey, rkey;
    uint16_t slot;
};
void link_write(struct rdma_link *l, const struct link_write *w);

// The same without a message, when link_can_whisper(); tail goes to the peer's word.
bool link_can_whisper(struct rdma_link *l);
void link_whisper(struct rdma_link *l, const struct link_write *w, uint64_t tail, uint64_t word,
                  uint32_t word_rkey);
// Legal when link_can_note(); n->credits is filled in.
void link_note(struct rdma_link *l, struct rdma_note *n);
// Gives credits back when there are many.
void link_settle(struct rdma_link *l);
// Loses a link of whose sends nothing becomes. To be called now and then, after hub_poll().
void link_watch(struct rdma_link *l, uint64_t now_ns);
// Makes the device say when all is sent that was posted.
void link_flush(struct rdma_link *l);

// The channel that this side calls slot; NULL: none.
struct rdma_chan *link_chan(const struct rdma_link *l, uint32_t slot);
int link_add_chan(struct rdma_link *l, struct rdma_chan *ch, uint16_t *slot); // 0, -ENOMEM, -EMFILE
void link_del_chan(struct rdma_link *l, uint16_t slot);

// ---- poll.c ----

// Takes all completions of the hub's queue. True: there were some.
bool hub_poll(struct rdma_hub *h);
// Before a sleep (true: something has come meanwhile), and after one in which fd was readable.
bool hub_arm(struct rdma_hub *h);
void hub_woken(struct rdma_hub *h, int fd);
// The commonest event, without asking which fd is readable: a completion. True: it was.
bool hub_heard(struct rdma_hub *h);
// Takes what the device says of itself.
void hub_advance(struct rdma_hub *h);

#endif
