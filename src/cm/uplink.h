// SPDX-License-Identifier: BSD-2-Clause
// A connection to shuntd from inside a program, which may close any fd behind our back.
//
// A process has two: cm.c keeps one for what shuntd says unasked, and wire.c one for questions that
// block; a late answer ends the latter, and no claim suffers.
#ifndef SHUNT_CM_UPLINK_H
#define SHUNT_CM_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

struct uplink {
    int sock;                  // -1: no connection
    uint64_t cookie;           // SO_COOKIE: tells that sock is still ours
    uint64_t retry_ns;         // connect no sooner
    const char *daemon_socket; // of shunt.conf, or NULL: see cm/place.h
    bool mute;                 // nothing may be said any more
};

// There is a connection, and the program has not closed it.
bool uplink_is_ours(const struct uplink *up);

// Connects, in place of a connection that is not ours any more; the caller goes on with
// uplink_hello(). Does not block. 0; -ENOTCONN: the last try was less than a second ago; else as
// place_connect_any().
int uplink_open(struct uplink *up);

// Introduces this process, the first message on every connection. 0 or as packet_send().
int uplink_hello(int sock);

// Closes what there is; uplink_open() waits for a second.
void uplink_close(struct uplink *up);

// The same, but uplink_open() may try at once. In a forked child: the parent keeps its connection.
void uplink_forget(struct uplink *up);

// There is no connection any more, and never will be. What there was stays open unheeded, so that
// shuntd keeps what it was told for as long as the process lives. Its number, or -1.
int uplink_mute(struct uplink *up);

bool uplink_owns_fd(const struct uplink *up, int fd);

// The caller has made newfd of oldfd, which is about to be lost.
void uplink_moved(struct uplink *up, int oldfd, int newfd);

#endif
