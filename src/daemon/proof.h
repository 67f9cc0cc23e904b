// SPDX-License-Identifier: BSD-2-Clause
// What a passed socket proves: that its sender holds one end of a certain TCP connection.
#ifndef SHUNT_DAEMON_PROOF_H
#define SHUNT_DAEMON_PROOF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cm/record.h"

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

// Can shuntd look at the fds of process pid, in its own network namespace?
bool proof_can_look(pid_t pid);

// The inode of the socket that is number fd in process pid; 0: there is none, or we may not look.
uint32_t proof_inode(pid_t pid, int fd);

// Looks at sock, which stays the caller's, and fills in cookie, netns and bound_if. Asks only what
// the kernel tells without the socket's lock, which its owner can hold for as long as he likes.
// NULL, or why it is not the TCP socket of that cookie.
const char *proof_of_socket(int sock, uint64_t cookie, struct proof *proof);

// Fills in flow and side from addresses that somebody says the socket has. NULL, or why they are no
// addresses of a TCP connection.
const char *proof_add_flow(struct proof *proof, const union cm_addr *local,
                           const union cm_addr *remote);

// The address of one end; IPv4 comes out of its mapped form.
void proof_address(const struct flow_end *end, union cm_addr *out);

// Are the addresses those of sock, and is it established? Takes the socket's lock: only where the
// kernel cannot be asked otherwise (diag.h). NULL, or why not.
const char *proof_check(int sock, const struct proof *proof);

#endif
