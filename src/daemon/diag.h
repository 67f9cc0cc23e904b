// SPDX-License-Identifier: BSD-2-Clause
// Asks the kernel what became of a TCP socket that shuntd does not hold (sock_diag(7)).
#ifndef SHUNT_DAEMON_DIAG_H
#define SHUNT_DAEMON_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "daemon/proof.h"

enum diag_answer {
    DIAG_GONE,        // no socket with that cookie has these addresses, or no process holds it
    DIAG_HELD,        // some process holds it
    DIAG_ESTABLISHED, // and it is established
    DIAG_UNKNOWN,     // this shuntd cannot ask in that network namespace
};

// A netlink socket in each network namespace that was asked for.
struct diag {
    struct list spaces;
    uint64_t own_netns; // cookie
    bool works;         // the kernel has tcp_diag
};

void diag_init(struct diag *diag);
void diag_fini(struct diag *diag);

// Makes ready to ask in the namespace of sock, whose cookie is netns. Blocks for nothing. Counts: a
// namespace is let go of when diag_forget() was called as often.
void diag_learn(struct diag *diag, int sock, uint64_t netns);
void diag_forget(struct diag *diag, uint64_t netns);

// What became of the socket of proof.
enum diag_answer diag_ask(struct diag *diag, const struct proof *proof);

// The same; *inode is its inode where some process holds it.
enum diag_answer diag_ask_inode(struct diag *diag, const struct proof *proof, uint32_t *inode);

// Has shuntd's own namespace a connection with these addresses at all, held or not, of which side
// is the end here? DIAG_HELD, DIAG_GONE or DIAG_UNKNOWN.
enum diag_answer diag_find(struct diag *diag, const struct flow *flow, int side);

#endif
