// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum by x86 vector code; only csum.c needs it.
#ifndef SHUNT_WIRE_CSUM_X86_H
#define SHUNT_WIRE_CSUM_X86_H

#if defined(__x86_64__)
#define CSUM_X86 1

#include <stddef.h>
#include <stdint.h>

uint16_t csum_sse2(const void *data, size_t len);
uint16_t csum_avx2(const void *data, size_t len);
int csum_has_avx2(void);

#endif
#endif
