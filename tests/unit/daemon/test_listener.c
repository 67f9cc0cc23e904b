// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/listener.h"

static char dir[64], path[128];
static const char *why;

static int make_dir(void **state)
{
    snprintf(dir, sizeof dir, "%s/shunt-test-XXXXXX", getenv("TMPDIR") ?: "/tmp");
    snprintf(path, sizeof path, "%s/s", mkdtemp(dir));
    return 0;
}

static int remove_dir(void **state)
{
    char lock[160];

    snprintf(lock, sizeof lock, "%s.lock", path);
    unlink(lock);
    unlink(path);
    return rmdir(dir);
}

static void programs_connect_while_it_is_open(void **state)
{
    struct listener l;
    int sock;

    assert_int_equal(place_connect(path), -ENOENT);
    assert_int_equal(listener_open(&l, path, &why), 0);
    sock = place_connect(path);
    assert_true(sock >= 0);
    close(sock);
    listener_close(&l);
    assert_int_equal(place_connect(path), -ENOENT);
}

static void there_is_one_at_a_time(void **state)
{
    struct listener a, b;

    assert_int_equal(listener_open(&a, path, &why), 0);
    assert_int_equal(listener_open(&b, path, &why), -EADDRINUSE);
    assert_non_null(strstr(why, "another shuntd"));
    assert_int_equal(access(path, F_OK), 0); // the first one's socket was left alone
    listener_close(&a);
    assert_int_equal(listener_open(&b, path, &why), 0);
    listener_close(&b);
}

static void a_dead_ones_socket_is_replaced(void **state)
{
    struct listener dead, l;
    int sock;

    assert_int_equal(listener_open(&dead, path, &why), 0);
    close(dead.fd);
    close(dead.lock_fd); // as death does
    assert_int_equal(place_connect(path), -ECONNREFUSED);
    assert_int_equal(listener_open(&l, path, &why), 0);
    sock = place_connect(path);
    assert_true(sock >= 0);
    close(sock);
    listener_close(&l);
}

static void a_file_in_its_place_is_left_alone(void **state)
{
    struct listener l;
    int fd = open(path, O_CREAT | O_WRONLY, 0600);

    close(fd);
    assert_int_equal(listener_open(&l, path, &why), -EEXIST);
    assert_int_equal(access(path, F_OK), 0);
}

static void a_directory_open_to_others_is_not_used(void **state)
{
    struct listener l;

    assert_int_equal(chmod(dir, 0777), 0);
    assert_int_equal(listener_open(&l, path, &why), -EPERM);
    assert_non_null(strstr(why, "meddle"));
    assert_int_equal(chmod(dir, 01777), 0); // as /tmp
    assert_int_equal(listener_open(&l, path, &why), 0);
    listener_close(&l);
}

static void a_link_to_a_directory_is_not_used(void **state)
{
    char link[96], below[128];
    struct listener l;

    snprintf(link, sizeof link, "%s-link", dir);
    snprintf(below, sizeof below, "%s/s", link);
    assert_int_equal(symlink(dir, link), 0);
    assert_int_equal(listener_open(&l, below, &why), -EPERM);
    unlink(link);
}

static void a_missing_directory_is_made(void **state)
{
    char below[160], lock[176];
    struct listener l;
    struct stat st;

    snprintf(below, sizeof below, "%s/new/s", dir);
    assert_int_equal(listener_open(&l, below, &why), 0);
    listener_close(&l);
    snprintf(lock, sizeof lock, "%s.lock", below);
    unlink(lock);
    *strrchr(below, '/') = 0;
    assert_int_equal(stat(below, &st), 0);
    assert_int_equal(st.st_mode & 07777, geteuid() ? 0700 : 0755);
    rmdir(below);
}

static void paths_that_cannot_be_are_told(void **state)
{
    char long_path[200];
    struct listener l;

    memset(long_path, 'x', sizeof long_path - 1);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = 0;
    assert_int_equal(listener_open(&l, long_path, &why), -ENAMETOOLONG);
    assert_int_equal(listener_open(&l, "relative/s", &why), -EINVAL);
    listener_close(&l); // legal after a failure
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(programs_connect_while_it_is_open),
        TEST(there_is_one_at_a_time),
        TEST(a_dead_ones_socket_is_replaced),
        TEST(a_file_in_its_place_is_left_alone),
        TEST(a_directory_open_to_others_is_not_used),
        TEST(a_link_to_a_directory_is_not_used),
        TEST(a_missing_directory_is_made),
        TEST(paths_that_cannot_be_are_told),
    };

    return cmocka_run_group_tests_name("daemon/listener", tests, NULL, NULL);
}
