// SPDX-License-Identifier: BSD-2-Clause
// Whether memory that a program named can be touched: what the kernel finds out by touching it
// (EFAULT), told before we do so ourselves.
//
// Pages that were found good are remembered, so that a buffer that is used again costs a load a
// page; others cost a system call a run. What the program unmaps or protects has to be forgotten.
// There is no fault handler: SIGSEGV is the program's.
#ifndef SHUNT_BASE_REACH_H
#define SHUNT_BASE_REACH_H

#include "base/util.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REACH_PAGE  UINT64_C(4096) // the smallest there is; larger ones consist of such
#define REACH_PAGES 65536          // remembered, by number: 256 MiB in a row

enum reach_how { REACH_READ = 1, REACH_WRITE = 2 };

// A page's address, with the ways in which it can be touched in the low bits.
extern _Atomic uint64_t reach_known[REACH_PAGES];

size_t reach_slow(uint64_t at, size_t n, enum reach_how how);

static inline bool reach_is_known(uint64_t at, enum reach_how how)
{
    uint64_t word =
        atomic_load_explicit(&reach_known[at / REACH_PAGE % REACH_PAGES], memory_order_relaxed);

    return (word & ~(REACH_PAGE - 1)) == (at & ~(REACH_PAGE - 1)) && (word & how);
}

// The kernel must not be asked any more: all memory can be touched.
void reach_trust(void);

// How many of the n bytes from p on can be touched without a fault, up to the first that cannot.
// What another thread unmaps meanwhile is that thread's fault. Does not block, nor touch errno.
static inline size_t reach(const void *p, size_t n, enum reach_how how)
{
    uint64_t at = (uint64_t)(uintptr_t)p;

    if (likely(reach_is_known(at, how) && n <= REACH_PAGE - at % REACH_PAGE))
        return n;
    return reach_slow(at, n, how);
}

// After the program has unmapped, moved or protected the n bytes from p on.
void reach_forget(const void *p, size_t n);

#endif
