// SPDX-License-Identifier: BSD-2-Clause
// What a passed socket proves: that its sender holds one end of a certain TCP connection.
#ifndef SHUNT_DAEMON_PROOF_H
#define SHUNT_DAEMON_PROOF_H

#include <stdint.h>

// One address of a connection. No padding: compared and hashed as bytes.
struct flow_end {
    uint8_t ip[16]; // IPv4 is mapped
    uint32_t scope; // interface of a link-local address
    uint16_t port;  // network order
    uint16_t zero;
};

// A connection as both of its ends see it: the lesser end first.
struct flow {
    uint64_t netns; // cookie of the network namespace
    struct flow_end end[2];
};

struct proof {
    uint64_t cookie; // SO_COOKIE
    struct flow flow;
    int side;     // which end of flow is the socket's own
    int bound_if; // SO_BINDTOIFINDEX
};

// Examines sock, which stays the caller's. Blocks for nothing. Returns NULL and *proof, or why it
// is no proof of an established TCP connection with that cookie.
const char *proof_examine(int sock, uint64_t cookie, struct proof *proof);

#endif
