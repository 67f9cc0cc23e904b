// SPDX-License-Identifier: BSD-2-Clause
// A process is killed after every single instruction of a write and of a read. What the other side
// finds must be the state before or the state after, never one in between.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "chan/chan.h"

#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define RING      4096
#define BYTES     40
#define STEPS_MAX 4000

struct shared {
    struct chan_tx tx;
    struct chan_rx rx;
};

static void put(struct chan *c, struct chan_tx *tx, uint8_t seed)
{
    uint8_t *at = chan_tx_at(c, tx);

    for (int i = 0; i < BYTES; i++)
        at[i] = (uint8_t)(seed + i);
    chan_commit(c, tx, BYTES);
}

static bool take(struct chan *c, struct chan_rx *rx, uint8_t seed)
{
    const uint8_t *at = chan_rx_at(c, rx);
    bool good = chan_avail(c, rx, BYTES) >= BYTES;

    for (int i = 0; good && i < BYTES; i++)
        good = at[i] == (uint8_t)(seed + i);
    if (good)
        chan_consumed(c, rx, BYTES);
    return good;
}

// Runs work in a child for `steps` instructions, then kills it. True when it had ended before.
static bool run_and_kill(void (*work)(void *), void *arg, int steps)
{
    int status;
    bool ended = false;
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        work(arg);
        raise(SIGSTOP);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    for (int i = 0; i < steps && !ended; i++) {
        ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
        waitpid(pid, &status, 0);
        ended = WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return ended;
}

struct world {
    struct chan a, b;
    struct shared *s; // what forked processes of a side share
};

static void write_once(void *arg)
{
    struct world *w = arg;

    put(&w->a, &w->s->tx, 9);
}

static void read_once(void *arg)
{
    struct world *w = arg;

    take(&w->b, &w->s->rx, 9);
}

static void setup(struct world *w)
{
    int fd = chan_create(RING), bell = eventfd(0, EFD_NONBLOCK);

    assert_int_equal(chan_map(&w->a, fd, 0, bell, bell), 0);
    assert_int_equal(chan_map(&w->b, fd, 1, bell, bell), 0);
    close(fd);
    w->s = mmap(NULL, sizeof *w->s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(w->s, 0, sizeof *w->s);
}

static void teardown(struct world *w)
{
    close(w->a.bell);
    chan_unmap(&w->a);
    chan_unmap(&w->b);
    munmap(w->s, sizeof *w->s);
}

static void test_a_writer_killed_anywhere(void **state)
{
    bool ended = false;
    int steps;

    for (steps = 0; steps < STEPS_MAX && !ended; steps++) {
        struct world w;
        int64_t avail;

        setup(&w);
        ended = run_and_kill(write_once, &w, steps);
        avail = chan_avail(&w.b, &w.s->rx, BYTES);
        assert_true(avail == 0 || avail == BYTES);
        if (avail)
            assert_true(take(&w.b, &w.s->rx, 9));
        teardown(&w);
    }
    assert_true(ended);
    assert_true(steps > BYTES);
}

static void test_a_reader_killed_anywhere(void **state)
{
    bool ended = false;

    for (int steps = 0; steps < STEPS_MAX && !ended; steps++) {
        struct world w;
        int64_t room;

        setup(&w);
        put(&w.a, &w.s->tx, 9);
        ended = run_and_kill(read_once, &w, steps);
        room = chan_room(&w.a, &w.s->tx, RING);
        assert_true(room == RING || room == RING - BYTES);
        teardown(&w);
    }
    assert_true(ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_writer_killed_anywhere),
        cmocka_unit_test(test_a_reader_killed_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
