// SPDX-License-Identifier: BSD-2-Clause
// Which lane a connection may hope for: the policy's rule, and what the lanes say of its two ends.
#ifndef SHUNT_CM_CHOICE_H
#define SHUNT_CM_CHOICE_H

#include "cm/record.h"
#include "policy/policy.h"

struct cm_choice {
    struct policy_outcome rule;
    bool stays;      // on its carrier, for good
    char reason[96]; // why it stays, without a full stop; else empty
};

// Asks policy for a connection of this process; fills *out. Pure, no system call.
void cm_choose(const struct policy *policy, const struct policy_facts *facts,
               struct cm_choice *out);

// Fills in what the rule's lanes before the kernel are, without those that the connection cannot
// use: enum shunt_lane, best first. Returns how many. Pure.
uint8_t cm_lanes(const struct policy_outcome *rule, const struct policy_facts *facts,
                 uint8_t lanes[static CM_LANES]);

// Is the connection that facts (remote NULL: a listener) tell of to be opened on Shunt's own TCP?
// That is so where the rule names it before the kernel, and before every express lane that could be
// had on this host. Else why says what stands in the way, "" where the rule does not name it.
bool cm_wants_wire(const struct policy_outcome *rule, const struct policy_facts *facts, char *why,
                   size_t size);

// Why a connection cannot use lane as far as this host can tell: a static phrase without a full
// stop. NULL: nothing stands in the way. Pure, no system call.
const char *cm_obstacle(enum policy_lane lane, const struct policy_facts *facts);

// The data path of the lane rdma, see chan/mirror.h; loads it at the first call, so not to be
// called in a signal handler. NULL: not to be had.
struct mirror_lane;
const struct mirror_lane *cm_mirror_lane(void);

#endif
