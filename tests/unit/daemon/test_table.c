// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "daemon/table.h"

enum { N = 5000 };

static struct table_node nodes[N];

static size_t found(const struct table *t, const struct table_node *node)
{
    size_t n = 0;

    list_for_each (it, table_chain(t, node->hash))
        n += it == &node->link;
    return n;
}

static void every_node_is_in_its_chain(void **state)
{
    struct table t;

    assert_int_equal(table_init(&t), 0);
    for (uint64_t i = 0; i < N; i++)
        table_add(&t, &nodes[i], i * UINT64_C(0x9e3779b97f4a7c15));
    assert_int_equal(t.used, N);
    assert_true(t.buckets >= N); // it has grown
    for (int i = 0; i < N; i++)
        assert_int_equal(found(&t, &nodes[i]), 1);
    for (int i = 0; i < N; i += 2)
        table_del(&t, &nodes[i]);
    assert_int_equal(t.used, N / 2);
    for (int i = 0; i < N; i++)
        assert_int_equal(found(&t, &nodes[i]), i % 2);
    table_fini(&t);
}

static void equal_hashes_share_a_chain(void **state)
{
    struct table t;

    assert_int_equal(table_init(&t), 0);
    table_add(&t, &nodes[0], 9);
    table_add(&t, &nodes[1], 9);
    assert_int_equal(found(&t, &nodes[0]) + found(&t, &nodes[1]), 2);
    table_del(&t, &nodes[0]);
    assert_int_equal(found(&t, &nodes[1]), 1);
    table_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_is_in_its_chain),
        cmocka_unit_test(equal_hashes_share_a_chain),
    };

    return cmocka_run_group_tests_name("daemon/table", tests, NULL, NULL);
}
