// SPDX-License-Identifier: BSD-2-Clause
// A channel's memory, as both of its ends see it: a header page, then ring 0, then ring 1. Side 0
// produces into ring 0 and consumes from ring 1. chan/chan.h says what the words mean, and is one
// end's code; a stack of src/net is the other end of the channels that lie in its arena.
#ifndef SHUNT_BASE_CHANMEM_H
#define SHUNT_BASE_CHANMEM_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

#define CHAN_MAGIC          UINT32_C(0x53484e54) // "SHNT"
#define CHAN_VERSION        1
#define CHAN_HDR_BYTES      4096
#define CHAN_RING_MIN_BYTES 4096
#define CHAN_RING_MAX_BYTES (UINT32_C(64) << 20)

// What a consumer asks of its producer (chan_dir.want).
enum chan_want {
    CHAN_WANT_NOTHING = 0,
    CHAN_WANT_CARRIER,  // return to the carrier; I go on reading the ring up to there
    CHAN_WANT_AGAIN,    // return, and send again by the carrier all that I have not consumed
    CHAN_WANT_ANEW = 4, // with either: then the channel ends, and a new one may follow
};

// One direction, in shared memory.
struct chan_dir {
    alignas(64) _Atomic uint64_t tail; // producer: ring bytes published since the beginning
    alignas(64) _Atomic uint64_t head; // consumer: ring bytes consumed since the beginning
    alignas(64) _Atomic uint64_t mark; // producer: where the latest epoch begins, see above
    _Atomic uint32_t epoch;            // producer: stored (release) after mark
    _Atomic uint32_t tx_wait; // producer sleeps until there is room; to an engine, a value above 1
                              // says how many bytes may be left in the ring then
    _Atomic uint32_t hint;    // producer: counts up when the twin has news (FIN)
    _Atomic uint32_t granted; // producer: has seen `want`; will not go to the ring again
    alignas(64) _Atomic uint32_t ack; // consumer: the epoch that it reads in
    _Atomic uint32_t ready;           // consumer: looks at the ring; the producer may switch
    _Atomic uint32_t rx_wait;         // consumer sleeps until there is something
    _Atomic uint32_t want;            // consumer: enum chan_want
};

struct chan_shared {
    uint32_t magic, version;
    uint32_t ring_bytes; // of each ring; a power of two
    struct chan_dir dir[2];
};

#endif
