// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cm/cm.h"

static struct rlimit before;

static int keep_limit(void **state)
{
    return getrlimit(RLIMIT_NOFILE, &before);
}

static int restore_limit(void **state)
{
    return setrlimit(RLIMIT_NOFILE, &before);
}

static void limit(rlim_t n)
{
    struct rlimit lim = {n, before.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static void fds_go_to_the_top_quarter(void **state)
{
    int low = dup(0), fd;

    limit(256);
    fd = cm_fd_up(low);
    assert_true(fd >= 192 && fd < 256);
    assert_int_equal(fcntl(low, F_GETFD), -1);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(cm_fd_up(fd), fd); // is up already
    close(fd);
}

static void the_kernels_table_does_not_grow_for_them(void **state)
{
    int fd;

    if (before.rlim_max < 8192)
        skip();
    limit(before.rlim_max);
    fd = cm_fd_up(dup(0));
    assert_true(fd >= 3072 && fd < 4096);
    close(fd);
}

static void without_room_above_they_stay(void **state)
{
    int top[8], low = dup(0);

    limit(32); // 24 to 31 are the top quarter
    for (int i = 0; i < 8; i++)
        top[i] = fcntl(0, F_DUPFD_CLOEXEC, 24);
    assert_int_equal(top[7], 31);
    assert_int_equal(cm_fd_up(low), low);
    assert_true(fcntl(low, F_GETFD) >= 0);
    for (int i = 0; i < 8; i++)
        close(top[i]);
    close(low);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, keep_limit, restore_limit)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fds_go_to_the_top_quarter),
        TEST(the_kernels_table_does_not_grow_for_them),
        TEST(without_room_above_they_stay),
    };

    return cmocka_run_group_tests_name("cm/fd", tests, NULL, NULL);
}
