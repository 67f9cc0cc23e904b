// SPDX-License-Identifier: BSD-2-Clause
// 32-bit words are added into 64-bit lanes, which cannot overflow for any length that exists; since
// 2^32 and 2^16 are both 1 modulo 65535, folding the lanes gives the sum of the 16-bit words.
#include "wire/csum_x86.h"

#ifdef CSUM_X86
#include <immintrin.h>

#include "wire/csum.h"

int csum_has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

static uint16_t with_tail(uint64_t lanes, const void *tail, size_t len)
{
    return csum_fold((uint64_t)csum_fold(lanes) + csum_wide(tail, len));
}

uint16_t csum_sse2(const void *data, size_t len)
{
    const char *p = data;
    const __m128i low = _mm_set1_epi64x(UINT32_MAX);
    __m128i a = _mm_setzero_si128(), b = a;

    for (; len >= 32; p += 32, len -= 32) {
        __m128i v = _mm_loadu_si128((const __m128i_u *)p);
        __m128i w = _mm_loadu_si128((const __m128i_u *)(p + 16));

        a = _mm_add_epi64(a, _mm_and_si128(v, low));
        b = _mm_add_epi64(b, _mm_srli_epi64(v, 32));
        a = _mm_add_epi64(a, _mm_and_si128(w, low));
        b = _mm_add_epi64(b, _mm_srli_epi64(w, 32));
    }
    a = _mm_add_epi64(a, b);
    a = _mm_add_epi64(a, _mm_unpackhi_epi64(a, a));
    return with_tail((uint64_t)_mm_cvtsi128_si64(a), p, len);
}

__attribute__((target("avx2"))) uint16_t csum_avx2(const void *data, size_t len)
{
    const char *p = data;
    const __m256i low = _mm256_set1_epi64x(UINT32_MAX);
    __m256i a = _mm256_setzero_si256(), b = a;
    uint64_t lanes;
    __m128i s;

    for (; len >= 64; p += 64, len -= 64) {
        __m256i v = _mm256_loadu_si256((const __m256i_u *)p);
        __m256i w = _mm256_loadu_si256((const __m256i_u *)(p + 32));

        a = _mm256_add_epi64(a, _mm256_and_si256(v, low));
        b = _mm256_add_epi64(b, _mm256_srli_epi64(v, 32));
        a = _mm256_add_epi64(a, _mm256_and_si256(w, low));
        b = _mm256_add_epi64(b, _mm256_srli_epi64(w, 32));
    }
    a = _mm256_add_epi64(a, b);
    s = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi64(s, _mm_unpackhi_epi64(s, s));
    lanes = (uint64_t)_mm_cvtsi128_si64(s);
    _mm256_zeroupper(); // gcc 12 leaves it out under -flto, and every SSE instruction pays for it
    return with_tail(lanes, p, len);
}
#endif
