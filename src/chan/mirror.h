// SPDX-License-Identifier: BSD-2-Clause
// A lane whose peer does not share the channel's memory: what it offers to whoever uses channels.
//
// It has a pump (pump.h) for all its channels. All functions may be called by any thread; those
// that say "slow" make kernel objects and allocate, and must not be called in a signal handler.
// None waits for the peer but drain().
#ifndef SHUNT_CHAN_MIRROR_H
#define SHUNT_CHAN_MIRROR_H

#include "chan/pump.h"

#include <sys/socket.h>

#define MIRROR_ENDPOINT_MAX 64  // bytes
#define MIRROR_RELAY_MAX    128 // bytes

enum mirror_state {
    MIRROR_OPENING, // not usable yet
    MIRROR_OPEN,
    MIRROR_LOST,   // what was published may not arrive: go back to the carrier, and send it again
    MIRROR_FAILED, // could not be opened
};

// How the peer's sending direction ends.
enum mirror_end {
    MIRROR_GOING,  // more may come
    MIRROR_FIN,    // all that it has published is here, and it will publish no more
    MIRROR_CLOSED, // the same, and it reads no more
};

// One side of a channel.
struct chan_mirror;

struct mirror_call {
    uint64_t channel_id; // the same on both sides, and known to nobody else
    int side;            // 0 or 1
    struct chan chan;    // this side's mapping and bells, which stay the caller's
    const uint8_t *endpoint;
    size_t endpoint_len;                   // the peer's
    const struct sockaddr *local, *remote; // of the connection
};

// What the lane asks of the program that it lives in; NULL: nothing to do.
struct mirror_host {
    int (*own)(int fd);        // hides an fd from the program; the number that it has from now on
    void (*lose)(int fd);      // it is about to be closed
    bool (*may_be_slow)(void); // false: a signal handler runs
};

struct mirror_lane {
    // For chan.pump, with the struct chan_mirror in chan.pumped.
    struct pump *pump;

    // Once, before all else. Slow. 0 or -errno.
    int (*start)(const struct mirror_host *host);

    // How peers call this process: at most MIRROR_ENDPOINT_MAX bytes. Their number.
    size_t (*endpoint)(uint8_t *to);

    // Begins to open a channel to the process that endpoint names. Slow. 0 and *m; -EPROTO, -EAGAIN
    // (a budget is used up), -ENOMEM.
    int (*open)(const struct mirror_call *call, struct chan_mirror **m);

    // Goes on with whatever is opening or has ended; cheap when there is nothing. Slow.
    void (*advance)(void);

    enum mirror_state (*state)(struct chan_mirror *m);
    // Why it is lost or has failed: a short phrase, static.
    const char *(*reason)(struct chan_mirror *m);
    enum mirror_end (*ended)(struct chan_mirror *m);

    // Bytes that the control path is to carry to the peer's incoming(), in order: their number, 0:
    // none now. At most MIRROR_RELAY_MAX.
    size_t (*outgoing)(struct chan_mirror *m, uint8_t *to);
    void (*incoming)(struct chan_mirror *m, const uint8_t *bytes, size_t len);

    // May bytes be published now? What is published while this holds is on its way when
    // chan_commit() returns, whatever the peer does.
    bool (*ready)(struct chan_mirror *m);

    // This side will publish no more; the peer is told when it has all.
    void (*finish)(struct chan_mirror *m);
    // Lets go of the channel, which the lane does not touch any more; what was published goes on to
    // the peer.
    void (*close)(struct chan_mirror *m);
    // Before the process ends: waits until all that was published is at the peers, max_ns at most.
    void (*drain)(uint64_t max_ns);
    // In a forked child: forgets everything that is the parent's, and closes its fds. No channel of
    // the parent's may be used again.
    void (*forked)(void);
};

#endif
