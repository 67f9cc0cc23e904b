// SPDX-License-Identifier: BSD-2-Clause
// A live engine under random segments, calls and jumps of time: the steps that targets share.
#ifndef SHUNT_TESTS_FUZZ_CONN_STEPS_H
#define SHUNT_TESTS_FUZZ_CONN_STEPS_H

#include "fuzz.h"
#include "stack.h"

#define CONN_STEPS_MAX  400
#define CONN_RING_BYTES 16384

extern struct stack *conn_stack; // of the present input
extern struct stack_config conn_cfg;

// A new stack with a listener; the bits of how say what it speaks. scribbled: its arena will
// be written over.
void conn_start(uint8_t how, bool scribbled);

// A segment, an ICMP error, a call, or a jump of time, by what the input says.
void conn_step(struct input *in);

#endif
