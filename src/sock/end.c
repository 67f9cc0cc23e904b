// SPDX-License-Identifier: BSD-2-Clause
#include "sock/end.h"

#include "base/memfd.h"
#include "base/space.h"
#include "base/sys.h"
#include "cm/cm.h"
#include "sock/fdtab.h"
#include "sock/holders.h"
#include "sock/self.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SLOTS       64 // a bit each in chunk.taken
#define FIRST       sizeof(union chunk_head)
#define CHUNK_BYTES (FIRST + SLOTS * sizeof(struct sock_end))
#define CHUNKS      8192

union chunk_head {
    struct cm_chunk chunk;
    char line[128];
};

// What this process knows of a chunk; guarded by self.lock.
struct chunk {
    char *base; // NULL: free entry
    int fd;
    bool shared; // others have it: slots are not reused
    uint64_t taken;
};

static struct chunk chunks[CHUNKS];
static int n_chunks;

static struct sock_end *end_at(const struct chunk *k, uint32_t slot)
{
    return (struct sock_end *)(void *)(k->base + FIRST + slot * sizeof(struct sock_end));
}

static struct chunk *chunk_entry(void)
{
    for (int i = 0; i < n_chunks; i++)
        if (!chunks[i].base)
            return &chunks[i];
    return n_chunks < CHUNKS ? &chunks[n_chunks++] : NULL;
}

static void sign(struct cm_chunk *head)
{
    head->pid = sys_getpid();
    snprintf(head->program, sizeof head->program, "%.31s", self.program);
}

static void fill_head(struct cm_chunk *head)
{
    head->version = CM_CHUNK_VERSION;
    head->stride = sizeof(struct sock_end);
    head->slots = SLOTS;
    head->first = FIRST;
    sign(head);
    head->magic = CM_CHUNK_MAGIC;
}

static int chunk_file(void)
{
    int fd = memfd_create("shunt-ends", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -1;
    fd = cm_fd_up(fd);
    if (memfd_resize(fd, CHUNK_BYTES) ||
        sys_fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        sys_close(fd);
        return -1;
    }
    return fd;
}

// Maps fd into k; owns fd on success.
static int chunk_map(struct chunk *k, int fd)
{
    void *base = space_map(CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (!base)
        return -1;
    *k = (struct chunk){.base = base, .fd = fd};
    fdtab_set(fd, FD_OWN, NULL);
    return 0;
}

static struct chunk *chunk_new(void)
{
    struct chunk *k = chunk_entry();
    int fd = k ? chunk_file() : -1;

    if (fd < 0)
        return NULL;
    if (chunk_map(k, fd)) {
        sys_close(fd);
        return NULL;
    }
    fill_head((struct cm_chunk *)(void *)k->base);
    cm_chunk(self.cm, fd);
    return k;
}

static void chunk_drop(struct chunk *k)
{
    cm_chunk_gone(self.cm, k->fd);
    space_unmap(k->base, CHUNK_BYTES);
    fdtab_set(k->fd, FD_NONE, NULL);
    sys_close(k->fd);
    k->base = NULL;
}

static struct chunk *chunk_with_room(void)
{
    for (int i = n_chunks; i-- > 0;)
        if (chunks[i].base && !chunks[i].shared && ~chunks[i].taken)
            return &chunks[i];
    return chunk_new();
}

static struct chunk *chunk_of(const struct sock_end *e)
{
    for (int i = 0; i < n_chunks; i++)
        if (chunks[i].base && (const char *)e >= chunks[i].base &&
            (const char *)e < chunks[i].base + CHUNK_BYTES)
            return &chunks[i];
    return NULL;
}

static uint32_t slot_of(const struct chunk *k, const struct sock_end *e)
{
    return (uint32_t)((size_t)((const char *)e - k->base - FIRST) / sizeof(struct sock_end));
}

struct sock_end *end_new(void)
{
    struct chunk *k = chunk_with_room();
    struct sock_end *e;
    uint32_t slot;

    if (!k)
        return NULL;
    slot = (uint32_t)__builtin_ctzll(~k->taken);
    k->taken |= UINT64_C(1) << slot;
    e = end_at(k, slot);
    memset(e, 0, sizeof *e);
    e->rcvlowat = 1;
    return e;
}

void end_free(struct sock_end *e)
{
    struct chunk *k = chunk_of(e);

    if (!k)
        return;
    k->taken &= ~(UINT64_C(1) << slot_of(k, e));
    if (!end_has(e, END_SHARED))
        atomic_store(&e->rec.used, 0);
    if (k->shared && !k->taken)
        chunk_drop(k);
}

struct end_place end_place(const struct sock_end *e)
{
    struct chunk *k = chunk_of(e);

    return k ? (struct end_place){k->fd, slot_of(k, e)} : (struct end_place){-1, 0};
}

void end_lend(struct sock_end *e)
{
    struct chunk *k = chunk_of(e);

    if (k)
        k->shared = true;
    end_set(e, END_SHARED);
}

struct sock_end *end_adopt(int chunk_fd, uint32_t slot)
{
    struct cm_chunk *head;
    struct stat st;
    struct chunk *k;

    if (slot >= SLOTS || fstat(chunk_fd, &st) || st.st_size != CHUNK_BYTES)
        return NULL;
    k = chunk_entry();
    if (!k || chunk_map(k, chunk_fd))
        return NULL;
    head = (struct cm_chunk *)(void *)k->base;
    k->shared = true;
    k->taken = UINT64_C(1) << slot;
    if (head->pid == sys_getpid()) // we were another program, before exec
        sign(head);
    end_set(end_at(k, slot), END_SHARED | END_CROWD);
    return end_at(k, slot);
}

void end_before_fork(void)
{
    for (int i = 0; i < n_chunks; i++) {
        if (!chunks[i].base)
            continue;
        if (!chunks[i].taken) {
            chunk_drop(&chunks[i]);
            continue;
        }
        chunks[i].shared = true;
        for (uint64_t left = chunks[i].taken; left; left &= left - 1) {
            struct sock_end *e = end_at(&chunks[i], (uint32_t)__builtin_ctzll(left));

            end_set(e, END_SHARED);
            holders_expect_child(e);
        }
    }
}

void end_announce(void)
{
    for (int i = 0; i < n_chunks; i++)
        if (chunks[i].base)
            cm_chunk(self.cm, chunks[i].fd);
}

bool end_moved(int oldfd, int newfd)
{
    for (int i = 0; i < n_chunks; i++) {
        if (!chunks[i].base || chunks[i].fd != oldfd)
            continue;
        chunks[i].fd = newfd;
        return true;
    }
    return false;
}
