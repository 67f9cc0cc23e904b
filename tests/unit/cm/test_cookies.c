// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "cm/cookies.h"

static void what_went_in_comes_out_once(void **state)
{
    struct cookies s = {0};

    assert_false(cookies_del(&s, 5));
    assert_int_equal(cookies_add(&s, 5), 0);
    assert_int_equal(cookies_add(&s, 5), 0);
    assert_int_equal(s.used, 1);
    assert_true(cookies_has(&s, 5));
    assert_false(cookies_has(&s, 6));
    assert_true(cookies_del(&s, 5));
    assert_false(cookies_has(&s, 5));
    assert_false(cookies_del(&s, 5));
    assert_int_equal(s.used, 0);
    cookies_fini(&s);
}

static void taking_all_leaves_it_empty(void **state)
{
    struct cookies s = {0}, all = {0};

    cookies_add(&s, 1);
    cookies_add(&s, 2);
    cookies_take(&s, &all);
    assert_int_equal(s.used, 0);
    assert_int_equal(all.used, 2);
    assert_false(cookies_del(&s, 1));
    assert_true(cookies_del(&all, 1));
    cookies_fini(&all);
}

// Against a plain array, with few values, so that chains form and break.
static void agrees_with_a_plain_set(void **state)
{
    enum { VALUES = 2000, STEPS = 200000 };
    static bool in[VALUES + 1];
    struct cookies s = {0};
    size_t used = 0;

    srand(3);
    for (int i = 0; i < STEPS; i++) {
        uint64_t v = 1 + (uint64_t)rand() % VALUES;

        if (rand() % 2) {
            assert_int_equal(cookies_add(&s, v), 0);
            used += !in[v];
            in[v] = true;
        } else {
            assert_int_equal(cookies_del(&s, v), in[v]);
            used -= in[v];
            in[v] = false;
        }
        assert_int_equal(s.used, used);
    }
    for (uint64_t v = 1; v <= VALUES; v++)
        assert_int_equal(cookies_del(&s, v), in[v]);
    cookies_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_went_in_comes_out_once),
        cmocka_unit_test(taking_all_leaves_it_empty),
        cmocka_unit_test(agrees_with_a_plain_set),
    };

    return cmocka_run_group_tests_name("cm/cookies", tests, NULL, NULL);
}
