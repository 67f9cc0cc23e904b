// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cm/place.h"

static char path[PLACE_MAX];

static void test_usual_places(void **state)
{
    unsetenv("SHUNT_SOCKET");
    setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    assert_int_equal(place_nth(0, NULL, 7, path), 0);
    assert_string_equal(path, PLACE_SYSTEM);
    assert_int_equal(place_nth(1, NULL, 7, path), 0);
    assert_string_equal(path, "/run/user/7/shunt/shuntd.sock");
    assert_int_equal(place_nth(2, NULL, 7, path), -ENOENT);
    assert_int_equal(place_nth(1, NULL, 0, path), -ENOENT);
    unsetenv("XDG_RUNTIME_DIR");
    assert_int_equal(place_nth(1, NULL, 7, path), 0);
    assert_string_equal(path, "/tmp/shunt-7/shuntd.sock");
}

static void test_a_configured_place_is_the_only_one(void **state)
{
    unsetenv("SHUNT_SOCKET");
    assert_int_equal(place_nth(0, "/tmp/conf", 7, path), 0);
    assert_string_equal(path, "/tmp/conf");
    assert_int_equal(place_nth(1, "/tmp/conf", 7, path), -ENOENT);
    assert_int_equal(place_own("/tmp/conf", 7, path), 0);
    assert_string_equal(path, "/tmp/conf");
}

static void test_the_environment_goes_before_the_configuration(void **state)
{
    setenv("SHUNT_SOCKET", "/tmp/own", 1);
    assert_int_equal(place_nth(0, "/tmp/conf", 7, path), 0);
    assert_string_equal(path, "/tmp/own");
    assert_int_equal(place_nth(1, NULL, 7, path), -ENOENT);
}

// The next two change what the process remembers, so they come last.
static void test_too_long_is_an_error(void **state)
{
    char name[PLACE_MAX + 8];

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    setenv("SHUNT_SOCKET", name, 1);
    assert_int_equal(place_nth(0, NULL, 7, path), -ENAMETOOLONG);
    place_remember();
    assert_int_equal(place_nth(0, NULL, 7, path), -ENAMETOOLONG);
}

static void test_what_was_remembered_outlives_the_environment(void **state)
{
    setenv("SHUNT_SOCKET", "/tmp/own", 1);
    place_remember();
    unsetenv("SHUNT_SOCKET");
    assert_int_equal(place_nth(0, NULL, 7, path), 0);
    assert_string_equal(path, "/tmp/own");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual_places),
        cmocka_unit_test(test_a_configured_place_is_the_only_one),
        cmocka_unit_test(test_the_environment_goes_before_the_configuration),
        cmocka_unit_test(test_too_long_is_an_error),
        cmocka_unit_test(test_what_was_remembered_outlives_the_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
