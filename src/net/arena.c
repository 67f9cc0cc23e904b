// SPDX-License-Identifier: BSD-2-Clause
// Making an arena, attaching to it, leaving it.
#include "net/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/memfd.h"
#include "base/space.h"
#include "base/sys.h"
#include "net/lock.h"
#include "net/owner.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define PAGE  4096

void net_config_init(struct net_config *cfg)
{
    *cfg = (struct net_config){.socks = 4096, .ring_bytes = 1 << 20, .stuck_ns = 10 * NS_PER_S};
    tcp_config_init(&cfg->tcp);
}

static uint64_t align_page(uint64_t n)
{
    return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

// The layout for these numbers: sets channels_at, channel_bytes, map_bytes, sock_count, ring_bytes
// of n and returns the engine's offset.
static uint64_t lay_out(struct net *n, uint32_t socks, uint32_t ring_bytes, uint64_t engine_bytes)
{
    uint64_t socks_at = align_page(sizeof(struct net_arena));
    uint64_t engine_at = socks_at + align_page(socks * sizeof(struct net_sock));

    n->sock_count = socks;
    n->ring_bytes = ring_bytes;
    n->channels_at = engine_at + align_page(engine_bytes);
    n->channel_bytes = CHAN_HDR_BYTES + 2 * (uint64_t)ring_bytes;
    n->map_bytes = n->channels_at + socks * n->channel_bytes;
    return engine_at;
}

static bool numbers_are_sane(uint32_t socks, uint32_t ring_bytes, uint64_t engine_bytes)
{
    return socks && socks <= NET_BITS && ring_bytes >= CHAN_RING_MIN_BYTES &&
           ring_bytes <= CHAN_RING_MAX_BYTES && !(ring_bytes & (ring_bytes - 1)) &&
           engine_bytes >= 4096 && engine_bytes < UINT64_C(1) << 40;
}

// Room for every socket, for as many in TIME-WAIT, and for handshakes: a connection outlives its
// socket.
static struct tcp_config engine_config(const struct net_config *cfg)
{
    struct tcp_config tcp = cfg->tcp;

    tcp.max_conns = net_conns_of(cfg->socks);
    tcp.max_spans = u64_max(tcp.max_spans, 4 * (uint64_t)cfg->socks);
    return tcp;
}

static int format(void *mem, const struct net_config *cfg, uint64_t engine_at, uint64_t now_ns)
{
    struct net_arena *a = mem;
    struct tcp_config tcp = engine_config(cfg);
    int err;

    if (getrandom(tcp.secret, sizeof tcp.secret, 0) != sizeof tcp.secret)
        return -EIO;
    err = tcp_format((uint8_t *)mem + engine_at, &tcp, now_ns);
    if (err)
        return err;
    a->version = NET_VERSION;
    a->socks = cfg->socks;
    a->ring_bytes = cfg->ring_bytes;
    a->engine_bytes = tcp_arena_size(&tcp);
    a->stuck_ns = cfg->stuck_ns;
    a->free_sock = NET_NONE;
    a->last_member = UINT32_MAX;
    a->deadline_ns = CLOCK_NEVER;
    a->magic = NET_MAGIC;
    return 0;
}

static int fill(int fd, const struct net_config *cfg, uint64_t now_ns)
{
    struct tcp_config tcp = engine_config(cfg);
    struct net lay;
    uint64_t engine_at = lay_out(&lay, cfg->socks, cfg->ring_bytes, tcp_arena_size(&tcp));
    void *mem;
    int err;

    err = memfd_resize(fd, lay.map_bytes);
    if (err)
        return err;
    mem = mmap(NULL, lay.channels_at, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED)
        return -ENOMEM;
    err = format(mem, cfg, engine_at, now_ns);
    munmap(mem, lay.channels_at);
    return err ? err : sys_fcntl(fd, F_ADD_SEALS, SEALS);
}

int net_arena_create(const struct net_config *cfg, uint64_t now_ns)
{
    struct tcp_config tcp = engine_config(cfg);
    int fd, err;

    if (!numbers_are_sane(cfg->socks, cfg->ring_bytes, tcp_arena_size(&tcp)))
        return -EINVAL;
    fd = memfd_create("shunt-stack", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    err = fill(fd, cfg, now_ns);
    if (err) {
        sys_close(fd);
        return err;
    }
    return fd;
}

static int map_arena(struct net *n, int fd)
{
    int seals = sys_fcntl(fd, F_GET_SEALS, 0);
    struct stat st;
    void *mem;

    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) || st.st_size < PAGE)
        return -EPROTO;
    n->map_bytes = (uint64_t)st.st_size;
    mem = space_map_sparse(n->map_bytes, fd);
    if (!mem)
        return -ENOMEM;
    n->arena = mem;
    return 0;
}

static int find_parts(struct net *n)
{
    const struct net_arena *a = n->arena;
    uint32_t socks = a->socks, ring_bytes = a->ring_bytes;
    uint64_t engine_bytes = a->engine_bytes, mapped = n->map_bytes, engine_at;
    uint8_t *mem = (uint8_t *)n->arena;

    if (a->magic != NET_MAGIC || a->version != NET_VERSION ||
        !numbers_are_sane(socks, ring_bytes, engine_bytes))
        return -EPROTO;
    engine_at = lay_out(n, socks, ring_bytes, engine_bytes);
    if (n->map_bytes != mapped) {
        n->map_bytes = mapped;
        return -EPROTO;
    }
    n->socks = (struct net_sock *)(void *)(mem + align_page(sizeof *a));
    n->channels = mem + n->channels_at;
    return tcp_attach(&n->ctx, mem + engine_at, engine_bytes, &net_host, n);
}

static int join(struct net *n, const struct net_attach *how)
{
    int err = map_arena(n, how->arena);

    if (!err)
        err = find_parts(n);
    if (!err && !how->queue) {
        n->member = NET_MEMBERS;
        return 0;
    }
    if (!err)
        err = net_member_join(n);
    if (err)
        return err;
    err = queue_attach(&n->queue, how->queue);
    if (err)
        net_member_leave(n);
    return err;
}

int net_attach(struct net **out, const struct net_attach *how)
{
    struct net *n =
        mmap(NULL, sizeof *n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int err;

    if (n == MAP_FAILED)
        return -ENOMEM;
    n->owner_bell = how->owner_bell;
    n->wake = how->wake;
    n->self = how->self;
    n->sink.put = net_put;
    n->tables_seq = UINT32_MAX;
    err = join(n, how);
    if (err) {
        if (n->arena)
            space_unmap(n->arena, n->map_bytes);
        munmap(n, sizeof *n);
        return err;
    }
    *out = n;
    return 0;
}

void net_detach(struct net *n)
{
    if (n->queue) {
        net_member_leave(n);
        queue_detach(n->queue);
    }
    space_unmap(n->arena, n->map_bytes);
    munmap(n, sizeof *n);
}

int net_forked(struct net *n)
{
    return net_member_join(n);
}

int net_wait_fd(const struct net *n)
{
    return queue_wait_fd(n->queue);
}

void net_look(struct net *n, int change)
{
    atomic_fetch_add(&n->arena->member[n->member].lookers, (uint32_t)change);
}

void net_set_full(struct net *n, bool full)
{
    atomic_store_explicit(&n->arena->full, full, memory_order_relaxed);
}

uint32_t net_socks(const struct net *n)
{
    return n->sock_count;
}

const struct net_counters *net_counters(const struct net *n)
{
    return &n->arena->counters;
}

const struct tcp_counters *net_tcp_counters(const struct net *n)
{
    return tcp_counters(&n->ctx);
}
