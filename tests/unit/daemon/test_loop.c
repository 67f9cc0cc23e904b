// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/loop.h"

static struct loop loop;
static struct watch watch;
static struct timer first, second;
static int fds[2], n_ready, n_between, n_fired;
static uint64_t fired_ns;

static void between(struct loop *l)
{
    n_between++;
}

static int begin(void **state)
{
    n_ready = n_between = n_fired = 0;
    return pipe(fds) || loop_init(&loop, between);
}

static int end(void **state)
{
    loop_fini(&loop);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static void stop_when_ready(struct watch *w, uint32_t events)
{
    assert_ptr_equal(w, &watch);
    assert_true(events & EPOLLIN);
    n_ready++;
    loop.stop = n_ready == 2;
}

static void stop_when_fired(struct timer *timer, uint64_t now_ns)
{
    n_fired++;
    fired_ns = now_ns;
    loop.stop = true;
}

static void set_the_second(struct timer *timer, uint64_t now_ns)
{
    n_fired++;
    assert_true(timer->due_ns == CLOCK_NEVER);
    timer_set(&second, now_ns);
}

static void readiness_is_level_triggered(void **state)
{
    watch = (struct watch){fds[0], stop_when_ready};
    assert_int_equal(loop_add(&loop, &watch, EPOLLIN), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(loop_run(&loop), 0);
    assert_int_equal(n_ready, 2);
    assert_int_equal(n_between, 2);
}

static void a_timer_never_fires_early(void **state)
{
    uint64_t due = clock_now_ns() + 5 * NS_PER_MS;

    first = (struct timer){.fired = stop_when_fired};
    loop_add_timer(&loop, &first);
    timer_set(&first, due);
    assert_int_equal(loop_run(&loop), 0);
    assert_int_equal(n_fired, 1);
    assert_true(fired_ns >= due);
    assert_true(first.due_ns == CLOCK_NEVER);
}

static void a_timer_may_set_another(void **state)
{
    first = (struct timer){.fired = set_the_second};
    second = (struct timer){.fired = stop_when_fired};
    loop_add_timer(&loop, &second);
    loop_add_timer(&loop, &first);
    timer_set(&first, clock_now_ns());
    assert_int_equal(loop_run(&loop), 0);
    assert_int_equal(n_fired, 2);
}

static void a_watch_of_nothing_does_not_wake(void **state)
{
    watch = (struct watch){fds[0], stop_when_ready};
    assert_int_equal(loop_add(&loop, &watch, EPOLLIN), 0);
    assert_int_equal(loop_change(&loop, &watch, 0), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    first = (struct timer){.fired = stop_when_fired};
    loop_add_timer(&loop, &first);
    timer_set(&first, clock_now_ns() + NS_PER_MS);
    assert_int_equal(loop_run(&loop), 0);
    assert_int_equal(n_ready, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(readiness_is_level_triggered),
        TEST(a_timer_never_fires_early),
        TEST(a_timer_may_set_another),
        TEST(a_watch_of_nothing_does_not_wake),
    };

    return cmocka_run_group_tests_name("daemon/loop", tests, NULL, NULL);
}
