// SPDX-License-Identifier: BSD-2-Clause
// What this process is, known once after sock_init().
#ifndef SHUNT_SOCK_SELF_H
#define SHUNT_SOCK_SELF_H

#include "cm/cm.h"
#include "cm/choice.h"
#include "sock/lock.h"

#define SOCK_SEALED                                                                                \
    "SHUNT_SEALED" // in the environment of who lives under a sealed process's filter

struct sock_self {
    struct sock_lock lock;       // guards the tables of conns, ends, claims and the manager; never
                                 // held across a wait, and never taken inside an end's lock
    const struct policy *policy; // bound to this program; policy_forbid_all() where it is broken
    struct cm *cm;
    char program[64];
    char exe[256];
    int pid;
    bool off;     // setuid, or sealed (seal.c): everything passes through
    bool unshown; // ends that came from another process were not shown to shuntd yet
};

extern struct sock_self self;

// Sets up everything for policy, which must live on. Called by init.c once program and exe are
// known.
void self_start(const struct policy *policy);

#endif
