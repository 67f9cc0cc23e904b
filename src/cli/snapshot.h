// SPDX-License-Identifier: BSD-2-Clause
// All that shuntd tells at one moment, and the two forms in which `shunt stat` shows it.
#ifndef SHUNT_CLI_SNAPSHOT_H
#define SHUNT_CLI_SNAPSHOT_H

#include "cm/counters.h"
#include "cm/record.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct snapshot_row {
    char program[32];
    struct cm_record rec;
};

struct snapshot {
    struct snapshot_row *rows; // by pid, then fd
    size_t n_rows, room;
    uint64_t count[COUNTERS]; // by enum counter
};

// Asks the shuntd behind sock (ask_open). Zero *s to begin; what an earlier call got is replaced.
// 0 or -errno.
int snapshot_take(struct snapshot *s, int sock, uint64_t deadline_ns);

void snapshot_free(struct snapshot *s);

// For people: lines of at most width characters; 0: as long as they are.
void snapshot_print(const struct snapshot *s, FILE *out, size_t width);

// One JSON object: {"connections": [...], "shuntd": {...}}. In one line if compact. 0 or -ENOMEM.
int snapshot_print_json(const struct snapshot *s, FILE *out, int compact);

#endif
