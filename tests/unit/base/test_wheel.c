// SPDX-License-Identifier: BSD-2-Clause
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "base/wheel.h"

#define TICK_NS (UINT64_C(1) << WHEEL_TICK_SHIFT)
#define NODES   1000

struct fixture {
    struct wheel wheel;
    struct wheel_node node[NODES];
    struct wheel_nodes nodes;
};

static struct fixture f;

static void start_at(uint64_t now_ns)
{
    wheel_init(&f.wheel, now_ns);
    f.nodes = (struct wheel_nodes){f.node, sizeof f.node[0], ARRAY_LEN(f.node)};
    for (int i = 0; i < NODES; i++)
        wheel_node_init(&f.node[i]);
}

// Sleeps from deadline to deadline, as a host does; returns when node 0 fired.
static uint64_t run_until_fired(uint64_t now_ns)
{
    for (int steps = 0; steps < 2 * WHEEL_LEVELS; steps++) {
        uint64_t next_ns = wheel_next_ns(&f.wheel);

        assert_true(next_ns != CLOCK_NEVER);
        now_ns = MAX(now_ns, next_ns);
        if (wheel_expire(&f.wheel, f.nodes, now_ns) == 0)
            return now_ns;
    }
    fail_msg("the wheel turns without firing");
    return 0;
}

// Onload's article 75126: every period above 65,536 ms fired early.
static void test_wheel_fires_never_early_and_one_tick_late_at_most(void **state)
{
    static const uint64_t periods_ms[] = {1,     199,    200,     65535,    65536,
                                          75000, 120000, 7200000, 1ul << 31};
    static const uint64_t starts_ns[] = {0,
                                         ((1ul << 31) - 5) * NS_PER_MS,
                                         ((1ul << 32) - 5) * NS_PER_MS,
                                         (1ul << 63) - 5 * NS_PER_MS,
                                         (1ul << 63) - 1,
                                         123456789};

    for (size_t s = 0; s < ARRAY_LEN(starts_ns); s++)
        for (size_t p = 0; p < ARRAY_LEN(periods_ms); p++)
            for (int off_ns = -1; off_ns <= 1; off_ns++) {
                uint64_t deadline_ns = starts_ns[s] + periods_ms[p] * NS_PER_MS + off_ns, fired_ns;

                start_at(starts_ns[s]);
                wheel_arm(&f.wheel, f.nodes, 0, deadline_ns);
                assert_int_equal(wheel_expire(&f.wheel, f.nodes, deadline_ns - 1), WHEEL_NONE);
                start_at(starts_ns[s]);
                wheel_arm(&f.wheel, f.nodes, 0, deadline_ns);
                fired_ns = run_until_fired(starts_ns[s]);
                assert_true(fired_ns >= deadline_ns);
                assert_true(fired_ns - deadline_ns < TICK_NS);
            }
}

static void test_wheel_past_deadline_fires_at_once(void **state)
{
    start_at(NS_PER_S);
    wheel_arm(&f.wheel, f.nodes, 3, 5);
    assert_int_equal(wheel_expire(&f.wheel, f.nodes, NS_PER_S), 3);
    assert_int_equal(wheel_expire(&f.wheel, f.nodes, NS_PER_S), WHEEL_NONE);
}

static void test_wheel_cancel_leaves_nothing(void **state)
{
    start_at(0);
    wheel_arm(&f.wheel, f.nodes, 1, NS_PER_S);
    wheel_arm(&f.wheel, f.nodes, 2, NS_PER_S);
    wheel_arm(&f.wheel, f.nodes, 2, CLOCK_NEVER);
    wheel_cancel(&f.wheel, f.nodes, 1);
    wheel_cancel(&f.wheel, f.nodes, 1);
    assert_int_equal(f.wheel.armed, 0);
    assert_true(wheel_next_ns(&f.wheel) == CLOCK_NEVER);
    assert_int_equal(wheel_expire(&f.wheel, f.nodes, 2 * NS_PER_S), WHEEL_NONE);
}

// Random arms, moves, cancels and clock steps against a plain array of deadlines.
static void test_wheel_agrees_with_model(void **state)
{
    static uint64_t model[NODES];
    uint64_t now_ns = 0;

    srandom(7);
    start_at(0);
    for (int i = 0; i < NODES; i++)
        model[i] = CLOCK_NEVER;
    for (int step = 0; step < 20000; step++) {
        uint32_t i = random() % NODES, fired;

        model[i] = random() % 4 ? now_ns + ((uint64_t)random() >> random() % 31) : CLOCK_NEVER;
        wheel_arm(&f.wheel, f.nodes, i, model[i]);
        now_ns += (uint64_t)random() >> (8 + random() % 23);
        while ((fired = wheel_expire(&f.wheel, f.nodes, now_ns)) != WHEEL_NONE) {
            assert_true(model[fired] <= now_ns);
            model[fired] = CLOCK_NEVER;
        }
        for (int k = 0; k < NODES && step % 50 == 0; k++)
            assert_true(model[k] == CLOCK_NEVER || model[k] + TICK_NS > now_ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wheel_fires_never_early_and_one_tick_late_at_most),
        cmocka_unit_test(test_wheel_past_deadline_fires_at_once),
        cmocka_unit_test(test_wheel_cancel_leaves_nothing),
        cmocka_unit_test(test_wheel_agrees_with_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
