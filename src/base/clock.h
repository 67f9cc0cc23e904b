// SPDX-License-Identifier: BSD-2-Clause
// Time: 64-bit nanoseconds of CLOCK_MONOTONIC, and a cheap cycle counter for spinning.
#ifndef SHUNT_BASE_CLOCK_H
#define SHUNT_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US   UINT64_C(1000)
#define NS_PER_MS   UINT64_C(1000000)
#define NS_PER_S    UINT64_C(1000000000)
#define CLOCK_NEVER UINT64_MAX

// Nanoseconds of CLOCK_MONOTONIC; never blocks, never fails.
uint64_t clock_now_ns(void);

// A counter that only grows, for short distances: the TSC on x86-64, else clock_now_ns().
static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return clock_now_ns();
#endif
}

// Ticks in ns nanoseconds; measured at the first call (takes 200 us then, so call it at set-up).
uint64_t clock_ticks_of_ns(uint64_t ns);

// Tells the core that this is a spin loop.
static inline void clock_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
