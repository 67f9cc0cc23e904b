// SPDX-License-Identifier: BSD-2-Clause
// Small words that every room uses.
#ifndef SHUNT_BASE_UTIL_H
#define SHUNT_BASE_UTIL_H

#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
// These two evaluate an argument twice.
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
// The same for mixed unsigned types, without a warning and without a macro's shadows.
static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

// What Shunt's libraries export; everything else is hidden.
#define SHUNT_EXPORT __attribute__((visibility("default")))

#endif
