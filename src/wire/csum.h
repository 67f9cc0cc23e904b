// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum (RFC 1071): a one's complement sum of 16-bit words.
//
// A "sum" here is the folded 16-bit sum of bytes taken as words in the host's order, not
// complemented: RFC 1071 section 2(B) shows that it may be stored as it is. It is 0 only when every
// byte is 0, so all ways to compute it give the same value and not merely the same residue.
#ifndef SHUNT_WIRE_CSUM_H
#define SHUNT_WIRE_CSUM_H

#include <stddef.h>
#include <stdint.h>

// The sum of len bytes at data (any alignment; an odd last byte counts as if a zero byte followed).
// Chooses the fastest code for this processor and length.
uint16_t csum(const void *data, size_t len);

// The same, word by word: the reference that the tests hold the others against.
uint16_t csum_scalar(const void *data, size_t len);

// The same, a machine word at a time: for what is short.
uint16_t csum_wide(const void *data, size_t len);

// One way to compute the sum. `usable` says whether this processor can run it.
struct csum_way {
    const char *name;
    uint16_t (*sum)(const void *data, size_t len);
    int (*usable)(void);
};

// All ways, slowest first; ends with a NULL name.
extern const struct csum_way csum_ways[];

// 64 bits to 16 with end-around carry: added to itself with its halves swapped, a number has their
// sum in the upper half, and the carry of the lower half has been added to it already.
static inline uint16_t csum_fold(uint64_t sum)
{
    uint32_t half = (uint32_t)((sum + (sum << 32 | sum >> 32)) >> 32);

    return (uint16_t)((half + (half << 16 | half >> 16)) >> 16);
}

// The sum of a few whole 32-bit words: for headers, where a call costs more than the work. Loads of
// the size in which headers are written do not wait for the stores.
static inline uint64_t csum_words(const void *data, size_t words)
{
    const unsigned char *p = data;
    uint64_t sum = 0;

    for (uint32_t word; words; words--, p += sizeof(word)) {
        __builtin_memcpy(&word, p, sizeof(word));
        sum += word;
    }
    return sum;
}

// The sum of two pieces, where the second begins `offset` bytes after the first: a piece that
// begins at an odd place has its bytes swapped (RFC 1071 section 2(B)).
static inline uint16_t csum_join(uint16_t first, size_t offset, uint16_t second)
{
    if (offset & 1)
        second = __builtin_bswap16(second);
    return csum_fold((uint64_t)first + second);
}

#endif
