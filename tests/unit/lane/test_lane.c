// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "lane/lane.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const char *shm(const char *local, const char *remote)
{
    static struct sockaddr_in6 a[2];
    const char *text[] = {local, remote};

    memset(a, 0, sizeof a);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)&a[i];

        if (!text[i])
            continue;
        a[i].sin6_family = strchr(text[i], ':') ? AF_INET6 : AF_INET;
        inet_pton(a[i].sin6_family, text[i],
                  a[i].sin6_family == AF_INET ? (void *)&in->sin_addr : (void *)&a[i].sin6_addr);
    }
    return lane_shm.obstacle(&(struct lane_ends){local ? (void *)&a[0] : NULL, (void *)&a[1]});
}

static void test_shm_is_for_this_host(void **state)
{
    assert_null(shm("127.0.0.1", "127.0.0.1"));
    assert_null(shm(NULL, "127.1.2.3"));
    assert_null(shm("::1", "::1"));
    assert_null(shm("::ffff:127.0.0.1", "127.0.0.1"));
    assert_null(shm("10.0.0.7", "10.0.0.7"));
    assert_null(shm("::ffff:10.0.0.7", "10.0.0.7"));
    assert_null(shm("fd00::1", "fd00::1"));
}

static void test_shm_is_not_for_others(void **state)
{
    assert_non_null(shm("10.0.0.7", "10.0.0.8"));
    assert_non_null(shm(NULL, "10.0.0.8"));
    assert_non_null(shm("fd00::1", "fd00::2"));
    assert_non_null(shm("fd00::1", "10.0.0.7"));
    assert_non_null(shm("::ffff:10.0.0.7", "::ffff:10.0.0.8"));
}

static void test_lanes_are_found_by_id(void **state)
{
    assert_ptr_equal(lane_of(LANE_SHM), &lane_shm);
    assert_string_equal(lane_of(LANE_KERNEL)->name, "kernel");
    assert_null(lane_of(LANES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shm_is_for_this_host),
        cmocka_unit_test(test_shm_is_not_for_others),
        cmocka_unit_test(test_lanes_are_found_by_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
