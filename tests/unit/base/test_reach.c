// SPDX-License-Identifier: BSD-2-Clause
#include "base/reach.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGES  8
#define LENGTH (PAGES * REACH_PAGE)

static char *map(size_t len, int prot)
{
    char *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    reach_forget(p, len);
    return p;
}

// As the shim does.
static void unmap(char *p, size_t len)
{
    assert_int_equal(munmap(p, len), 0);
    reach_forget(p, len);
}

static void protect(char *p, size_t len, int prot)
{
    assert_int_equal(mprotect(p, len, prot), 0);
    reach_forget(p, len);
}

static void what_is_mapped_is_reached(void **state)
{
    char *p = map(LENGTH, PROT_READ | PROT_WRITE);

    for (int again = 0; again < 2; again++) {
        assert_int_equal(reach(p, LENGTH, REACH_READ), LENGTH);
        assert_int_equal(reach(p, LENGTH, REACH_WRITE), LENGTH);
        assert_int_equal(reach(p + 1, 1, REACH_WRITE), 1);
        assert_int_equal(reach(p + REACH_PAGE - 1, 2, REACH_READ), 2);
    }
    unmap(p, LENGTH);
}

static void asking_changes_no_byte(void **state)
{
    char *p = map(REACH_PAGE, PROT_READ | PROT_WRITE);

    for (size_t i = 0; i < REACH_PAGE; i++)
        p[i] = (char)i;
    reach_forget(p, REACH_PAGE);
    errno = EXDEV;
    assert_int_equal(reach(p, REACH_PAGE, REACH_WRITE), REACH_PAGE);
    assert_int_equal(errno, EXDEV);
    for (size_t i = 0; i < REACH_PAGE; i++)
        assert_int_equal(p[i], (char)i);
    unmap(p, REACH_PAGE);
}

static void a_hole_ends_it(void **state)
{
    char *p = map(LENGTH, PROT_READ | PROT_WRITE);

    assert_int_equal(reach(p, LENGTH, REACH_WRITE), LENGTH);
    unmap(p + 3 * REACH_PAGE, REACH_PAGE);
    assert_int_equal(reach(p, LENGTH, REACH_WRITE), 3 * REACH_PAGE);
    assert_int_equal(reach(p + 100, LENGTH - 100, REACH_READ), 3 * REACH_PAGE - 100);
    assert_int_equal(reach(p + 3 * REACH_PAGE + 5, 1, REACH_READ), 0);
    assert_int_equal(reach(p + 4 * REACH_PAGE, REACH_PAGE, REACH_READ), REACH_PAGE);
    unmap(p, LENGTH);
    assert_int_equal(reach(p, 1, REACH_READ), 0);
}

static void reading_is_not_writing(void **state)
{
    char *p = map(LENGTH, PROT_READ);

    assert_int_equal(reach(p, LENGTH, REACH_READ), LENGTH);
    assert_int_equal(reach(p, LENGTH, REACH_WRITE), 0);
    protect(p, REACH_PAGE, PROT_READ | PROT_WRITE);
    assert_int_equal(reach(p, LENGTH, REACH_WRITE), REACH_PAGE);
    protect(p, LENGTH, PROT_NONE);
    assert_int_equal(reach(p, LENGTH, REACH_READ), 0);
    unmap(p, LENGTH);
}

static void no_addresses_of_a_program(void **state)
{
    const void *kernels = (const void *)(uintptr_t)(UINT64_C(1) << 63);

    assert_int_equal(reach(NULL, 1, REACH_READ), 0);
    assert_int_equal(reach(NULL, 3 * REACH_PAGE, REACH_WRITE), 0);
    assert_int_equal(reach(kernels, 8, REACH_READ), 0);
    assert_int_equal(reach((const void *)(UINTPTR_MAX - 9), 100, REACH_READ), 0);
}

// Pages so far apart are remembered in one place: the later takes it from the earlier.
static void pages_far_apart_are_told_apart(void **state)
{
    size_t apart = REACH_PAGES * REACH_PAGE, len = apart + REACH_PAGE;
    char *p = map(len, PROT_NONE);

    protect(p, REACH_PAGE, PROT_READ | PROT_WRITE);
    assert_int_equal(reach(p, 10, REACH_WRITE), 10);
    assert_int_equal(reach(p + apart, 10, REACH_READ), 0);
    assert_int_equal(reach(p, 10, REACH_WRITE), 10);
    protect(p + apart, REACH_PAGE, PROT_READ);
    assert_int_equal(reach(p + apart, 10, REACH_READ), 10);
    assert_int_equal(reach(p, 10, REACH_WRITE), 10);
    unmap(p, len); // more than is remembered
    assert_int_equal(reach(p, 1, REACH_READ), 0);
    assert_int_equal(reach(p + apart, 1, REACH_READ), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_mapped_is_reached),
        cmocka_unit_test(asking_changes_no_byte),
        cmocka_unit_test(a_hole_ends_it),
        cmocka_unit_test(reading_is_not_writing),
        cmocka_unit_test(no_addresses_of_a_program),
        cmocka_unit_test(pages_far_apart_are_told_apart),
    };

    return cmocka_run_group_tests_name("base/reach", tests, NULL, NULL);
}
