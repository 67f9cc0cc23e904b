// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SLOTS 65536

void chunks_init(struct chunks *chunks)
{
    list_init(&chunks->all);
    chunks->last_id = 0;
}

static struct chunk *find(const struct chunks *chunks, const struct stat *st)
{
    list_for_each (it, &chunks->all) {
        struct chunk *chunk = list_entry(it, struct chunk, link);

        if (chunk->ino == st->st_ino && chunk->dev == st->st_dev)
            return chunk;
    }
    return NULL;
}

// Only a memfd has seals. Reading one neither blocks nor faults, however its owner resizes it.
static bool is_memfd(int fd, struct stat *st)
{
    return fcntl(fd, F_GET_SEALS) >= 0 && !fstat(fd, st) && S_ISREG(st->st_mode);
}

static struct chunk *add(struct chunks *chunks, struct users *users, struct user *user, int memfd,
                         const struct stat *st)
{
    struct chunk *chunk;

    if (user_add_fds(users, user, 1))
        return NULL;
    chunk = calloc(1, sizeof *chunk);
    if (!chunk) {
        user_drop_fds(user, 1);
        return NULL;
    }
    *chunk = (struct chunk){.id = ++chunks->last_id,
                            .refs = 1,
                            .fd = memfd,
                            .dev = st->st_dev,
                            .ino = st->st_ino,
                            .user = user};
    list_add_tail(&chunks->all, &chunk->link);
    return chunk;
}

struct chunk *chunk_get(struct chunks *chunks, struct users *users, struct user *user, int memfd)
{
    struct chunk *chunk = NULL;
    struct stat st;

    if (is_memfd(memfd, &st)) {
        chunk = find(chunks, &st);
        if (chunk) {
            close(memfd);
            return chunk_ref(chunk);
        }
        chunk = add(chunks, users, user, memfd, &st);
    }
    if (!chunk)
        close(memfd);
    return chunk;
}

struct chunk *chunk_ref(struct chunk *chunk)
{
    if (chunk)
        chunk->refs++;
    return chunk;
}

void chunk_put(struct chunk *chunk)
{
    if (!chunk || --chunk->refs)
        return;
    list_del(&chunk->link);
    user_drop_fds(chunk->user, 1);
    close(chunk->fd);
    free(chunk);
}

struct chunk *chunk_from(const struct chunks *chunks, uint64_t id)
{
    list_for_each (it, &chunks->all)
        if (list_entry(it, struct chunk, link)->id >= id)
            return list_entry(it, struct chunk, link);
    return NULL;
}

int chunk_read_head(const struct chunk *chunk, struct cm_chunk *head)
{
    if (pread(chunk->fd, head, sizeof *head, 0) != sizeof *head)
        return -EPROTO;
    if (head->magic != CM_CHUNK_MAGIC || head->version != CM_CHUNK_VERSION)
        return -EPROTO;
    if (head->stride < sizeof(struct cm_record) || head->slots > MAX_SLOTS)
        return -EPROTO;
    head->program[sizeof head->program - 1] = 0;
    return 0;
}

int chunk_read_record(const struct chunk *chunk, const struct cm_chunk *head, uint32_t slot,
                      struct cm_record *record)
{
    off_t at = head->first + (off_t)slot * head->stride;

    if (slot >= head->slots || pread(chunk->fd, record, sizeof *record, at) != sizeof *record)
        return -EPROTO;
    record->rule[sizeof record->rule - 1] = 0;
    record->reason[sizeof record->reason - 1] = 0;
    return record->used != 0;
}
