// SPDX-License-Identifier: BSD-2-Clause
#include "base/reach.h"

#include "base/sys.h"

#include <linux/futex.h>
#include <sys/mman.h>

#define RUN_PAGES 16 // populated at once: as much as is about to be copied

#ifndef MADV_POPULATE_READ // Linux 5.14
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

_Atomic uint64_t reach_known[REACH_PAGES];
static _Atomic bool trusted;

static _Atomic uint64_t *slot(uint64_t at)
{
    return &reach_known[at / REACH_PAGE % REACH_PAGES];
}

static uint64_t page_of(uint64_t at)
{
    return at & ~(REACH_PAGE - 1);
}

static void remember(uint64_t at, enum reach_how how)
{
    uint64_t ways = REACH_READ | how;

    atomic_store_explicit(slot(at), page_of(at) | ways, memory_order_relaxed);
}

// ---- asking the kernel ----

#define WORD 8 // any of the page but the first, which may be NULL: that means something else

// rt_sigprocmask(2) reads the set before it finds that 99 is no way to change a mask.
static bool can_read(uint64_t page)
{
    return sys_call(SYS_rt_sigprocmask, 99, page + WORD, NULL, 8) != -EFAULT;
}

// futex(2) FUTEX_WAKE_OP writes to its second word what it wants: here, what was there. It wakes
// nobody, but one who waits for that word while it is 0x7ff, which then is one of the spurious
// wake-ups that a futex has.
static bool can_write(uint64_t page)
{
    static uint32_t nobody;
    const uint32_t or_0 = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0x7ff);

    return sys_call(SYS_futex, &nobody, FUTEX_WAKE_OP_PRIVATE, 0, 0, page + WORD, or_0) != -EFAULT;
}

static bool ask(uint64_t page, enum reach_how how)
{
    return how == REACH_WRITE ? can_write(page) : can_read(page);
}

// Many pages by one call. False: some are not so plain, or the kernel is too old; ask for each.
static bool ask_run(uint64_t page, size_t n_pages, enum reach_how how)
{
    int advice = how == REACH_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;

    return n_pages > 1 && sys_call(SYS_madvise, page, n_pages * REACH_PAGE, advice) == 0;
}

// Pages from page on, at most n_pages (a run of them), that can be touched.
static size_t find(uint64_t page, size_t n_pages, enum reach_how how)
{
    size_t found = 0, run = MIN(n_pages, (size_t)RUN_PAGES);

    if (ask_run(page, run, how))
        found = run;
    while (found < run && ask(page + found * REACH_PAGE, how))
        found++;
    for (size_t i = 0; i < found; i++)
        remember(page + i * REACH_PAGE, how);
    return found;
}

// ---- the two calls ----

size_t reach_slow(uint64_t at, size_t n, enum reach_how how)
{
    uint64_t page = page_of(at), end = at + n;
    size_t found;

    if (unlikely(atomic_load_explicit(&trusted, memory_order_relaxed)))
        return n;
    if (end < at) // the kernel's half of the addresses, where nothing is ours
        end = UINT64_MAX;
    for (; page < end; page += found * REACH_PAGE) {
        if (likely(reach_is_known(page, how)))
            found = 1;
        else
            found = find(page, (end - page + REACH_PAGE - 1) / REACH_PAGE, how);
        if (!found)
            break;
    }
    if (page >= end)
        return n;
    return page > at ? page - at : 0;
}

void reach_trust(void)
{
    atomic_store_explicit(&trusted, true, memory_order_relaxed);
}

void reach_forget(const void *p, size_t n)
{
    uint64_t page = page_of((uint64_t)(uintptr_t)p);
    size_t n_pages = MIN(n / REACH_PAGE + 2, (size_t)REACH_PAGES);

    for (size_t i = 0; i < n_pages; i++) {
        _Atomic uint64_t *word = slot(page + i * REACH_PAGE);

        if (atomic_load_explicit(word,
                                 memory_order_relaxed)) // what was never written takes no memory
            atomic_store_explicit(word, 0, memory_order_relaxed);
    }
}
