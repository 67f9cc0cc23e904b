// SPDX-License-Identifier: BSD-2-Clause
// A plain client of shuntd for tools: one question at a time, each waits for its answer.
#ifndef SHUNT_CM_ASK_H
#define SHUNT_CM_ASK_H

#include "cm/record.h"

#include <stdint.h>

#define ASK_WHY_BYTES 128

// Connects to the shuntd at path and is welcomed, or not, until deadline_ns. Returns a socket for
// close(), or -errno with a sentence in why: -ENOENT and -ECONNREFUSED (nobody there), -EPIPE (it
// ended meanwhile), -EPROTO (it refused us), -ETIMEDOUT, -EPERM, -EACCES.
int ask_open(const char *path, uint64_t deadline_ns, char why[ASK_WHY_BYTES]);

// Finds shuntd where programs do, see cm/place.h for named; the rest as ask_open().
int ask_open_any(const char *named, uint64_t deadline_ns, char why[ASK_WHY_BYTES]);

// A private shuntd is to stay until this process has ended. 0 or -errno.
int ask_stay(int sock);

struct ask_stat {
    void (*record)(void *arg, const char *program, const struct cm_record *rec);
    void (*counter)(void *arg, const char *name, uint64_t value); // after the last record
    void *arg;
};

// Calls back for everything that this user may see. 0, -EPIPE or -ETIMEDOUT.
int ask_stat(int sock, const struct ask_stat *stat, uint64_t deadline_ns);

#endif
