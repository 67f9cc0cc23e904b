// SPDX-License-Identifier: BSD-2-Clause
#include "chan/chan.h"
#include "chan/pump.h"

#include "base/memfd.h"
#include "base/space.h"
#include "base/sys.h"
#include "base/util.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

_Static_assert(sizeof(struct chan_shared) <= CHAN_HDR_BYTES, "the header is one page");

static bool ring_size_ok(uint32_t n)
{
    return n >= CHAN_RING_MIN_BYTES && n <= CHAN_RING_MAX_BYTES && !(n & (n - 1));
}

static int fill_header(int fd, uint32_t ring_bytes)
{
    struct chan_shared hdr = {
        .magic = CHAN_MAGIC, .version = CHAN_VERSION, .ring_bytes = ring_bytes};

    int err = memfd_resize(fd, CHAN_HDR_BYTES + 2 * (uint64_t)ring_bytes);

    if (err)
        return err;
    if (pwrite(fd, &hdr, sizeof hdr, 0) != sizeof hdr)
        return -ENOSPC;
    return sys_fcntl(fd, F_ADD_SEALS, SEALS);
}

int chan_create(uint32_t ring_bytes)
{
    int fd, err;

    if (!ring_size_ok(ring_bytes))
        return -EINVAL;
    fd = memfd_create("shunt-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    err = fill_header(fd, ring_bytes);
    if (err) {
        sys_close(fd);
        return err;
    }
    return fd;
}

// Checks what the memfd says of the channel at off; once sealed it cannot change its size. *room is
// what the file has behind the header.
static int check(int fd, off_t off, uint32_t *ring_bytes, off_t *room)
{
    uint32_t hdr[3];
    struct stat st;
    int seals = sys_fcntl(fd, F_GET_SEALS, 0);

    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st))
        return -EPROTO;
    if (off % CHAN_HDR_BYTES || pread(fd, hdr, sizeof hdr, off) != sizeof hdr)
        return -EPROTO;
    if (hdr[0] != CHAN_MAGIC || hdr[1] != CHAN_VERSION || !ring_size_ok(hdr[2]))
        return -EPROTO;
    *ring_bytes = hdr[2];
    *room = st.st_size - off - CHAN_HDR_BYTES;
    return 0;
}

static int map_part(uint8_t *at, size_t n, int fd, off_t off)
{
    const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;

    return mmap(at, n, prot, flags, fd, off) == MAP_FAILED ? -ENOMEM : 0;
}

// The two rings of n bytes that are at off, each twice in a row.
static int lay_rings(uint8_t *at, int fd, off_t off, size_t n)
{
    if (map_part(at, n, fd, off) || map_part(at + n, 2 * n, fd, off) ||
        map_part(at + 3 * n, n, fd, off + (off_t)n))
        return -ENOMEM;
    space_hide(at, 4 * n);
    return 0;
}

static uint8_t *reserve(size_t n)
{
    return space_map(n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void set_rings(struct chan *c, uint8_t *rings, uint32_t n, int side)
{
    c->ring_bytes = n;
    c->tx_ring = rings + (side ? 2 * (size_t)n : 0);
    c->rx_ring = rings + (side ? 0 : 2 * (size_t)n);
}

static void unmap_rings(struct chan *c)
{
    if (c->tx_ring)
        space_unmap(MIN(c->tx_ring, c->rx_ring), 4 * (size_t)c->ring_bytes);
    c->tx_ring = c->rx_ring = NULL;
}

static int map_at(struct chan *c, int memfd, off_t off, uint32_t n, int side)
{
    const size_t h = CHAN_HDR_BYTES, all = h + 4 * (size_t)n;
    uint8_t *at = reserve(all);

    if (!at)
        return -ENOMEM;
    if (map_part(at, h, memfd, off) || lay_rings(at + h, memfd, off + (off_t)h, n)) {
        space_unmap(at, all);
        return -ENOMEM;
    }
    c->shared = (struct chan_shared *)(void *)at;
    c->tx = &c->shared->dir[side];
    c->rx = &c->shared->dir[!side];
    set_rings(c, at + h, n, side);
    return 0;
}

int chan_map(struct chan *c, int memfd, int side, int bell, int peer_bell)
{
    uint32_t n;
    off_t room;
    int err = check(memfd, 0, &n, &room);

    if (!err && room != 2 * (off_t)n)
        err = -EPROTO;
    if (!err)
        err = map_at(c, memfd, 0, n, side);
    if (err)
        return err;
    c->bell = bell;
    c->peer_bell = peer_bell;
    return 0;
}

bool chan_is_untouched(int memfd, int side)
{
    struct chan_shared hdr;
    const struct chan_dir *tx = &hdr.dir[side & 1], *rx = &hdr.dir[!side];

    return pread(memfd, &hdr, sizeof hdr, 0) == sizeof hdr && !tx->tail && !tx->epoch &&
           !tx->granted && !tx->hint && !rx->head && !rx->ack && !rx->ready && !rx->want;
}

int chan_blank(struct chan *c)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    void *at = mmap(c->shared, CHAN_HDR_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (at == MAP_FAILED)
        return -ENOMEM;
    unmap_rings(c);
    c->pump = NULL;
    c->pumped = 0;
    return 0;
}

// The header comes last: until then the channel is a blank one.
static int lay_anew(struct chan *c, int memfd, uint32_t n, int side)
{
    uint8_t *rings = reserve(4 * (size_t)n);

    if (!rings)
        return -ENOMEM;
    if (lay_rings(rings, memfd, CHAN_HDR_BYTES, n) ||
        map_part((uint8_t *)c->shared, CHAN_HDR_BYTES, memfd, 0)) {
        space_unmap(rings, 4 * (size_t)n);
        return -ENOMEM;
    }
    unmap_rings(c);
    set_rings(c, rings, n, side);
    return 0;
}

int chan_renew(struct chan *c, int memfd, int side, int bell, int peer_bell)
{
    uint32_t n;
    off_t room;
    int err = check(memfd, 0, &n, &room);

    if (!err && room != 2 * (off_t)n)
        err = -EPROTO;
    if (!err && c->tx != &c->shared->dir[side])
        err = -EINVAL;
    if (!err)
        err = lay_anew(c, memfd, n, side);
    if (err)
        return err;
    sys_call(SYS_dup3, bell, c->bell, O_CLOEXEC);
    sys_call(SYS_dup3, peer_bell, c->peer_bell, O_CLOEXEC);
    return 0;
}

int chan_map_within(struct chan *c, int arena, uint64_t off, int bell, int peer_bell)
{
    uint32_t n;
    off_t room;
    int err = off > INT64_MAX ? -EPROTO : check(arena, (off_t)off, &n, &room);

    if (!err && room < 2 * (off_t)n)
        err = -EPROTO;
    if (!err)
        err = map_at(c, arena, (off_t)off, n, 0);
    if (err)
        return err;
    c->bell = bell;
    c->peer_bell = peer_bell;
    return 0;
}

void chan_format(struct chan_shared *at, uint32_t ring_bytes)
{
    memset(at, 0, sizeof *at);
    for (int i = 0; i < 2; i++) {
        at->dir[i].epoch = at->dir[i].ack = 1;
        at->dir[i].ready = 1;
    }
    at->ring_bytes = ring_bytes;
    at->version = CHAN_VERSION;
    at->magic = CHAN_MAGIC;
}

void chan_begin_on_ring(struct chan_tx *tx, struct chan_rx *rx)
{
    *tx = (struct chan_tx){.epoch = 1};
    *rx = (struct chan_rx){.epoch = 1};
}

void chan_unmap(struct chan *c)
{
    unmap_rings(c);
    if (c->shared)
        space_unmap(c->shared, CHAN_HDR_BYTES);
    memset(c, 0, sizeof *c);
    c->bell = c->peer_bell = -1;
}

// The flags are cleared before the write: a sleeper that arms in between is woken by the write.
void chan_ring_peer(struct chan *c)
{
    static const uint64_t one = 1;

    if (c->pump && c->pump->ring) {
        c->pump->ring(c);
        return;
    }
    atomic_store_explicit(&c->tx->rx_wait, 0, memory_order_relaxed);
    atomic_store_explicit(&c->rx->tx_wait, 0, memory_order_relaxed);
    sys_write(c->peer_bell, &one, sizeof one); // -EAGAIN: a full counter, so it is ringing
}

void chan_tx_move(struct chan *c, struct chan_tx *t, uint64_t mark)
{
    uint32_t next = atomic_load_explicit(&t->epoch, memory_order_relaxed) + 1;

    atomic_store(&t->epoch, next);
    atomic_store_explicit(&c->tx->mark, mark, memory_order_relaxed);
    atomic_store_explicit(&c->tx->epoch, next, memory_order_seq_cst);
    if (atomic_load_explicit(&c->tx->rx_wait, memory_order_seq_cst))
        chan_ring_peer(c);
}

void chan_room_made(struct chan *c)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (unlikely(atomic_load_explicit(&c->rx->tx_wait, memory_order_relaxed)))
        chan_ring_peer(c);
}

void chan_offer_room(struct chan *c)
{
    uint32_t wait = atomic_load_explicit(&c->rx->tx_wait, memory_order_relaxed);
    uint32_t half = c->ring_bytes / 2;

    if (wait && chan_stored(c->rx) <= (wait > 1 ? MIN(wait, half) : half))
        chan_ring_peer(c);
}

void chan_rx_follow(struct chan *c, struct chan_rx *r)
{
    uint32_t next = atomic_load_explicit(&r->epoch, memory_order_relaxed) + 1;

    atomic_store(&r->epoch, next);
    atomic_store_explicit(&c->rx->ack, next, memory_order_release);
    chan_room_made(c);
}

void chan_arm(struct chan *c, bool rx, uint32_t tx)
{
    if (rx)
        atomic_store_explicit(&c->rx->rx_wait, 1, memory_order_relaxed);
    if (tx)
        atomic_store_explicit(&c->tx->tx_wait, tx, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

bool chan_bell_clear(struct chan *c)
{
    uint64_t count;

    return sys_read(c->bell, &count, sizeof count) == sizeof count;
}

void chan_hint(struct chan *c)
{
    atomic_fetch_add(&c->tx->hint, 1);
    chan_ring_peer(c);
}

void chan_ask(struct chan *c, enum chan_want want)
{
    atomic_store_explicit(&c->rx->want, want, memory_order_seq_cst);
    chan_ring_peer(c);
}
