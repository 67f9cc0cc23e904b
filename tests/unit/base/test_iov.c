// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/iov.h"
#include "base/pool.h"

#include <errno.h>
#include <string.h>

static char a[3], b[1], d[4];
static const struct iovec parts[] = {{a, 3}, {NULL, 0}, {b, 0}, {b, 1}, {d, 4}};

static void test_scatter_crosses_empty_parts(void **state)
{
    struct iov_pos p;

    assert_int_equal(iov_begin(&p, parts, 5), 0);
    assert_int_equal(p.left, 8);
    iov_scatter(&p, "ab", 2);
    iov_scatter(&p, "cdefgh", 6);
    assert_int_equal(p.left, 0);
    assert_memory_equal(a, "abc", 3);
    assert_memory_equal(b, "d", 1);
    assert_memory_equal(d, "efgh", 4);
}

static void test_gather_is_the_reverse(void **state)
{
    struct iov_pos p;
    char flat[8];

    test_scatter_crosses_empty_parts(state);
    iov_begin(&p, parts, 5);
    iov_gather(&p, flat, 5);
    iov_gather(&p, flat + 5, 3);
    assert_memory_equal(flat, "abcdefgh", 8);
}

static void test_rest_begins_where_the_position_is(void **state)
{
    struct iovec out[5];
    struct iov_pos p;

    iov_begin(&p, parts, 5);
    iov_skip(&p, 2);
    assert_int_equal(iov_rest(&p, out, 5), 5);
    assert_ptr_equal(out[0].iov_base, a + 2);
    assert_int_equal(out[0].iov_len, 1);
    assert_int_equal(out[4].iov_len, 4);
    assert_int_equal(iov_rest(&p, out, 2), 2);
}

static void test_nonsense_is_refused(void **state)
{
    const struct iovec huge[] = {{a, SSIZE_MAX}, {b, 1}};
    struct iov_pos p;

    assert_int_equal(iov_begin(&p, parts, -1), -EINVAL);
    assert_int_equal(iov_begin(&p, parts, IOV_MAX + 1), -EINVAL);
    assert_int_equal(iov_begin(&p, huge, 2), -EINVAL);
    assert_int_equal(iov_begin(&p, NULL, 0), 0);
}

static void test_pool_gives_zeroed_objects_back_again(void **state)
{
    struct pool pool = {64, NULL};
    char *one = pool_take(&pool), *two = pool_take(&pool);

    assert_ptr_not_equal(one, two);
    assert_int_equal((uintptr_t)one % 64, 0);
    memset(one, 7, 64);
    pool_give(&pool, one);
    assert_ptr_equal(pool_take(&pool), one);
    for (int i = 0; i < 64; i++)
        assert_int_equal(one[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scatter_crosses_empty_parts),
        cmocka_unit_test(test_gather_is_the_reverse),
        cmocka_unit_test(test_rest_begins_where_the_position_is),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_pool_gives_zeroed_objects_back_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
