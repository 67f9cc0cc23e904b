// SPDX-License-Identifier: BSD-2-Clause
// The manager's state, shared by cm.c (what goes to shuntd) and heard.c (what comes from it), and
// by nobody else.
#ifndef SHUNT_CM_MANAGER_H
#define SHUNT_CM_MANAGER_H

#include "base/clock.h"
#include "cm/cm.h"
#include "cm/cookies.h"
#include "cm/packet.h"
#include "cm/uplink.h"

#include <sys/types.h>

#define CHUNKS   512
#define FRESH_NS (50 * NS_PER_MS) // after a claim or something relayed, look often

// A chunk that shuntd is to know. The inode tells whether the fd still is what it was.
struct told_chunk {
    int fd;
    bool told;
    ino_t ino;
};

// The question whose answer one of the calls that block waits for.
struct question {
    enum { ASK_NOTHING, ASK_ATTACH, ASK_LEND, ASK_BORROW, ASK_CLIENT } kind;
    uint64_t cookie;
    int pid;
    struct cm_channel *channel;
    int answer; // -EINPROGRESS until there is one
};

struct cm {
    struct uplink up;
    uint64_t look_ns;  // nothing is due before
    uint64_t fresh_ns; // look often until then
    uint64_t stuck_ns; // since when shuntd has left packets unread; 0: it has not
    struct cookies claims, drops;
    struct cookies mirrors; // sides of mirrored channels, until dropped or told gone
    struct told_chunk chunks[CHUNKS];
    int n_chunks;
    bool chunks_due;
    bool receiving; // packet is in use
    struct question question;
    bool pass;                  // shuntd cannot look at our fds
    _Atomic uint32_t *spinners; // in a page of our own, over which the host's is mapped
    _Atomic(_Atomic uint32_t *) own_spinners; // in it, or no_slot
    _Atomic uint32_t no_page, no_slot;
    const struct cm_events *events;
    char why[96]; // there is no connection
    struct packet packet;
    uint8_t relay[PACKET_RELAY_BYTES]; // the one that is being sent
};

// Forgets the connection; what waited for it hears why.
void manager_lost(struct cm *cm, const char *why);
void manager_lost_err(struct cm *cm, int err);

// Handles all that is there.
void manager_receive(struct cm *cm);

#endif
