// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "wire/csum.h"

#define LEN_MAX   2100
#define ALIGN_MAX 64

static _Alignas(64) uint8_t bytes[65536 + ALIGN_MAX];

static void fill(uint32_t seed, uint8_t mask)
{
    for (size_t i = 0; i < sizeof(bytes); i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24) | mask;
    }
}

// Every way that this processor can run, beside the reference, on these bytes.
static void assert_all_equal(const uint8_t *data, size_t len)
{
    uint16_t want = csum_scalar(data, len);

    for (const struct csum_way *w = csum_ways; w->name; w++)
        if (w->usable() && w->sum(data, len) != want)
            fail_msg("%s: %zu bytes at alignment %zu: %04x, want %04x", w->name, len,
                     (size_t)((uintptr_t)data % ALIGN_MAX), w->sum(data, len), want);
    if (csum(data, len) != want)
        fail_msg("the chosen way is wrong at %zu bytes", len);
}

static void test_all_ways_agree_on_all_lengths_and_alignments(void **state)
{
    fill(1, 0);
    for (size_t align = 0; align < ALIGN_MAX; align++)
        for (size_t len = 0; len <= LEN_MAX; len += align % 8 ? 13 : 1)
            assert_all_equal(bytes + align, len);
}

static void test_all_ways_agree_on_super_frames(void **state)
{
    fill(2, 0);
    for (size_t len = 65000; len < 65536; len++)
        assert_all_equal(bytes + len % ALIGN_MAX, len);
}

static void test_all_ones_carry_everywhere(void **state)
{
    fill(3, 0xff);
    for (size_t len = 0; len <= LEN_MAX; len++)
        assert_all_equal(bytes + len % 3, len);
    for (size_t len = 2; len <= LEN_MAX; len += 2)
        assert_int_equal(csum(bytes, len), 0xffff);
}

static void test_zero_bytes_alone_sum_to_zero(void **state)
{
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(csum(bytes, 65536), 0);
    bytes[77] = 1;
    assert_int_not_equal(csum(bytes, 65536), 0);
}

// The example of RFC 1071, section 3: 0001 f203 f4f5 f6f7 sum to ddf2.
static void test_rfc1071_example(void **state)
{
    static const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    uint16_t sum = csum(example, sizeof(example));
    uint8_t as_bytes[2];

    memcpy(as_bytes, &sum, 2);
    assert_int_equal(as_bytes[0], 0xdd);
    assert_int_equal(as_bytes[1], 0xf2);
}

static void test_join_at_every_place(void **state)
{
    fill(4, 0);
    for (size_t cut = 0; cut <= 300; cut++)
        assert_int_equal(csum_join(csum(bytes, cut), cut, csum(bytes + cut, 301 - cut)),
                         csum_scalar(bytes, 301));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_ways_agree_on_all_lengths_and_alignments),
        cmocka_unit_test(test_all_ways_agree_on_super_frames),
        cmocka_unit_test(test_all_ones_carry_everywhere),
        cmocka_unit_test(test_zero_bytes_alone_sum_to_zero),
        cmocka_unit_test(test_rfc1071_example),
        cmocka_unit_test(test_join_at_every_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
