// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"

static void test_err_text(void **state)
{
    assert_string_equal(err_text(-ECONNREFUSED), "Connection refused");
    assert_string_equal(err_text(ECONNREFUSED), "Connection refused");
    assert_string_equal(err_text(-99999), "unknown error");
}

static void test_list_keeps_order(void **state)
{
    struct list head, a, b, c;
    struct list *want[] = {&a, &c};
    int i = 0;

    list_init(&head);
    assert_true(list_empty(&head));
    list_add_tail(&head, &a);
    list_add_tail(&head, &b);
    list_add_tail(&head, &c);
    list_del(&b);
    assert_true(list_empty(&b));
    list_for_each (it, &head)
        assert_ptr_equal(it, want[i++]);
    assert_int_equal(i, 2);
}

static void test_clock_ticks_match_time(void **state)
{
    uint64_t want = clock_ticks_of_ns(20 * NS_PER_MS), start = clock_ticks(),
             begin = clock_now_ns();

    while (clock_now_ns() - begin < 20 * NS_PER_MS)
        clock_pause();
    assert_true(clock_ticks() - start > want * 8 / 10);
}

static void test_log_env_rejects_unknown_word(void **state)
{
    assert_int_equal(log_setup_env("loud"), -EINVAL);
    assert_int_equal(log_setup_env("error"), 0);
    assert_int_equal(log_level(), LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_text),
        cmocka_unit_test(test_list_keeps_order),
        cmocka_unit_test(test_clock_ticks_match_time),
        cmocka_unit_test(test_log_env_rejects_unknown_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
