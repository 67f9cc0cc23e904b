// SPDX-License-Identifier: BSD-2-Clause
// Moving bytes between the twin and the ring: what tx.c and rx.c need of move.c.
#ifndef SHUNT_SOCK_MOVE_H
#define SHUNT_SOCK_MOVE_H

#include "cm/cm.h"
#include "sock/conn.h"

// Why a connection is not on its first lane, for `shunt stat`; and the rule's name.
void conn_reason(struct conn *c, const char *reason);

// A short connection pays for nothing: the calls that a request and its reply take, in the
// program's loop, and the bytes in which most of them fit.
#define EARLY_TO_DECIDE 6
#define EARLY_TO_CLAIM  12
#define EARLY_BYTES     4096

// What a call counts for in after_bytes, besides what it carries: a move has paid for itself after
// about thirty requests and replies, however small.
#define CALL_BYTES 256

// Is one more call among the first ones of c? Never where nothing is to be carried first.
bool conn_is_early(struct conn *c, uint32_t calls, uint64_t patience_bytes);

// The first use of c, which is mapped, in a forked child or a new program: shuntd is shown where
// its counters are, as whoever has shown it before may be gone. Inside.
void conn_show(struct conn *c);

// A hopeful connection is claimed when it has carried enough, or at once. Inside.
void conn_claim(struct conn *c, int fd, bool at_once);

// A claimed connection whose rule requires a lane is ended when its deadline is over. Inside.
void conn_deadline(struct conn *c, int fd);

// Handles the answers of shuntd that have come; waits for one up to wait_ns. Inside.
void conn_answers(uint64_t wait_ns);

// Joins the channel that another process of the family has. Inside; may wait for shuntd. 0 or
// -errno.
int conn_attach(struct conn *c, int fd);

// In a forked child, under no lock: the manager starts anew.
void self_forked(void);

// All numbers of c begin anew, as one socket that was never connected.
void conn_begin_anew(struct conn *c);

// Ends the connection with an RST; the next calls get the kernel's errors. Inside.
void conn_abort(struct conn *c, int fd);

// The same because the peer wrote nonsense into the channel. Inside.
void conn_break(struct conn *c, int fd);

// What the policy says of c, into c->rule. remote NULL: not known.
void conn_ask(struct conn *c, const union cm_addr *local, const union cm_addr *remote);

// A direction has changed its way: counts that.
void conn_counted(struct conn *c);

// Moves our sending direction to the carrier if the consumer allows it. Inside, under tx_lock.
// True when it is on the carrier now.
bool conn_tx_return(struct conn *c);

// Sends by the carrier what it must carry again after CHAN_WANT_AGAIN. Inside, under tx_lock.
// 0: nothing is left; else -EAGAIN or the error of sending.
int conn_send_again(struct conn *c, int fd);

// Threads and processes that sleep on our bell look again, all of them.
void conn_rouse(struct conn *c);

// Does what is due of END_LEAVING, and ends the channel when it is done (leave.c). Inside, no lock
// held.
void conn_leave(struct conn *c, int fd);

// Another process of the family has ended the channel: this one lets go of it. As above.
void conn_let_go(struct conn *c);

// Puts a new channel where the one that ended was. Under self.lock. 0 or -errno; ch stays the
// caller's in either case but for what chan_renew() copied.
int conn_renew(struct conn *c, const struct cm_channel *ch);

// Is all that conn_lane_lost() began done? Follows the peer meanwhile. Inside, no lock held.
bool conn_is_home(struct conn *c, int fd);

// Maps the channel that shuntd made, in the place of one that has ended. Under self.lock. 0: the
// fds are taken over.
int conn_map(struct conn *c, const struct cm_channel *ch, uint32_t generation);

#endif
