// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
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

static void fds_go_above_the_limit(void **state)
{
    int low = dup(0), fd;

    limit(256);
    fd = cm_fd_up(low);
    assert_true(fd >= 256);
    assert_int_equal(fcntl(low, F_GETFD), -1);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

// ---- where the limit cannot be lifted ----

static bool cannot_lift(rlim_t n)
{
    struct rlimit lim = {n, n};

    return !setrlimit(RLIMIT_NOFILE, &lim) && (geteuid() || !setuid(65534));
}

static bool holds_in_a_child(bool (*body)(void))
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0)
        _exit(!body());
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static bool goes_to_the_top_quarter(void)
{
    int low = dup(0), fd;

    if (!cannot_lift(256))
        return false;
    fd = cm_fd_up(low);
    return fd >= 192 && fd < 256 && fcntl(low, F_GETFD) == -1 && fcntl(fd, F_GETFD) == FD_CLOEXEC &&
           cm_fd_up(fd) == fd;
}

static void fds_go_to_the_top_quarter(void **state)
{
    assert_true(holds_in_a_child(goes_to_the_top_quarter));
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

static bool stays(void)
{
    int low = dup(0), top = -1;

    if (!cannot_lift(32)) // 24 to 31 are the top quarter
        return false;
    for (int i = 0; i < 8; i++)
        top = fcntl(0, F_DUPFD_CLOEXEC, 24);
    return top == 31 && cm_fd_up(low) == low && fcntl(low, F_GETFD) >= 0;
}

static void without_room_above_they_stay(void **state)
{
    assert_true(holds_in_a_child(stays));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, keep_limit, restore_limit)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fds_go_above_the_limit),
        TEST(fds_go_to_the_top_quarter),
        TEST(the_kernels_table_does_not_grow_for_them),
        TEST(without_room_above_they_stay),
    };

    return cmocka_run_group_tests_name("cm/fd", tests, NULL, NULL);
}
