// SPDX-License-Identifier: BSD-2-Clause
// One stack, several processes: who drives, who dies, who stops, who is woken.
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/lock.h"
#include "pair.h"

static struct pair pair;

static int setup(void **state)
{
    pair_start(&pair, 64, NULL);
    return 0;
}

static int teardown(void **state)
{
    pair_stop(&pair);
    return 0;
}

static uint64_t in_ms(uint64_t ms)
{
    return clock_now_ns() + ms * NS_PER_MS;
}

// A child that is a member of its own, and runs body(); it never returns.
static pid_t spawn(void (*body)(struct net *n))
{
    pid_t pid = fork();

    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (net_forked(pair.net[0]))
        _exit(1);
    body(pair.net[0]);
    _exit(0);
}

static void end_child(pid_t pid, int how)
{
    kill(pid, how);
    waitpid(pid, NULL, 0);
}

static void hold_lock(struct net *n)
{
    while (!net_lock_try(n))
        ;
    for (;;)
        pause();
}

static pid_t spawn_holder(void)
{
    pid_t pid = spawn(hold_lock);

    while (!atomic_load(&pair.net[0]->arena->lock))
        usleep(100);
    return pid;
}

static int open_one(uint64_t deadline_ns, uint32_t *sock)
{
    struct net_open o = {.remote = pair_addr(1, false), .remote_port = 27009};

    return net_open(pair.net[0], deadline_ns, &o, sock);
}

static bool is_closed(struct pair *p, void *arg)
{
    return net_status(p->net[1], *(uint32_t *)arg) & NET_CLOSED;
}

// The holder is killed: found by its id, at once; everybody has a reason; the peer is told.
static void test_killed_holder(void **state)
{
    uint32_t listener = NET_NONE, sock[2], other;
    uint64_t start_ns;
    pid_t child;

    pair_connect(&pair, false, 27000, &listener, sock);
    child = spawn_holder();
    end_child(child, SIGKILL);
    start_ns = clock_now_ns();
    assert_int_equal(open_one(in_ms(5000), &other), -ECONNRESET);
    assert_true(clock_now_ns() - start_ns < NS_PER_S);
    assert_int_equal(net_dead(pair.net[0]), NET_DEAD_HOLDER);
    assert_true(net_status(pair.net[0], sock[0]) & NET_CLOSED);
    assert_int_equal(net_error(pair.net[0], sock[0]), -ECONNRESET);
    assert_int_equal(net_set(pair.net[0], in_ms(1), sock[0], TCP_SET_NODELAY, 1), -ECONNRESET);
    assert_false(net_drive(pair.net[0], clock_now_ns()));
    assert_int_equal(net_wake_next(pair.net[0], 0), sock[0]);
    assert_true(pair_run(&pair, 1000, is_closed, &sock[1]));
    assert_int_equal(net_error(pair.net[1], sock[1]), -ECONNRESET);
}

// The same, found by the owner who looks now and then; a zombie counts as gone.
static void test_owner_finds_a_killed_holder(void **state)
{
    pid_t child = spawn_holder();
    uint64_t end_ns = in_ms(2000);

    assert_int_equal(net_watch(pair.net[0], clock_now_ns()), NET_ALIVE);
    kill(child, SIGKILL);
    while (net_watch(pair.net[0], clock_now_ns()) == NET_ALIVE && clock_now_ns() < end_ns)
        usleep(1000);
    assert_int_equal(net_dead(pair.net[0]), NET_DEAD_HOLDER);
    waitpid(child, NULL, 0);
}

static void expect_in_time(int err, uint64_t start_ns)
{
    assert_int_equal(err, -ETIMEDOUT);
    assert_true(clock_now_ns() - start_ns >= 50 * NS_PER_MS);
    assert_true(clock_now_ns() - start_ns < 500 * NS_PER_MS);
}

// The holder is stopped: others return by their deadlines, and go on when it does.
static void test_stopped_holder(void **state)
{
    uint32_t listener = NET_NONE, sock[2], other;
    pid_t child;
    uint64_t start_ns;

    pair_connect(&pair, false, 27000, &listener, sock);
    child = spawn_holder();
    kill(child, SIGSTOP);
    start_ns = clock_now_ns();
    expect_in_time(open_one(in_ms(50), &other), start_ns);
    start_ns = clock_now_ns();
    expect_in_time(net_set(pair.net[0], in_ms(50), sock[0], TCP_SET_NODELAY, 1), start_ns);
    start_ns = clock_now_ns();
    assert_false(net_poke(pair.net[0], start_ns, sock[0]));
    net_request(pair.net[0], start_ns, sock[0], NET_SHUT_TX);
    assert_true(clock_now_ns() - start_ns < 20 * NS_PER_MS);
    assert_int_equal(net_watch(pair.net[0], clock_now_ns()), NET_ALIVE);
    kill(child, SIGCONT);
    end_child(child, SIGKILL);
    assert_int_equal(net_watch(pair.net[0], clock_now_ns()), NET_DEAD_HOLDER);
}

static void test_stopped_for_too_long(void **state)
{
    pid_t child = spawn_holder();
    uint64_t end_ns = in_ms(3000);

    pair.net[0]->arena->stuck_ns = 100 * NS_PER_MS;
    kill(child, SIGSTOP);
    assert_int_equal(net_watch(pair.net[0], clock_now_ns()), NET_ALIVE);
    while (net_watch(pair.net[0], clock_now_ns()) == NET_ALIVE && clock_now_ns() < end_ns)
        usleep(1000);
    assert_int_equal(net_dead(pair.net[0]), NET_DEAD_STUCK);
    end_child(child, SIGKILL);
}

static void drive_for_ever(struct net *n)
{
    for (;;)
        net_drive(n, clock_now_ns());
}

static void test_two_processes_drive(void **state)
{
    uint32_t listener = NET_NONE, sock[2];
    pid_t child = spawn(drive_for_ever);

    pair_connect(&pair, false, 27000, &listener, sock);
    pair_transfer(&pair, sock, 0, 4 << 20);
    pair_transfer(&pair, sock, 1, 4 << 20);
    end_child(child, SIGKILL);
}

static bool has_died(struct pair *p, void *arg)
{
    return net_dead(p->net[0]) || net_watch(p->net[0], clock_now_ns());
}

// Killed at any moment: either it held the lock and the stack is dead, or the stack goes on.
static void test_killed_at_any_moment(void **state)
{
    int dead = 0;

    for (int i = 0; i < 30; i++) {
        uint32_t listener = NET_NONE, sock[2], other;
        pid_t child = spawn(drive_for_ever);
        uint8_t bytes[4096] = {0};

        for (int k = 0; k < 5 + i * 3; k++)
            net_drive(pair.net[0], clock_now_ns());
        end_child(child, SIGKILL);
        pair_run(&pair, 5, has_died, NULL);
        if (net_dead(pair.net[0])) {
            assert_int_equal(net_dead(pair.net[0]), NET_DEAD_HOLDER);
            assert_int_equal(open_one(in_ms(100), &other), -ECONNRESET);
            dead++;
            pair_stop(&pair);
            pair_start(&pair, 64, NULL);
            continue;
        }
        pair_connect(&pair, false, 27000, &listener, sock);
        program_write(pair.net[0], sock[0], bytes, sizeof bytes);
        net_request(pair.net[0], clock_now_ns(), sock[0], NET_ABORT);
        net_request(pair.net[1], clock_now_ns(), sock[1], NET_ABORT);
        net_request(pair.net[1], clock_now_ns(), listener, NET_CLOSE);
    }
    assert_true(dead < 30);
}

static void stop_without_lock(pid_t child)
{
    for (;;) {
        kill(child, SIGSTOP);
        waitpid(child, NULL, WUNTRACED);
        if (!atomic_load(&pair.net[0]->arena->lock))
            return;
        kill(child, SIGCONT);
    }
}

static void test_members_that_died_are_forgotten(void **state)
{
    pid_t child = spawn(drive_for_ever);
    uint32_t place = pair.net[0]->member + 1;

    while (atomic_load(&pair.net[0]->arena->member[place].pid) != (uint32_t)child)
        usleep(100);
    net_look(pair.net[0], 1);
    atomic_store(&pair.net[0]->arena->member[place].lookers, 2);
    assert_int_equal(net_lookers(pair.net[0]), 3);
    stop_without_lock(child);
    end_child(child, SIGKILL);
    assert_int_equal(net_watch(pair.net[0], clock_now_ns()), NET_ALIVE);
    assert_int_equal(net_lookers(pair.net[0]), 1);
    net_look(pair.net[0], -1);
}

static uint32_t woken;

static bool wake(void *self, uint32_t sock)
{
    woken = sock;
    return *(bool *)self;
}

static bool has_bytes(struct pair *p, void *arg)
{
    struct chan_shared *ch = net_channel_at(p->net[1], *(uint32_t *)arg);

    return ch->dir[1].tail > 0;
}

// Who can ring the bell himself does; else the owner learns of it.
static void test_sleepers_are_woken(void **state)
{
    uint32_t listener = NET_NONE, sock[2];
    bool can = true;

    pair_connect(&pair, false, 27000, &listener, sock);
    pair.net[1]->wake = wake;
    pair.net[1]->self = &can;
    woken = NET_NONE;
    atomic_store(&net_channel_at(pair.net[1], sock[1])->dir[1].rx_wait, 1);
    program_write(pair.net[0], sock[0], "x", 1);
    assert_true(pair_run(&pair, 1000, has_bytes, &sock[1]));
    assert_int_equal(woken, sock[1]);
    assert_int_equal(atomic_load(&net_channel_at(pair.net[1], sock[1])->dir[1].rx_wait), 0);
    assert_int_equal(net_wake_next(pair.net[1], 0), NET_NONE);
    can = false;
    net_arm(pair.net[1], sock[1]);
    net_request(pair.net[0], clock_now_ns(), sock[0], NET_ABORT);
    assert_true(pair_run(&pair, 1000, is_closed, &sock[1]));
    assert_int_equal(net_wake_next(pair.net[1], 0), sock[1]);
    assert_int_equal(net_wake_next(pair.net[1], 0), NET_NONE);
}

static void test_an_ended_stack(void **state)
{
    uint32_t listener = NET_NONE, sock[2];
    struct net *other;

    pair_connect(&pair, false, 27000, &listener, sock);
    other = pair_attach(&pair, 0);
    net_kill(pair.net[0], clock_now_ns(), NET_DEAD_OWNER);
    assert_int_equal(net_dead(other), NET_DEAD_OWNER);
    assert_int_equal(net_error(other, sock[0]), -ECONNRESET);
    assert_string_equal(net_death_text(net_dead(other)), "shuntd has ended it");
    assert_true(pair_run(&pair, 1000, is_closed, &sock[1]));
    net_detach(other);
}

static int try_attach(int arena)
{
    struct queue_grant grant;
    struct net_attach how = {.arena = arena, .queue = &grant, .owner_bell = -1};
    struct net *n;
    int err;

    assert_int_equal(queue_grant_dup(&grant, &pair.grant[0]), 0);
    err = net_attach(&n, &how);
    if (err)
        queue_grant_close(&grant);
    else
        net_detach(n);
    return err;
}

static void test_memory_that_is_no_arena(void **state)
{
    struct net_arena *a = pair.net[0]->arena;
    int fd = memfd_create("nonsense", MFD_CLOEXEC);

    assert_int_equal(try_attach(fd), -EPROTO);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_int_equal(try_attach(fd), -EPROTO);
    close(fd);
    assert_int_equal(try_attach(pair.arena[0]), 0);
    a->socks++;
    assert_int_equal(try_attach(pair.arena[0]), -EPROTO);
    a->socks--;
    a->ring_bytes *= 2;
    assert_int_equal(try_attach(pair.arena[0]), -EPROTO);
    a->ring_bytes /= 2;
    a->engine_bytes += 1 << 20;
    assert_int_equal(try_attach(pair.arena[0]), -EPROTO);
    a->engine_bytes -= 1 << 20;
    assert_int_equal(try_attach(pair.arena[0]), 0);
}

// Another program of the user writes what it likes into the stack's tables: nobody reads or writes
// outside of the arena for that.
static void test_scribbled_tables(void **state)
{
    uint32_t listener = NET_NONE, sock[2];
    struct net_arena *a = pair.net[0]->arena;
    // what is written with the lock; the image with the counts at its head; the sockets
    uint8_t *area[3] = {(uint8_t *)&a->free_sock, (uint8_t *)&a->tables,
                        (uint8_t *)pair.net[0]->socks};
    size_t bytes[3] = {sizeof *a - offsetof(struct net_arena, free_sock), 8192,
                       64 * sizeof(struct net_sock)};
    struct net_info info;

    pair_connect(&pair, false, 27000, &listener, sock);
    srandom(27);
    for (int i = 0; i < 20000; i++) {
        uint32_t other = (uint32_t)random() % 70;
        uint8_t *at = area[i % 3] + (size_t)random() % bytes[i % 3];

        *at = random() % 3 ? 0xff : (uint8_t)random();
        program_write(pair.net[0], sock[0], "x", 1);
        net_request(pair.net[0], clock_now_ns(), other, (uint32_t)random() % 32);
        net_info(pair.net[0], other, &info);
        net_accept(pair.net[0], clock_now_ns(), other, &other);
        if (i % 16 == 0)
            open_one(clock_now_ns(), &other);
        net_wake_next(pair.net[0], 0);
        net_drive(pair.net[1], clock_now_ns());
    }
    assert_int_equal(net_dead(pair.net[0]), NET_ALIVE);
}

// The cursors of a ring are the program's to write, too.
static void test_scribbled_cursors(void **state)
{
    uint32_t listener = NET_NONE, sock[2], other[2];
    struct chan_shared *ch;

    pair_connect(&pair, false, 27000, &listener, sock);
    pair_connect(&pair, false, 27000, &listener, other);
    ch = net_channel_at(pair.net[0], sock[0]);
    for (int i = 0; i < 5000; i++) {
        atomic_store(&ch->dir[i % 2].head, (uint64_t)random() << (random() % 40));
        atomic_store(&ch->dir[i % 2].tail, (uint64_t)random() << (random() % 40));
        ch->ring_bytes = (uint32_t)random();
        net_poke(pair.net[0], clock_now_ns(), sock[0]);
        net_drive(pair.net[1], clock_now_ns());
    }
    pair_transfer(&pair, other, 0, 100000); // the others' is as it was
}

// It read the clock, was preempted, and got the lock after others had driven.
static void test_a_driver_with_an_old_clock(void **state)
{
    struct net *others = pair_attach(&pair, 0);
    uint32_t listener = NET_NONE, sock[2];
    uint64_t old_ns = clock_now_ns(), last_ns;

    pair_connect(&pair, false, 27000, &listener, sock);
    assert_true(net_drive(others, clock_now_ns()));
    last_ns = others->now_ns;
    assert_true(net_drive(pair.net[0], old_ns));
    assert_true(pair.net[0]->now_ns >= last_ns);
    last_ns = pair.net[0]->now_ns;
    assert_true(net_poke(others, old_ns, sock[0]));
    assert_true(others->now_ns >= last_ns);
    net_detach(others);
}

int main(void)
{
#define shared_test(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        shared_test(test_killed_holder),
        shared_test(test_owner_finds_a_killed_holder),
        shared_test(test_stopped_holder),
        shared_test(test_stopped_for_too_long),
        shared_test(test_two_processes_drive),
        shared_test(test_killed_at_any_moment),
        shared_test(test_a_driver_with_an_old_clock),
        shared_test(test_members_that_died_are_forgotten),
        shared_test(test_sleepers_are_woken),
        shared_test(test_an_ended_stack),
        shared_test(test_memory_that_is_no_arena),
        shared_test(test_scribbled_tables),
        shared_test(test_scribbled_cursors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
