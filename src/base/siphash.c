// SPDX-License-Identifier: BSD-2-Clause
#include "base/siphash.h"

#include <string.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_rounds(struct sip *s, int n)
{
    for (int i = 0; i < n; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 = rotl(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 = rotl(s->v2, 32);
    }
}

static uint64_t load_le64(const uint8_t *p, size_t len)
{
    uint64_t v = 0;

    for (size_t i = 0; i < len; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static inline uint64_t sip(const struct siphash_key *key, const uint8_t *p, size_t len,
                           int per_block, int at_end)
{
    struct sip s = {key->k0 ^ 0x736f6d6570736575, key->k1 ^ 0x646f72616e646f6d,
                    key->k0 ^ 0x6c7967656e657261, key->k1 ^ 0x7465646279746573};
    uint64_t last = (uint64_t)len << 56;

    for (; len >= 8; p += 8, len -= 8) {
        uint64_t m = load_le64(p, 8);

        s.v3 ^= m;
        sip_rounds(&s, per_block);
        s.v0 ^= m;
    }
    last |= load_le64(p, len);
    s.v3 ^= last;
    sip_rounds(&s, per_block);
    s.v0 ^= last;
    s.v2 ^= 0xff;
    sip_rounds(&s, at_end);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash24(const struct siphash_key *key, const void *data, size_t len)
{
    return sip(key, data, len, 2, 4);
}

uint64_t siphash13(const struct siphash_key *key, const void *data, size_t len)
{
    return sip(key, data, len, 1, 3);
}
