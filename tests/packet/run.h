// SPDX-License-Identifier: BSD-2-Clause
// Runs a packet script in virtual time.
#ifndef SHUNT_TESTS_PACKET_RUN_H
#define SHUNT_TESTS_PACKET_RUN_H

#include <stdio.h>

#include "flow.h"
#include "script.h"
#include "stack.h"

#define RUN_FLOWS 16

// A call that has not returned yet.
struct pending_call {
    const struct event *event; // NULL: none
    int64_t end_ns;            // when it must return, since the start of the script
};

struct run {
    const struct script *script;
    struct stack *stack;
    FILE *report; // what is wrong goes there
    bool failed;
    uint64_t start_ns; // of the script, by the stack's clock
    int64_t last_ns;   // time of the event before, since the start
    int64_t tolerance_ns;
    struct flow flows[RUN_FLOWS];
    struct flow *flow; // the one that packets without ports mean
    int fd;            // the socket that assertions mean: the last that a call made or used
    struct pending_call pending;
    struct live_packet live;
    bool strict; // every packet that leaves must be expected
    uint32_t remote_isn;
    bool ipv6;
    struct {
        uint32_t rx, tx; // bytes read and written so far, for the bytes' own values
    } stream[64];
};

// Runs the script. Returns true when all was as it says; else the reasons are in report.
bool run_script(const struct script *s, FILE *report);

// Says what is wrong with the event, with its line and the time; the script fails.
void run_fail(struct run *r, const struct event *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// Time since the start of the script.
int64_t run_now(const struct run *r);

// config.c: the configuration that the script's options and first commands ask for. Returns false
// for one that is not known, which is reported.
bool run_configure(struct run *r, struct stack_config *cfg);

// call.c: makes the call, once. Returns its result, a negative errno; -EAGAIN or -EINPROGRESS where
// it would block.
int64_t call_make(struct run *r, const struct event *e);

// The result that the script wants, as call_make() gives it: of an error its negative errno.
int64_t call_wanted(struct run *r, const struct event *e);

// check.c: makes the assertions in the text.
void check_code(struct run *r, const struct event *e);

#endif
