// SPDX-License-Identifier: BSD-2-Clause
#include "queue/xsk.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/sys.h"

static int map_ring(struct xsk_ring *ring, int fd, const struct xdp_ring_offset *at,
                    uint32_t entries, size_t entry_bytes, uint64_t offset)
{
    size_t bytes = at->desc + entries * entry_bytes;
    // the kernel refuses more than the ring has
    uint8_t *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

    if (map == MAP_FAILED)
        return errno == ENOMEM ? -ENOMEM : -EPROTO;
    *ring = (struct xsk_ring){
        .producer = (uint32_t *)(void *)(map + at->producer),
        .consumer = (uint32_t *)(void *)(map + at->consumer),
        .flags = (uint32_t *)(void *)(map + at->flags),
        .desc = (struct xdp_desc *)(void *)(map + at->desc),
        .mask = entries - 1,
        .map = map,
        .map_bytes = bytes,
    };
    return 0;
}

int xsk_map(struct xsk_rings *r, int fd, uint32_t rx_entries, uint32_t tx_entries)
{
    struct xdp_mmap_offsets at = {0};
    socklen_t len = sizeof(at);
    int err;

    *r = (struct xsk_rings){0};
    if (sys_getsockopt(fd, XSK_SOL, XDP_MMAP_OFFSETS, &at, &len) || len != sizeof(at))
        return -EPROTO;
    if ((err = map_ring(&r->rx, fd, &at.rx, rx_entries, sizeof(struct xdp_desc),
                        XDP_PGOFF_RX_RING)) ||
        (err = map_ring(&r->tx, fd, &at.tx, tx_entries, sizeof(struct xdp_desc),
                        XDP_PGOFF_TX_RING)) ||
        (err = map_ring(&r->fill, fd, &at.fr, rx_entries, sizeof(uint64_t),
                        XDP_UMEM_PGOFF_FILL_RING)) ||
        (err = map_ring(&r->completion, fd, &at.cr, tx_entries, sizeof(uint64_t),
                        XDP_UMEM_PGOFF_COMPLETION_RING)))
        xsk_unmap(r);
    return err;
}

static void unmap_ring(struct xsk_ring *ring)
{
    if (ring->map)
        munmap(ring->map, ring->map_bytes);
    ring->map = NULL;
}

void xsk_unmap(struct xsk_rings *r)
{
    unmap_ring(&r->rx);
    unmap_ring(&r->tx);
    unmap_ring(&r->fill);
    unmap_ring(&r->completion);
}
