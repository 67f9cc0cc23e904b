// SPDX-License-Identifier: BSD-2-Clause
#include "cm/cookies.h"

#include <errno.h>
#include <sys/mman.h>

#define FIRST_SLOTS 512 // a page

static size_t home(const struct cookies *s, uint64_t cookie)
{
    return (size_t)(cookie * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (s->slots - 1);
}

// The slot of cookie, or the free one where it belongs. There is always a free one.
static size_t find(const struct cookies *s, uint64_t cookie)
{
    size_t i = home(s, cookie);

    while (s->slot[i] && s->slot[i] != cookie)
        i = (i + 1) & (s->slots - 1);
    return i;
}

static int grow(struct cookies *s)
{
    struct cookies bigger = {.slots = s->slots ? 2 * s->slots : FIRST_SLOTS, .used = s->used};
    void *at = mmap(NULL, bigger.slots * sizeof *s->slot, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return -ENOMEM;
    bigger.slot = at;
    for (size_t i = 0; i < s->slots; i++)
        if (s->slot[i])
            bigger.slot[find(&bigger, s->slot[i])] = s->slot[i];
    cookies_fini(s);
    *s = bigger;
    return 0;
}

int cookies_add(struct cookies *s, uint64_t cookie)
{
    size_t i;

    if (4 * (s->used + 1) > 3 * s->slots && grow(s))
        return -ENOMEM;
    i = find(s, cookie);
    if (!s->slot[i]) {
        s->slot[i] = cookie;
        s->used++;
    }
    return 0;
}

// Empties slot i and moves what stands after it as near to its home as it can be.
static void take_out(struct cookies *s, size_t i)
{
    const size_t mask = s->slots - 1;

    s->used--;
    for (size_t j = (i + 1) & mask; s->slot[j]; j = (j + 1) & mask) {
        if (((j - home(s, s->slot[j])) & mask) < ((j - i) & mask))
            continue;
        s->slot[i] = s->slot[j];
        i = j;
    }
    s->slot[i] = 0;
}

bool cookies_del(struct cookies *s, uint64_t cookie)
{
    size_t i = s->used ? find(s, cookie) : 0;

    if (!s->used || s->slot[i] != cookie)
        return false;
    take_out(s, i);
    return true;
}

bool cookies_has(const struct cookies *s, uint64_t cookie)
{
    return s->used && s->slot[find(s, cookie)] == cookie;
}

void cookies_fini(struct cookies *s)
{
    if (s->slot)
        munmap(s->slot, s->slots * sizeof *s->slot);
    *s = (struct cookies){0};
}
