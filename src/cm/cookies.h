// SPDX-License-Identifier: BSD-2-Clause
// A set of socket cookies that needs no malloc: an open-addressed table in anonymous memory.
#ifndef SHUNT_CM_COOKIES_H
#define SHUNT_CM_COOKIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Zeroed is empty. 0 is not a cookie.
struct cookies {
    uint64_t *slot;
    size_t slots, used; // slots is 0 or a power of two
};

// 0 (also when it is in already), or -ENOMEM.
int cookies_add(struct cookies *s, uint64_t cookie);

// True if it was in.
bool cookies_del(struct cookies *s, uint64_t cookie);

bool cookies_has(const struct cookies *s, uint64_t cookie);

// Moves everything into *out, which was empty; s is empty then. Walk out->slot, skipping zeros.
static inline void cookies_take(struct cookies *s, struct cookies *out)
{
    *out = *s;
    *s = (struct cookies){0};
}

// Frees, leaving it empty.
void cookies_fini(struct cookies *s);

#endif
