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

// The value as it was read, once: the compiler may not look again into memory that others write.
static inline uint32_t value_once(uint32_t n)
{
    __asm__("" : "+r"(n));
    return n;
}

// An index below count (not 0), whatever memory said: the last one for all that are too large.
static inline uint32_t index_within(uint32_t i, uint32_t count)
{
    i = value_once(i);
    return i < count ? i : count - 1;
}

// What Shunt's libraries export; everything else is hidden.
#define SHUNT_EXPORT __attribute__((visibility("default")))

#endif
