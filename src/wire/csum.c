// SPDX-License-Identifier: BSD-2-Clause
#include "wire/csum.h"

#include <stdatomic.h>
#include <string.h>

#include "base/util.h"
#include "wire/csum_x86.h"

uint16_t csum_scalar(const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t sum = 0;
    uint16_t word;

    for (; len >= 2; p += 2, len -= 2) {
        memcpy(&word, p, 2);
        sum += word;
    }
    if (len) {
        word = 0;
        memcpy(&word, p, 1);
        sum += word;
    }
    return csum_fold(sum);
}

static inline uint64_t add_carry(uint64_t sum, uint64_t v)
{
    sum += v;
    return sum + (sum < v);
}

static inline uint64_t add_8_bytes(uint64_t sum, const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return add_carry(sum, word);
}

static inline uint64_t add_32_bytes(uint64_t sum, const unsigned char *p)
{
#ifdef CSUM_X86
    return csum_adc32(sum, p);
#else
    for (int i = 0; i < 32; i += 8)
        sum = add_8_bytes(sum, p + i);
    return sum;
#endif
}

// Eight bytes an addition, with end-around carry.
uint16_t csum_wide(const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t sum = 0;
    uint32_t half;

    for (; len >= 32; p += 32, len -= 32)
        sum = add_32_bytes(sum, p);
    for (; len >= 8; p += 8, len -= 8)
        sum = add_8_bytes(sum, p);
    if (len >= 4) {
        memcpy(&half, p, 4);
        sum = add_carry(sum, half);
        p += 4, len -= 4;
    }
    if (len) { // 1 to 3 bytes, as if zeros followed
        const unsigned char tail[4] = {p[0], len > 1 ? p[1] : 0, len > 2 ? p[2] : 0};

        memcpy(&half, tail, 4);
        sum = add_carry(sum, half);
    }
    return csum_fold(sum);
}

static int always(void)
{
    return 1;
}

const struct csum_way csum_ways[] = {
    {"scalar", csum_scalar, always},
    {"wide", csum_wide, always},
#ifdef CSUM_X86
    {"sse2", csum_sse2, always},
    {"avx2", csum_avx2, csum_has_avx2},
#endif
    {NULL, NULL, NULL},
};

typedef uint16_t (*csum_fn)(const void *, size_t);

static csum_fn choose(void)
{
    csum_fn best = csum_scalar;

    for (const struct csum_way *w = csum_ways; w->name; w++)
        if (w->usable())
            best = w->sum;
    return best;
}

uint16_t csum(const void *data, size_t len)
{
    static _Atomic(csum_fn) chosen;
    csum_fn fn;

    if (len < 128) // below, vectors do not pay for their start
        return csum_wide(data, len);
    fn = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (unlikely(!fn)) {
        fn = choose();
        atomic_store_explicit(&chosen, fn, memory_order_relaxed);
    }
    return fn(data, len);
}
