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
#include <sys/mman.h>
#include <unistd.h>

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

// Three pages: one to read and write, one to read, none.
static char *three_pages(void)
{
    char *at =
        mmap(NULL, 3 * REACH_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(at, MAP_FAILED);
    mprotect(at + REACH_PAGE, REACH_PAGE, PROT_READ);
    mprotect(at + 2 * REACH_PAGE, REACH_PAGE, PROT_NONE);
    return at;
}

static void test_reach_ends_at_the_fault(void **state)
{
    char *at = three_pages();

    memset(at, 7, REACH_PAGE);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(reach(at + 10, 100, REACH_WRITE), 100);
        assert_int_equal(reach(at + 10, 3 * REACH_PAGE, REACH_WRITE), REACH_PAGE - 10);
        assert_int_equal(reach(at + 10, 3 * REACH_PAGE, REACH_READ), 2 * REACH_PAGE - 10);
        assert_int_equal(reach(at + REACH_PAGE, 1, REACH_WRITE), 0);
        assert_int_equal(reach(at + 2 * REACH_PAGE + 5, 1, REACH_READ), 0);
    }
    for (size_t i = 0; i < REACH_PAGE; i++)
        assert_int_equal(at[i], 7);
    munmap(at, 3 * REACH_PAGE);
    reach_forget(at, 3 * REACH_PAGE);
    assert_int_equal(reach(at + 10, 100, REACH_READ), 0);
}

static void test_reach_of_no_address(void **state)
{
    assert_int_equal(reach(NULL, 1, REACH_READ), 0);
    assert_int_equal(reach((void *)16, 1, REACH_WRITE), 0);
    assert_int_equal(reach((void *)-1, 100, REACH_READ), 0);
    assert_int_equal(reach((void *)-4096, SIZE_MAX, REACH_WRITE), 0);
    assert_int_equal(reach((void *)(UINT64_C(1) << 62), 1, REACH_WRITE), 0);
}

// A file that ends before its mapping does: SIGBUS in the rest.
static void test_reach_ends_with_the_file(void **state)
{
    int fd = memfd_create("short", MFD_CLOEXEC);
    char *at;

    assert_int_equal(ftruncate(fd, 100), 0);
    at = mmap(NULL, 2 * REACH_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    assert_int_equal(reach(at, 2 * REACH_PAGE, REACH_WRITE), REACH_PAGE);
    assert_int_equal(reach(at, 2 * REACH_PAGE, REACH_READ), REACH_PAGE);
    munmap(at, 2 * REACH_PAGE);
    reach_forget(at, 2 * REACH_PAGE);
}

static void test_iov_reach_crosses_parts(void **state)
{
    char *at = three_pages();
    const struct iovec parts_of_it[] = {{at, 10}, {NULL, 0}, {at + REACH_PAGE, 20}};
    struct iov_pos p;

    assert_int_equal(iov_begin(&p, parts_of_it, 3), 0);
    assert_int_equal(iov_reach(&p, 30, REACH_READ), 30);
    assert_int_equal(iov_reach(&p, 30, REACH_WRITE), 10);
    iov_skip(&p, 10);
    assert_int_equal(iov_reach(&p, 20, REACH_WRITE), 0);
    assert_int_equal(iov_begin(&p, (void *)(at + 2 * REACH_PAGE), 1), -EFAULT);
    munmap(at, 3 * REACH_PAGE);
    reach_forget(at, 3 * REACH_PAGE);
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
        cmocka_unit_test(test_reach_ends_at_the_fault),
        cmocka_unit_test(test_reach_of_no_address),
        cmocka_unit_test(test_reach_ends_with_the_file),
        cmocka_unit_test(test_iov_reach_crosses_parts),
        cmocka_unit_test(test_pool_gives_zeroed_objects_back_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
