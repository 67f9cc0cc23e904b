// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

#include "base/util.h"
#include "policy/value.h"

static void address(const char *text, uint8_t *family, uint8_t addr[16])
{
    memset(addr, 0, 16);
    addr[10] = addr[11] = 0xff;
    *family = AF_INET;
    if (inet_pton(AF_INET, text, addr + 12) == 1)
        return;
    *family = AF_INET6;
    assert_int_equal(inet_pton(AF_INET6, text, addr), 1);
}

static bool endpoint_holds(const char *endpoint, const char *addr, uint16_t port)
{
    struct endpoint e;
    struct port_range one = {port, port};
    uint8_t family, bytes[16];

    assert_null(value_read_endpoint(endpoint, &e));
    address(addr, &family, bytes);
    return value_prefix_holds(&e.prefix, family, bytes) && value_port_covers(&e.port, &one);
}

static void test_endpoint_matches(void **state)
{
    assert_true(endpoint_holds("*:6379", "127.0.0.1", 6379));
    assert_true(endpoint_holds("*:6379", "fd00::1", 6379));
    assert_false(endpoint_holds("*:6379", "127.0.0.1", 6380));
    assert_true(endpoint_holds("*", "10.0.0.1", 1));
    assert_true(endpoint_holds("10.1.0.0/16:9000-9100", "10.1.255.3", 9100));
    assert_false(endpoint_holds("10.1.0.0/16:9000-9100", "10.2.0.3", 9100));
    assert_false(endpoint_holds("10.1.0.0/16:9000-9100", "10.1.0.3", 9101));
    assert_true(endpoint_holds("10.1.2.3", "10.1.2.3", 80));
    assert_false(endpoint_holds("10.1.2.3", "10.1.2.2", 80));
    assert_true(endpoint_holds("10.128.0.0/9", "10.200.0.1", 80));
    assert_false(endpoint_holds("10.128.0.0/9", "10.100.0.1", 80));
    assert_true(endpoint_holds("[fd00::/8]:7000", "fd12::1", 7000));
    assert_true(endpoint_holds("[fd00::]/8:7000", "fd12::1", 7000));
    assert_false(endpoint_holds("[fd00::/8]:7000", "fe12::1", 7000));
    assert_true(endpoint_holds("[::1]", "::1", 7000));
}

static void test_every_address_of_one_family_is_not_every_address(void **state)
{
    assert_false(endpoint_holds("0.0.0.0/0", "::1", 80));
    assert_false(endpoint_holds("[::/0]", "127.0.0.1", 80));
    assert_true(endpoint_holds("0.0.0.0/0", "127.0.0.1", 80));
    assert_true(endpoint_holds("[::/0]", "::1", 80));
}

static void test_endpoint_refuses(void **state)
{
    static const char *const wrong[] = {
        "",
        "localhost",
        "10.1.0.0/33",
        "10.1.0/16",
        "10.1.0.0/",
        "10.1.0.0:0",
        "*:65536",
        "*:90-80",
        "*:80-",
        "*:-80",
        "*:a",
        "*/8",
        "fd00::1",
        "[fd00::1",
        "[fd00::1]x",
        "[10.1.0.0]:1",
        "[fd::/129]",
        "[fd00::/8]/9",
        "10.0.0.1:1:2",
        ":80",
        "[fd00::/8]:7000 ",
        "10.0.0.0/8/9",
        "*:80-90-100",
    };
    struct endpoint e;

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        if (!value_read_endpoint(wrong[i], &e))
            fail_msg("accepted \"%s\"", wrong[i]);
}

static void test_host_bits(void **state)
{
    struct endpoint e;

    assert_null(value_read_endpoint("10.1.2.0/23", &e));
    assert_false(value_prefix_has_host_bits(&e.prefix));
    assert_null(value_read_endpoint("10.1.3.0/23", &e));
    assert_true(value_prefix_has_host_bits(&e.prefix));
    assert_null(value_read_endpoint("*", &e));
    assert_false(value_prefix_has_host_bits(&e.prefix));
}

static void test_prefix_covers(void **state)
{
    static const struct {
        const char *outer, *inner;
        bool covers;
    } rows[] = {
        {"*", "10.0.0.0/8", true},
        {"10.0.0.0/8", "*", false},
        {"10.0.0.0/8", "10.1.0.0/16", true},
        {"10.1.0.0/16", "10.0.0.0/8", false},
        {"10.0.0.0/8", "11.0.0.0/16", false},
        {"[::/0]", "10.0.0.0/8", false},
        {"[fd00::/8]", "[fd01::/16]", true},
    };
    struct endpoint outer, inner;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_null(value_read_endpoint(rows[i].outer, &outer));
        assert_null(value_read_endpoint(rows[i].inner, &inner));
        assert_int_equal(value_prefix_covers(&outer.prefix, &inner.prefix), rows[i].covers);
    }
}

static void test_glob(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"redis-*", "redis-server", true},
        {"redis-*", "redis", false},
        {"*", "", true},
        {"?", "", false},
        {"a*b*c", "axxbyybc", true},
        {"a*b*c", "axxbyyb", false},
        {"*/redis-*", "/usr/bin/redis-server", true},
        {"/opt/*", "/opt/trade/bin/feed", true},
        {"[a-c]x", "bx", true},
        {"[!a-c]x", "bx", false},
        {"[]]x", "]x", true},
        {"[a-]x", "-x", true},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"\\?", "a", false},
        {"?", "a", true},
        {"python3.1[0-9]", "python3.11", true},
        {"a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"[\x80-\xff]", "\xc3", true},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (value_glob_matches(rows[i].pattern, rows[i].name) != rows[i].matches)
            fail_msg("\"%s\" on \"%s\"", rows[i].pattern, rows[i].name);
}

static void test_glob_check(void **state)
{
    assert_null(value_glob_check("redis-*"));
    assert_null(value_glob_check("[]a]"));
    assert_non_null(value_glob_check(""));
    assert_non_null(value_glob_check("a["));
    assert_non_null(value_glob_check("a[!]"));
    assert_non_null(value_glob_check("a\\"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoint_matches),
        cmocka_unit_test(test_every_address_of_one_family_is_not_every_address),
        cmocka_unit_test(test_endpoint_refuses),
        cmocka_unit_test(test_host_bits),
        cmocka_unit_test(test_prefix_covers),
        cmocka_unit_test(test_glob),
        cmocka_unit_test(test_glob_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
