// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>

#include "base/addrtext.h"
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

static void expect_text(const char *want, const void *addr)
{
    char text[ADDR_TEXT_BYTES];

    assert_string_equal(addr_text(addr, text), want);
}

static void test_addr_text(void **state)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(65535)};
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    struct sockaddr other = {.sa_family = AF_UNIX};

    inet_pton(AF_INET, "10.1.0.7", &v4.sin_addr);
    expect_text("10.1.0.7:80", &v4);
    v4.sin_port = 0;
    expect_text("10.1.0.7", &v4);
    inet_pton(AF_INET6, "fd00::1", &v6.sin6_addr);
    expect_text("[fd00::1]:65535", &v6);
    inet_pton(AF_INET6, "::ffff:10.1.0.7", &v6.sin6_addr);
    expect_text("10.1.0.7:65535", &v6);
    expect_text("::", &any);
    expect_text("?", &other);
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
        cmocka_unit_test(test_addr_text),
        cmocka_unit_test(test_list_keeps_order),
        cmocka_unit_test(test_clock_ticks_match_time),
        cmocka_unit_test(test_log_env_rejects_unknown_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
