// SPDX-License-Identifier: BSD-2-Clause
// Spinning before sleep: as long as a rule allows, as long as it has paid lately, and never with
// more spinners on the host than there are cores, because a spinner without a core of its own keeps
// the one that it waits for from running.
#ifndef SHUNT_SOCK_SPIN_H
#define SHUNT_SOCK_SPIN_H

#include <stdbool.h>
#include <stdint.h>

struct spin {
    uint64_t start, end, last, yielded; // ticks
    _Atomic uint32_t *own;              // where this process's spinners are counted
    bool on;
};

// Remembers how long waits took lately, to tell whether spinning pays.
struct spin_memory {
    _Atomic uint64_t wait_ticks; // moving average; 0: nothing known yet
    _Atomic uint64_t cap_ticks;  // what a wait counts at most, so that one long one is forgiven
};

// spinners counts those of the host, what own points to those of this process (cm.h).
void spin_setup(uint32_t cores, _Atomic uint32_t *spinners, _Atomic(_Atomic uint32_t *) *own);

// Begins a wait that may spin for limit_us. False (and nothing to end): sleep at once.
bool spin_begin(struct spin *s, struct spin_memory *m, uint32_t limit_us);

// One turn of the loop: false when it is time to sleep. Also false when the core was taken away for
// a while, a sign that others need it.
bool spin_go_on(struct spin *s);

// Ends spinning; legal when spin_begin() said false.
void spin_end(struct spin *s);

// Notes how long a whole wait took, spin and sleep together, from start_ticks on.
void spin_learn(struct spin_memory *m, uint64_t start_ticks);

#endif
