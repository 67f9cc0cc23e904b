// SPDX-License-Identifier: BSD-2-Clause
#include "base/space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <cmocka.h>

#define BIG   ((size_t)256 << 20)
#define WHOLE ((rlim_t)1 << 60) // beyond what sanitizers reserve

static void *map_big(void)
{
    return space_map(BIG, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static rlim_t kernels(void)
{
    struct rlimit now;

    assert_int_equal(getrlimit(RLIMIT_AS, &now), 0);
    return now.rlim_cur;
}

static rlim_t programs(void)
{
    struct rlimit now;

    assert_int_equal(space_get_limit(&now), 0);
    return now.rlim_cur;
}

static void nothing_is_limited(void **state)
{
    void *at = map_big();

    assert_non_null(at);
    assert_true(kernels() == RLIM_INFINITY && programs() == RLIM_INFINITY);
    space_unmap(at, BIG);
}

static void a_limit_is_the_programs(void **state)
{
    const struct rlimit limit = {WHOLE, RLIM_INFINITY};
    const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    void *first = map_big(), *second;

    assert_int_equal(space_set_limit(&limit), 0);
    assert_true(kernels() == WHOLE + BIG && programs() == WHOLE);
    second = map_big();
    assert_non_null(second);
    assert_true(kernels() == WHOLE + 2 * BIG && programs() == WHOLE);
    space_unmap(first, BIG / 2);
    space_unmap((char *)first + BIG / 2, BIG / 2);
    assert_true(kernels() == WHOLE + BIG && programs() == WHOLE);
    assert_int_equal(space_set_limit(&none), 0);
    assert_true(kernels() == RLIM_INFINITY && programs() == RLIM_INFINITY);
    space_unmap(second, BIG);
}

static void bad_limits(void **state)
{
    const struct rlimit upside_down = {2, 1};

    assert_int_equal(space_set_limit(&upside_down), -22); // EINVAL
    assert_true(kernels() == RLIM_INFINITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_limited),
        cmocka_unit_test(a_limit_is_the_programs),
        cmocka_unit_test(bad_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
