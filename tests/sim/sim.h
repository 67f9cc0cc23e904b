// SPDX-License-Identifier: BSD-2-Clause
// Two nodes and the link between them, in virtual time.
#ifndef SHUNT_TESTS_SIM_SIM_H
#define SHUNT_TESTS_SIM_SIM_H

#include "node.h"

enum { CLIENT, SERVER };

struct sim {
    struct rng rng;
    uint64_t now_ns, start_ns;
    struct link link[2]; // [CLIENT]: from client to server
    struct node node[2];
    uint64_t steps;
};

struct sim_config {
    uint64_t seed;
    uint64_t start_ns;
    struct link_config link[2];
    struct tcp_config tcp[2];
    struct tcp_path path;
    uint32_t ring_bytes[2][2]; // [CLIENT or SERVER][enum tcp_dir]
};

// A link of that delay and no faults, engines with their defaults, rings of 256 KiB.
void sim_config_init(struct sim_config *cfg, uint64_t seed);

// Makes both nodes; the server listens on port 80. Returns 0 or a negative errno.
int sim_init(struct sim *s, const struct sim_config *cfg);
void sim_fini(struct sim *s);

// Goes to the next thing that happens. False: nothing will ever happen again.
bool sim_step(struct sim *s);

// Runs until nothing is left to happen, or until_ns. What is wrong is told: NULL when all is well.
const char *sim_run(struct sim *s, uint64_t until_ns);

// What must hold at the end: nothing is left on either side. NULL, or what is wrong.
const char *sim_check_end(struct sim *s);

#endif
