// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/cage.h"

// What `try` says in a process that is caged as a keeper is.
static bool caged(bool (*try)(void))
{
    pid_t child = fork();
    int status = 0;

    if (!child)
        _exit(cage_drop(0) || cage_close() || !try());
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

// A queue sends what is due in one call, be it one frame or several.
static bool sends_several(void)
{
    char byte = 1;
    struct iovec iov = {&byte, 1};
    struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}},
                           {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}}};
    int pair[2];

    return !socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) && sendmmsg(pair[0], m, 2, 0) == 2;
}

static bool is_refused(int result)
{
    return result < 0 && errno == EPERM;
}

static bool is_shut_in(void)
{
    return is_refused(open("/dev/null", O_WRONLY)) && is_refused(socket(AF_INET, SOCK_STREAM, 0)) &&
           is_refused(execl("/bin/true", "true", NULL)) && is_refused(kill(getppid(), SIGCONT));
}

static bool reads(void)
{
    return open("/dev/null", O_RDONLY) >= 0 && kill(getppid(), 0) == 0;
}

static void keeper_sends_several_frames_at_once(void **state)
{
    assert_true(caged(sends_several));
}

static void keeper_is_shut_in(void **state)
{
    assert_true(caged(is_shut_in));
    assert_true(caged(reads));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeper_sends_several_frames_at_once),
        cmocka_unit_test(keeper_is_shut_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
