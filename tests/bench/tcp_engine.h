// SPDX-License-Identifier: BSD-2-Clause
// One TCP engine under measurement: two ends in one thread over an in-memory link of whole IP
// packets, checksums computed and checked, 1,460-byte segments without timestamps.
#ifndef SHUNT_TESTS_BENCH_TCP_ENGINE_H
#define SHUNT_TESTS_BENCH_TCP_ENGINE_H

#include <stdint.h>

struct tcp_engine {
    const char *name;
    // Moves bytes from end to end by writes of 64 KiB, read out into a buffer.
    void (*bulk)(uint64_t bytes);
    // Times a request and a reply of 64 bytes each.
    void (*round_trips)(uint32_t times);
    // Connects, a round trip, closes both ends; at most 200 times (TIME-WAIT is emptied by
    // flush()).
    void (*lives)(uint32_t times);
    // Ends what waits in TIME-WAIT: not part of what is timed.
    void (*flush)(void);
};

#endif
