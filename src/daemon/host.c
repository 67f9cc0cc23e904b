// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memfd.h"

#define SANE_SPINNERS 1024 // of one process

static _Atomic int32_t *word(const struct host *host, uint32_t slot)
{
    return (_Atomic int32_t *)(void *)(host->page + (size_t)slot * PACKET_SPIN_BYTES);
}

// Sealed, so that nobody can cut it off under the others.
static int make_page(struct host *host)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, prot = PROT_READ | PROT_WRITE;
    void *at;
    int err;

    host->memfd = memfd_create("shunt-host", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (host->memfd < 0)
        return -errno;
    err = memfd_resize(host->memfd, PACKET_PAGE_BYTES);
    if (err)
        return err;
    if (fcntl(host->memfd, F_ADD_SEALS, seals))
        return -errno;
    at = mmap(NULL, PACKET_PAGE_BYTES, prot, MAP_SHARED, host->memfd, 0);
    if (at == MAP_FAILED)
        return -errno;
    host->page = at;
    return 0;
}

int host_open(struct host *host)
{
    int err;

    *host = (struct host){.taken = {true}}; // slot 0 counts all
    err = make_page(host);
    if (err)
        host_close(host);
    return err;
}

void host_close(struct host *host)
{
    if (host->page)
        munmap(host->page, PACKET_PAGE_BYTES);
    if (host->memfd >= 0)
        close(host->memfd);
    *host = (struct host){.memfd = -1};
}

uint32_t host_take(struct host *host)
{
    for (uint32_t slot = 1; slot < HOST_SLOTS; slot++)
        if (!host->taken[slot]) {
            host->taken[slot] = true;
            atomic_store(word(host, slot), 0);
            return slot;
        }
    return 0;
}

void host_give_back(struct host *host, uint32_t slot)
{
    int32_t n;

    if (!slot)
        return;
    host->taken[slot] = false;
    n = atomic_exchange(word(host, slot), 0);
    if (n > 0 && n <= SANE_SPINNERS)
        atomic_fetch_sub(word(host, 0), n);
}
