// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/keep.h"

enum { SENT = 2 }; // fds of a message

static int ends[2];
static struct rlimit before;

static int set_up(void **state)
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) ||
           getrlimit(RLIMIT_NOFILE, &before);
}

static int tear_down(void **state)
{
    keep_close(ends, 2);
    return setrlimit(RLIMIT_NOFILE, &before);
}

static int lowest_free(void)
{
    int fd = dup(ends[0]);

    close(fd);
    return fd;
}

// Room for n more fds at most: the numbers above the lowest free one may be taken.
static void leave_room(int n)
{
    struct rlimit lim = {(rlim_t)(lowest_free() + n), before.rlim_max};

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static void send_done(uint32_t sock)
{
    const struct keep_msg m = {.kind = KEEP_DONE, .done.sock = sock};

    assert_int_equal(keep_send(ends[0], &m, ends, SENT), 0);
}

static void fds_come_with_their_message(void **state)
{
    int fds[KEEP_FDS], n_fds;
    struct keep_msg m;

    send_done(7);
    assert_int_equal(keep_recv(ends[1], &m, fds, &n_fds), 0);
    assert_int_equal(m.kind, KEEP_DONE);
    assert_int_equal(m.done.sock, 7);
    assert_int_equal(n_fds, SENT);
    for (int i = 0; i < n_fds; i++)
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
    keep_close(fds, n_fds);
    assert_int_equal(keep_recv(ends[1], &m, fds, &n_fds), -EAGAIN);
}

// Those that there was room for are closed; the message counts, and the next comes whole.
static void a_message_whose_fds_are_lost_comes_without(void **state)
{
    for (int room = 0; room < SENT; room++) {
        int fds[KEEP_FDS], n_fds, free_fd;
        struct keep_msg m;

        send_done(1);
        send_done(2);
        free_fd = lowest_free();
        leave_room(room);
        assert_int_equal(keep_recv(ends[1], &m, fds, &n_fds), 0);
        assert_int_equal(m.done.sock, 1);
        assert_int_equal(n_fds, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(lowest_free(), free_fd);
        assert_int_equal(keep_recv(ends[1], &m, fds, &n_fds), 0);
        assert_int_equal(m.done.sock, 2);
        assert_int_equal(n_fds, SENT);
        keep_close(fds, n_fds);
    }
}

static void nonsense_is_an_error(void **state)
{
    int fds[KEEP_FDS], n_fds;
    struct keep_msg m;

    assert_int_equal(send(ends[0], "short", 5, 0), 5);
    assert_int_equal(keep_recv(ends[1], &m, fds, &n_fds), -EPROTO);
    shutdown(ends[0], SHUT_WR);
    assert_int_equal(keep_recv(ends[1], &m, fds, &n_fds), -EPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fds_come_with_their_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_whose_fds_are_lost_comes_without, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nonsense_is_an_error, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("daemon/keep", tests, NULL, NULL);
}
