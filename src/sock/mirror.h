// SPDX-License-Identifier: BSD-2-Clause
// Connections whose channel is mirrored by a lane (chan/mirror.h), and what differs for them: they
// are opened in steps, belong to one process, can be lost, and the twin's end may arrive before the
// last bytes do.
#ifndef SHUNT_SOCK_MIRROR_H
#define SHUNT_SOCK_MIRROR_H

#include "chan/mirror.h"
#include "cm/cm.h"
#include "sock/conn.h"

#define HELD_ELSEWHERE "rdma: another process has the socket, too"

// Before a claim: starts the lane if lanes name it. Under no lock.
void mirror_start(const uint8_t *lanes, uint8_t n);
// Fills in what the lane needs; takes the lane off the wish where it cannot be had. Under
// self.lock.
void mirror_wish(const struct conn *c, int fd, struct cm_wish *wish);

// Answers of shuntd; under self.lock. mirror_matched() takes the fds of ch over when it says 0.
int mirror_matched(struct conn *c, const struct cm_channel *ch);
void mirror_relayed(struct conn *c, const void *bytes, size_t n);
void mirror_gone(struct conn *c, enum cm_gone why);

// Goes on with opening. Inside, no lock held. True: the channel is open now.
bool mirror_open(struct conn *c, int fd);

// Gives up a channel that is being opened. Inside, no lock held.
void mirror_stop(struct conn *c, const char *why);

// Goes on with a loss. Inside, no lock of an end held.
void mirror_serve(struct conn *c, int fd);

// May bytes be put into the ring now?
bool mirror_may_put(const struct conn *c);

// Can no more bytes come but what is in the ring? Else the end of the twin is not to be believed.
bool mirror_settled(struct conn *c);

// Has the peer closed its socket?
bool mirror_peer_closed(const struct conn *c);

// Tells the peer that nothing more will be sent.
void mirror_finish(struct conn *c);

// Does the peer know how far we are? Under self.lock.
bool mirror_told(struct conn *c);

// Our sending direction wants to go back and waits until the peer has consumed all. Under tx_lock.
void mirror_ask_head(struct conn *c);

// Lets go of the channel. Under self.lock.
void mirror_free(struct conn *c);

// Has this process started a lane?
bool mirror_in_use(void);

// In a forked child: the lane is the parent's, and so is the channel of c.
void mirror_forked(void);
void mirror_forget(struct conn *c, int fd);

// Before the process ends or becomes another program.
void mirror_drain(void);

static inline bool conn_may_put(const struct conn *c)
{
    return likely(!c->far) || mirror_may_put(c);
}

// What `shunt stat` calls the ring's lane.
int conn_lane(const struct conn *c);

#endif
