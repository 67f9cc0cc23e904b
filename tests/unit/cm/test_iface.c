// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "cm/iface.h"

static int named(const char *text, char name[static IFNAMSIZ])
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return iface_of((struct sockaddr *)&in, name);
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return iface_of((struct sockaddr *)&in6, name);
}

static void test_loopback(void **state)
{
    static const char *const texts[] = {"127.0.0.1", "127.8.9.10", "::ffff:127.0.0.1"};
    char name[IFNAMSIZ];

    for (int i = 0; i < 3; i++) {
        assert_int_equal(named(texts[i], name), 0);
        assert_string_equal(name, "lo");
    }
}

static void test_agrees_with_getifaddrs(void **state)
{
    const struct sockaddr_in6 *in6;
    char name[IFNAMSIZ];
    struct ifaddrs *all;
    int tried = 0;

    assert_int_equal(getifaddrs(&all), 0);
    for (struct ifaddrs *it = all; it; it = it->ifa_next) {
        int family = it->ifa_addr ? it->ifa_addr->sa_family : AF_UNSPEC;

        // a link-local address may be that of several interfaces
        if (family != AF_INET && family != AF_INET6)
            continue;
        in6 = (const void *)it->ifa_addr;
        if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
            continue;
        assert_int_equal(iface_of(it->ifa_addr, name), 0);
        assert_int_equal(strncmp(name, it->ifa_name, strcspn(it->ifa_name, ":")), 0);
        tried++;
    }
    freeifaddrs(all);
    assert_true(tried > 0);
}

static void test_an_address_of_nobody(void **state)
{
    char name[IFNAMSIZ];

    assert_int_equal(named("192.0.2.77", name), -ENOENT);
    assert_int_equal(named("2001:db8::77", name), -ENOENT);
    assert_string_equal(name, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_agrees_with_getifaddrs),
        cmocka_unit_test(test_an_address_of_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
