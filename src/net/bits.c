// SPDX-License-Identifier: BSD-2-Clause
#include "net/bits.h"

void net_bits_add(struct net_bits *b, uint32_t i)
{
    atomic_fetch_or(&b->words[i / 64], UINT64_C(1) << i % 64);
    atomic_fetch_or(&b->summary[i / 4096], UINT64_C(1) << i / 64 % 64);
    atomic_store(&b->any, 1);
}

// The bits of v at and above bit n.
static uint64_t from_bit(uint64_t v, uint32_t n)
{
    return v & ~UINT64_C(0) << n;
}

// The summary's bit is cleared before its word is read: who adds in between sets it again.
static uint32_t take_from_word(struct net_bits *b, uint32_t word, uint32_t first)
{
    uint64_t bit = UINT64_C(1) << word % 64, members, found;

    atomic_fetch_and(&b->summary[word / 64], ~bit);
    members = atomic_load(&b->words[word]);
    found = from_bit(members, first);
    found &= -found;
    if (found)
        members = atomic_fetch_and(&b->words[word], ~found) & ~found;
    if (members)
        atomic_fetch_or(&b->summary[word / 64], bit);
    return found ? word * 64 + (uint32_t)__builtin_ctzll(found) : UINT32_MAX;
}

uint32_t net_bits_take(struct net_bits *b, uint32_t from)
{
    for (uint32_t word = from / 64; word < 64 * 64;) {
        uint64_t some = from_bit(atomic_load(&b->summary[word / 64]), word % 64);
        uint32_t found;

        if (!some) {
            word = (word / 64 + 1) * 64;
            continue;
        }
        word = word / 64 * 64 + (uint32_t)__builtin_ctzll(some);
        found = take_from_word(b, word, word == from / 64 ? from % 64 : 0);
        if (found != UINT32_MAX)
            return found;
        word++;
    }
    return UINT32_MAX;
}
