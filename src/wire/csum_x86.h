// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum by x86 code; only csum.c needs it.
#ifndef SHUNT_WIRE_CSUM_X86_H
#define SHUNT_WIRE_CSUM_X86_H

#if defined(__x86_64__)
#define CSUM_X86 1

#include <stddef.h>
#include <stdint.h>

uint16_t csum_sse2(const void *data, size_t len);
uint16_t csum_avx2(const void *data, size_t len);
int csum_has_avx2(void);

// Adds 32 bytes at p with end-around carry, by a chain that compilers do not find.
static inline uint64_t csum_adc32(uint64_t sum, const unsigned char *p)
{
    __asm__("addq 0(%[p]), %[sum]\n\t"
            "adcq 8(%[p]), %[sum]\n\t"
            "adcq 16(%[p]), %[sum]\n\t"
            "adcq 24(%[p]), %[sum]\n\t"
            "adcq $0, %[sum]"
            : [sum] "+r"(sum)
            : [p] "r"(p), "m"(*(const unsigned char(*)[32])p)
            : "cc");
    return sum;
}

#endif
#endif
