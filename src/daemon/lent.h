// SPDX-License-Identifier: BSD-2-Clause
// Sockets that a program gives to another one (exec, SCM_RIGHTS), and where the state of their ends
// is: who gets such a socket asks, and shares the end as a forked child would. A socket is
// remembered until no process holds it.
#ifndef SHUNT_DAEMON_LENT_H
#define SHUNT_DAEMON_LENT_H

#include "base/siphash.h"
#include "daemon/chunk.h"
#include "daemon/diag.h"
#include "daemon/loop.h"
#include "daemon/proof.h"
#include "daemon/table.h"
#include "daemon/user.h"

struct lent {
    struct table_node by_cookie;
    struct list link; // the one that was looked at longest ago first
    struct proof proof;
    const struct user *user;
    struct chunk *chunk;
    uint32_t chunk_slot;
};

struct lents {
    struct table by_cookie;
    struct list all;
    struct siphash_key key;
    struct diag *diag;
    uint64_t *count;    // how many there are
    struct timer sweep; // the caller's to put into its loop
    uint64_t sweep_ns;
};

int lents_init(struct lents *lents, struct diag *diag, uint64_t *count); // 0 or -errno
void lents_fini(struct lents *lents);

// Remembers the socket of proof, in the place of what was known of it. diag_learn() was called for
// it, and diag_forget() is called when it is forgotten, or at once where this fails. Takes a
// reference of chunk. 0 or -ENOMEM.
int lents_put(struct lents *lents, const struct proof *proof, const struct user *user,
              struct chunk *chunk, uint32_t chunk_slot);

const struct lent *lents_find(const struct lents *lents, uint64_t cookie); // NULL: none

#endif
