// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/user.h"

static struct users users;

static int begin(void **state)
{
    users_init(&users,
               &(struct user_limits){
                   .ring_bytes = 1000, .channels = 3, .pinned_bytes = 500, .links = 2, .fds = 10});
    return 0;
}

static int end(void **state)
{
    users_fini(&users);
    return 0;
}

static void each_user_has_one_record(void **state)
{
    struct user *a = user_of(&users, 1), *b = user_of(&users, 2);

    assert_ptr_not_equal(a, b);
    assert_ptr_equal(user_of(&users, 1), a);
}

static void ring_bytes_have_a_budget(void **state)
{
    struct user *u = user_of(&users, 1);

    assert_null(user_add_channel(&users, u, 600));
    assert_non_null(user_add_channel(&users, u, 401));
    assert_null(user_add_channel(&users, u, 400));
    assert_non_null(user_add_channel(&users, u, UINT64_MAX));
    user_drop_channel(u, 600);
    assert_null(user_add_channel(&users, u, 600));
    assert_int_equal(u->ring_bytes, 1000);
    assert_int_equal(u->channels, 2);
}

static void channels_have_a_budget(void **state)
{
    struct user *u = user_of(&users, 1);

    for (int i = 0; i < 3; i++)
        assert_null(user_add_channel(&users, u, 1));
    assert_non_null(user_add_channel(&users, u, 1));
    assert_null(user_add_channel(&users, user_of(&users, 2), 1)); // not this user's affair
    user_drop_channel(u, 1);
    assert_null(user_add_channel(&users, u, 1));
}

static struct user_ends ends(const char *own, const char *peer)
{
    return (struct user_ends){(const uint8_t *)own, (const uint8_t *)peer, strlen(own),
                              strlen(peer)};
}

static void channels_of_two_processes_share_a_link(void **state)
{
    struct user *u = user_of(&users, 1);
    struct user_ends ab = ends("a", "bc"), ba = ends("bc", "a"), abc = ends("ab", "c");
    struct user_link *link[3], *none;

    assert_null(user_add_link(&users, u, &ab, 1, &link[0]));
    assert_null(user_add_link(&users, u, &ab, 1, &link[1]));
    assert_ptr_equal(link[0], link[1]);
    assert_null(user_add_link(&users, u, &ba, 1, &link[2]));
    assert_int_equal(u->n_links, 2);
    assert_string_equal(user_add_link(&users, u, &abc, 1, &none),
                        "the user has too many RDMA links");
    user_drop_link(link[0], 1);
    assert_int_equal(u->n_links, 2);
    user_drop_link(link[1], 1);
    assert_null(user_add_link(&users, u, &abc, 1, &none));
    assert_int_equal(u->pinned_bytes, 2);
}

static void pinned_bytes_have_a_budget(void **state)
{
    struct user *u = user_of(&users, 1);
    struct user_ends ab = ends("a", "b"), ac = ends("a", "c");
    struct user_link *link, *none;

    assert_null(user_add_link(&users, u, &ab, 400, &link));
    assert_string_equal(user_add_link(&users, u, &ac, 101, &none),
                        "the user's budget of pinned memory is spent");
    assert_int_equal(u->n_links, 1);
    assert_null(user_add_link(&users, u, &ac, 100, &none));
    user_drop_link(link, 400);
    assert_int_equal(u->pinned_bytes, 100);
    assert_int_equal(u->n_links, 1);
}

static void fds_have_a_limit_but_for_our_own_user(void **state)
{
    struct user *stranger = user_of(&users, geteuid() + 1), *own = user_of(&users, geteuid());

    assert_int_equal(user_add_fds(&users, stranger, 9), 0);
    assert_int_equal(user_add_fds(&users, stranger, 2), -EMFILE);
    assert_int_equal(user_add_fds(&users, stranger, 1), 0);
    user_drop_fds(stranger, 10);
    assert_int_equal(user_add_fds(&users, stranger, 10), 0);
    assert_int_equal(user_add_fds(&users, own, 1000), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_user_has_one_record),   TEST(ring_bytes_have_a_budget),
        TEST(channels_have_a_budget),     TEST(channels_of_two_processes_share_a_link),
        TEST(pinned_bytes_have_a_budget), TEST(fds_have_a_limit_but_for_our_own_user),
    };

    return cmocka_run_group_tests_name("daemon/user", tests, NULL, NULL);
}
