// SPDX-License-Identifier: BSD-2-Clause
// What Shunt is doing with a TCP socket, asked through the socket itself:
//
//     struct shunt_info info;
//     socklen_t len = sizeof(info);
//     if (getsockopt(fd, SOL_SHUNT, SHUNT_INFO, &info, &len) == 0)
//         printf("lanes %u out, %u in\n", info.lane_tx, info.lane_rx);
//
// The shim answers, never the kernel: a program that does not run under Shunt gets ENOPROTOOPT or
// EOPNOTSUPP, as does a socket that is not TCP. The call never blocks and changes nothing.
//
// setsockopt(fd, SOL_SHUNT, SHUNT_LEAVE, &one, sizeof one) brings the connection back to the
// kernel's TCP, in the calls that both programs make from then on, and lets it move again after a
// while. It does nothing to a connection that has not moved, and never blocks; no byte is lost or
// doubled.
#ifndef SHUNT_INFO_H
#define SHUNT_INFO_H

#include <stdint.h>

#define SOL_SHUNT   0x5348 // "SH": a level that no protocol of Linux has
#define SHUNT_INFO  1      // struct shunt_info, read only
#define SHUNT_LEAVE 2      // int, write only: not 0 to leave the lane for a while

enum shunt_lane {
    SHUNT_LANE_KERNEL = 0, // the kernel's TCP, where every connection starts
    SHUNT_LANE_SHM,
    SHUNT_LANE_RDMA,
    SHUNT_LANE_TCP, // Shunt's own TCP on a raw Ethernet queue
    SHUNT_LANES,
};

// As with struct tcp_info, the caller's length says how much of it is wanted: a shorter buffer gets
// the first bytes, and fields are only ever added at the end.
struct shunt_info {
    uint32_t size;             // bytes filled in
    uint8_t lane_tx;           // enum shunt_lane that the next byte written goes by
    uint8_t lane_rx;           // enum shunt_lane that the next byte read comes by
    uint16_t reserved;         // 0
    uint32_t switches;         // moves of either direction from one lane to another so far
    uint32_t reserved2;        // 0
    uint64_t bytes_tx_lane[4]; // bytes written so far, by enum shunt_lane
    uint64_t bytes_rx_lane[4]; // bytes read so far, by enum shunt_lane
    uint64_t waits_spin;       // waits that ended while spinning
    uint64_t waits_sleep;      // waits that went to sleep in the kernel
    char rule[32];             // name of the rule that decided, NUL-terminated; "" = the defaults
    char reason[96];           // why it is not on the first lane of the rule, NUL-terminated
};

#endif
