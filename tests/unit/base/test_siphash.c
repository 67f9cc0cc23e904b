// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/siphash.h"

static const struct siphash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

// The example of the SipHash paper, appendix A.
static void test_siphash24_paper_vector(void **state)
{
    uint8_t in[15];

    for (int i = 0; i < 15; i++)
        in[i] = i;
    assert_true(siphash24(&key, in, 15) == 0xa129ca6149be45e5);
    assert_true(siphash24(&key, in, 0) == 0x726fdb47dd0e0e31);
    assert_true(siphash24(&key, in, 8) == 0x93f5f5799a932462);
}

static void test_siphash13_depends_on_key_and_every_byte(void **state)
{
    struct siphash_key other = {key.k0, key.k1 ^ 1};
    uint8_t in[21] = {0};
    uint64_t zero = siphash13(&key, in, sizeof in);

    assert_true(zero != siphash13(&other, in, sizeof in));
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = 1;
        assert_true(zero != siphash13(&key, in, sizeof in));
        in[i] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash24_paper_vector),
        cmocka_unit_test(test_siphash13_depends_on_key_and_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
