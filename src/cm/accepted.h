// SPDX-License-Identifier: BSD-2-Clause
// What shuntd sends on a listener's ears for each connection of the tcp carrier. fds: the lifeline,
// the bell.
#ifndef SHUNT_CM_ACCEPTED_H
#define SHUNT_CM_ACCEPTED_H

#include <stdint.h>

struct cm_accepted {
    uint64_t stack;
    uint32_t sock; // in the stack
    uint32_t zero;
};

#endif
