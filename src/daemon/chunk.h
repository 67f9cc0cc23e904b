// SPDX-License-Identifier: BSD-2-Clause
// Chunks of records (cm/record.h) that clients have shown. They belong to strangers: nothing of
// them is mapped, and nothing read from them is trusted.
#ifndef SHUNT_DAEMON_CHUNK_H
#define SHUNT_DAEMON_CHUNK_H

#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "cm/record.h"
#include "daemon/user.h"

struct chunk {
    struct list link; // in ascending order of id
    uint64_t id;      // never used again
    uint32_t refs;
    int fd;
    dev_t dev;
    ino_t ino;
    struct user *user;
};

struct chunks {
    struct list all;
    uint64_t last_id;
};

void chunks_init(struct chunks *chunks);

// The chunk that memfd is: known already (a forked child shows its parent's), or new; one reference
// is the caller's. Owns memfd, in failure too. NULL: it is no chunk, or the user has too many fds.
struct chunk *chunk_get(struct chunks *chunks, struct users *users, struct user *user, int memfd);

struct chunk *chunk_ref(struct chunk *chunk); // NULL is legal
void chunk_put(struct chunk *chunk);          // NULL is legal

// The first chunk whose id is at least id; NULL: none.
struct chunk *chunk_from(const struct chunks *chunks, uint64_t id);

// Reads the head; 0, or -EPROTO where it makes no sense.
int chunk_read_head(const struct chunk *chunk, struct cm_chunk *head);

// Copies the record in a slot, with its strings ended. 1, 0 if it is free, -EPROTO: there are no
// more.
int chunk_read_record(const struct chunk *chunk, const struct cm_chunk *head, uint32_t slot,
                      struct cm_record *record);

#endif
