// SPDX-License-Identifier: BSD-2-Clause
// The rings that an AF_XDP socket shares with the kernel, mapped by whoever has the socket. libxdp
// has helpers for them, but they keep copies of the cursors in private memory, which another
// driver's turn would make stale; and the constants of Linux after 6.1 are not in Debian 12's
// headers.
#ifndef SHUNT_QUEUE_XSK_H
#define SHUNT_QUEUE_XSK_H

#include <linux/if_xdp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif
#define XSK_SOL               283      // SOL_XDP
#define XSK_MAX_TX_SKB_BUDGET 9        // Linux 6.17
#define XSK_USE_SG            (1 << 4) // Linux 6.6, of sockaddr_xdp
#define XSK_UMEM_TX_META_LEN  (1 << 2) // Linux 6.11, of xsk_umem_reg
#define XSK_DESC_CONTINUED    (1 << 0) // Linux 6.6, of xdp_desc: XDP_PKT_CONTD
#define XSK_DESC_META         (1 << 1) // Linux 6.8: XDP_TX_METADATA
#define XSK_META_CHECKSUM     (1 << 1) // XDP_TXMD_FLAGS_CHECKSUM

// struct xsk_umem_reg of Linux 6.8.
struct xsk_umem {
    uint64_t addr, len;
    uint32_t chunk_size, headroom, flags, tx_metadata_len;
};

// struct xsk_tx_metadata.
struct xsk_meta {
    uint64_t flags;
    uint16_t csum_start, csum_offset;
    uint32_t pad;
    uint64_t launch_time;
};

struct xsk_ring {
    uint32_t *producer, *consumer, *flags;
    union {
        struct xdp_desc *desc; // RX, TX
        uint64_t *addr;        // fill, completion
    };
    uint32_t mask; // entries - 1
    void *map;
    size_t map_bytes;
};

struct xsk_rings {
    struct xsk_ring rx, tx, fill, completion;
};

// Maps all four rings; rx and fill have rx_entries, the others tx_entries. 0, -EPROTO (no AF_XDP
// socket, or rings of another size), -ENOMEM.
int xsk_map(struct xsk_rings *r, int fd, uint32_t rx_entries, uint32_t tx_entries);

// Legal after a failed xsk_map(), and on zeroes.
void xsk_unmap(struct xsk_rings *r);

// Entries between the cursors, for the side that takes.
static inline uint32_t xsk_filled(const struct xsk_ring *ring)
{
    uint32_t n = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) -
                 __atomic_load_n(ring->consumer, __ATOMIC_RELAXED);

    return n <= ring->mask + 1 ? n : 0;
}

// Entries that are free, for the side that gives.
static inline uint32_t xsk_space(const struct xsk_ring *ring)
{
    uint32_t n = __atomic_load_n(ring->producer, __ATOMIC_RELAXED) -
                 __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);

    return n <= ring->mask + 1 ? ring->mask + 1 - n : 0;
}

static inline bool xsk_wants_wakeup(const struct xsk_ring *ring)
{
    return __atomic_load_n(ring->flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP;
}

#endif
