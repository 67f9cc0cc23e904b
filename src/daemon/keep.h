// SPDX-License-Identifier: BSD-2-Clause
// What shuntd and a keeper say to each other.
//
// A keeper (keeper.h) is a process that drives the stack of one user on one interface, with that
// user's identity and nothing more: the arena can be written by the user's programs, so whoever
// drives must be able to do no more than they. It holds the queue's and the arena's fds, the bells
// and our ends of the lifelines; shuntd keeps the queue's owner, the mirror and the ports.
//
// They speak over a SOCK_SEQPACKET pair. When it hangs up, by whichever end's death, the stack is
// over. shuntd never waits for a keeper, and takes what it says for what the user says: its n-th
// KEEP_DONE answers the n-th question.
#ifndef SHUNT_DAEMON_KEEP_H
#define SHUNT_DAEMON_KEEP_H

#include <net/if.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/net.h"

#define KEEP_FDS       (QUEUE_FDS_MAX + 2)
#define KEEP_OPTIONS   16
#define KEEP_WHY_BYTES 64

enum keep_kind {
    // from shuntd; all but SETUP, ICMP and SHARE are questions
    KEEP_SETUP,  // the first message. fds: arena, shuntd's bell for drivers, the queue's
    KEEP_OPEN,   // connects
    KEEP_LISTEN, // fds: the ears
    KEEP_ATTACH, // which connection has the lifeline with that cookie?
    KEEP_RELAY,  // carry that connection's bytes between its rings and its lifeline
    KEEP_ICMP,   // an ICMP error for the stack
    KEEP_SHARE,  // there is its state. fds: the chunk
    // from the keeper
    KEEP_DONE,  // fds: of OPEN lifeline and bell, of ATTACH bell and chunk
    KEEP_LETGO, // the port of an OPEN or LISTEN is not used by a program any more
    KEEP_WANTS, // the mirror has something to do
};

struct keep_setup {
    uint64_t stack;
    uid_t uid;
    gid_t gid;
    char interface[IF_NAMESIZE];
    struct queue_desc queue;
};

struct keep_ask {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
    uint32_t backlog, option_count;
    uint64_t cookie;     // ATTACH, RELAY, SHARE
    uint32_t chunk_slot; // SHARE
    uint32_t hard;       // RELAY: the last close sends RST
    struct net_option option[KEEP_OPTIONS];
};

struct keep_icmp {
    uint32_t len;
    uint8_t packet[1280]; // from its IP header on; no error is longer (RFC 4443, 2.4)
};

struct keep_done {
    int32_t error; // 0 or -errno
    uint32_t sock, chunk_slot;
    char why[KEEP_WHY_BYTES]; // of an error
};

struct keep_msg {
    uint32_t kind;
    union {
        struct keep_setup setup;
        struct keep_ask ask; // LETGO: local, local_port
        struct keep_icmp icmp;
        struct keep_done done;
    };
};

// Sends m with copies of the fds. 0, -EAGAIN (a socket that does not block is full), -EPIPE, or
// what sendmsg(2) says.
int keep_send(int sock, const struct keep_msg *m, const int *fds, int n_fds);

// Receives a message; fds that came are the caller's, n_fds of them, close-on-exec. Where this
// process had no room for all, there are none: it is out of fds, and only what the message is about
// fails. Does not block. 0, -EAGAIN, -EPIPE (hung up), -EPROTO (nonsense; no fds then).
int keep_recv(int sock, struct keep_msg *m, int fds[static KEEP_FDS], int *n_fds);

void keep_close(const int *fds, int n_fds);

#endif
