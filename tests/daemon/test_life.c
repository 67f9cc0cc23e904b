// SPDX-License-Identifier: BSD-2-Clause
// Deaths and hand-overs: what becomes of claims and channels when processes end, fork, or pass
// their sockets on, and of programs when shuntd ends.
#include "rig.h"

#include "base/clock.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTACH_NS (15 * NS_PER_S)

static struct rig rig;

static int start(void **state)
{
    rig_start(&rig, NULL);
    return 0;
}

static int stop(void **state)
{
    rig_stop(&rig, SIGTERM);
    return 0;
}

static int nothing_is_left(void **state)
{
    told_clear();
    rig_wait_count(&rig, "claims", 0);
    rig_wait_count(&rig, "channels", 0);
    rig_wait_count(&rig, "orphans", 0);
    rig_wait_count(&rig, "ring_bytes", 0);
    return 0;
}

static int make_chunk(void)
{
    struct cm_chunk head = {CM_CHUNK_MAGIC, CM_CHUNK_VERSION, sizeof(struct cm_record), 1, 4096, 1,
                            "life"};
    int fd = memfd_create("chunk", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 8192), 0);
    assert_int_equal(pwrite(fd, &head, sizeof head, 0), sizeof head);
    return fd;
}

// A child that runs body with one end of a socket pair, and then waits for its death.
static pid_t spawn(void (*body)(int pipe, const int *tcp), const int *tcp, int *pipe)
{
    int fds[2];
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        body(fds[1], tcp);
        write(fds[1], "r", 1);
        for (;;)
            pause();
    }
    close(fds[1]);
    *pipe = fds[0];
    return pid;
}

static void await_ready(int pipe)
{
    char byte;

    assert_int_equal(read(pipe, &byte, 1), 1);
}

static void reap(pid_t pid, int pipe)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(pipe);
}

// Matches both ends in this process, by two managers' worth of claims on one.
static struct cm *match(int tcp[2], int chunk)
{
    struct cm *cm = cm_init(rig.path, &rig_events);

    tcp_pair(tcp);
    if (chunk >= 0)
        cm_chunk(cm, chunk);
    rig_claim(cm, tcp[0], chunk);
    rig_claim(cm, tcp[1], chunk);
    rig_wait_matched(cm, 2);
    return cm;
}

static void claim_one(int pipe, const int *tcp)
{
    struct cm *cm = cm_init(rig.path, &rig_events);

    close(tcp[1]);
    rig_claim(cm, tcp[0], -1);
}

static void a_killed_process_takes_its_claims_along(void **state)
{
    int tcp[2], pipe;
    pid_t pid;

    tcp_pair(tcp);
    pid = spawn(claim_one, tcp, &pipe);
    await_ready(pipe);
    rig_wait_count(&rig, "claims", 1);
    reap(pid, pipe);
    rig_wait_count(&rig, "claims", 0);
    close(tcp[0]);
    close(tcp[1]);
}

static void claim_both(int pipe, const int *tcp)
{
    struct cm *cm = cm_init(rig.path, &rig_events);

    rig_claim(cm, tcp[0], -1);
    rig_claim(cm, tcp[1], -1);
    rig_wait_matched(cm, 2);
}

static void a_killed_process_takes_its_channels_along(void **state)
{
    int tcp[2], pipe;
    pid_t pid;

    tcp_pair(tcp);
    pid = spawn(claim_both, tcp, &pipe);
    await_ready(pipe);
    close(tcp[0]);
    close(tcp[1]);
    rig_wait_count(&rig, "channels", 1);
    reap(pid, pipe);
}

// We still have the sockets, and never spoke to shuntd: as a forked child would.
static void channels_stay_while_somebody_has_the_socket(void **state)
{
    int tcp[2], pipe;
    pid_t pid;

    tcp_pair(tcp);
    pid = spawn(claim_both, tcp, &pipe);
    await_ready(pipe);
    reap(pid, pipe);
    rig_wait_count(&rig, "clients", 1); // the one that asks
    usleep(100000);
    assert_int_equal(rig_count(&rig, "channels"), 1);
    assert_int_equal(rig_count(&rig, "orphans"), 2);
    close(tcp[0]);
    close(tcp[1]);
}

static void children_attach(int pipe, const int *tcp)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    struct cm_channel ch;

    cm_forked(cm);
    assert_int_equal(cm_attach(cm, tcp[0], cookie_of(tcp[0]), clock_now_ns() + ATTACH_NS, &ch), 0);
    assert_int_equal(ch.cookie, cookie_of(tcp[0]));
    assert_int_equal(ch.chunk_slot, 0);
    assert_true(ch.chunk_fd >= 0 && ch.memfd >= 0 && ch.bell >= 0 && ch.peer_bell >= 0);
}

static void a_child_attaches_and_outlives_its_parent(void **state)
{
    int tcp[2], pipe, chunk = make_chunk();
    struct cm *cm = match(tcp, chunk);
    pid_t pid = spawn(children_attach, tcp, &pipe);

    await_ready(pipe);
    cm_drop(cm, cookie_of(tcp[0]));
    close(tcp[0]);
    usleep(50000);
    assert_int_equal(rig_count(&rig, "channels"), 1);
    assert_int_equal(rig_count(&rig, "orphans"), 0);
    reap(pid, pipe);
    close(tcp[1]);
    cm_forked(cm);
    cm_chunk_gone(cm, chunk);
    close(chunk);
}

static void an_orphan_is_found_again_by_its_cookie(void **state)
{
    int tcp[2], chunk = make_chunk();
    struct cm *cm = match(tcp, chunk);
    struct cm_channel ch;

    cm_forked(cm); // as if it had died; the sockets live on
    rig_wait_count(&rig, "orphans", 2);
    assert_int_equal(cm_attach(cm, tcp[1], cookie_of(tcp[1]), clock_now_ns() + ATTACH_NS, &ch), 0);
    assert_int_equal(ch.side, told.matched[0].cookie == ch.cookie ? told.matched[0].side
                                                                  : told.matched[1].side);
    close(ch.memfd);
    close(ch.bell);
    close(ch.peer_bell);
    close(ch.chunk_fd);
    rig_wait_count(&rig, "orphans", 1);
    close(tcp[0]);
    close(tcp[1]);
    cm_forked(cm);
    cm_chunk_gone(cm, chunk);
    close(chunk);
}

// Data may still be in the ring when the peer has closed.
static void attaching_works_after_the_peers_fin(void **state)
{
    int tcp[2], chunk = make_chunk();
    struct cm *cm = match(tcp, chunk);
    struct cm_channel ch;

    cm_drop(cm, cookie_of(tcp[1]));
    close(tcp[1]);
    assert_int_equal(cm_attach(cm, tcp[0], cookie_of(tcp[0]), clock_now_ns() + ATTACH_NS, &ch), 0);
    close(ch.memfd);
    close(ch.bell);
    close(ch.peer_bell);
    close(ch.chunk_fd);
    close(tcp[0]);
    cm_forked(cm);
    cm_chunk_gone(cm, chunk);
    close(chunk);
}

static void what_has_no_channel_cannot_be_attached(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    struct cm_channel ch;
    int tcp[2];

    tcp_pair(tcp);
    assert_int_equal(cm_attach(cm, tcp[0], cookie_of(tcp[0]), clock_now_ns() + ATTACH_NS, &ch),
                     -ENOENT);
    close(tcp[0]);
    close(tcp[1]);
    cm_forked(cm);
}

static void clients_are_told_apart_from_strangers(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    uint64_t deadline = clock_now_ns() + ATTACH_NS;
    int tcp[2], pipe;
    pid_t pid;

    tcp_pair(tcp);
    pid = spawn(claim_one, tcp, &pipe);
    await_ready(pipe);
    rig_wait_count(&rig, "claims", 1);
    assert_int_equal(cm_is_client(cm, pid, deadline), 1);
    assert_int_equal(cm_is_client(cm, getpid(), deadline), 1);
    assert_int_equal(cm_is_client(cm, getppid(), deadline), 0);
    reap(pid, pipe);
    close(tcp[0]);
    close(tcp[1]);
    cm_forked(cm);
}

// The second claim of a cookie takes the place of the first, in the same process or another.
static void the_newest_claim_wins(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    int by_hand = raw_client(&rig), tcp[2];

    tcp_pair(tcp);
    raw_claim(by_hand, tcp[0], &(struct raw_wish){0});
    rig_wait_count(&rig, "claims", 1);
    rig_claim(cm, tcp[0], -1);
    raw_expect_refused(by_hand, "another process");
    rig_claim(cm, tcp[0], -1);
    rig_claim(cm, tcp[1], -1);
    rig_wait_matched(cm, 2);
    assert_int_equal(told.n_refused, 0);
    close(by_hand);
    close(tcp[0]);
    close(tcp[1]);
    cm_forked(cm);
}

// The claim of a dead connection stands where the next one with its addresses comes.
static void a_claim_is_never_matched_with_an_earlier_connection(void **state)
{
    struct sockaddr_in local = {.sin_family = AF_INET}, remote;
    struct linger reset = {1, 0};
    int by_hand = raw_client(&rig), one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), c[2], s[2];
    socklen_t len = sizeof remote;

    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&local, sizeof local), 0);
    assert_int_equal(listen(listener, 2), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&remote, &len), 0);
    for (int i = 0; i < 2; i++) { // the same four numbers twice
        c[i] = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(c[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        assert_int_equal(bind(c[i], (struct sockaddr *)&local, sizeof local), 0);
        assert_int_equal(connect(c[i], (struct sockaddr *)&remote, sizeof remote), 0);
        len = sizeof local;
        assert_int_equal(getsockname(c[i], (struct sockaddr *)&local, &len), 0);
        s[i] = accept(listener, NULL, NULL);
        assert_true(s[i] >= 0);
        if (i == 0) { // its server claims; its client does not, and is reset
            raw_claim(by_hand, s[0], &(struct raw_wish){0});
            rig_wait_count(&rig, "claims", 1);
            setsockopt(c[0], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(c[0]);
        }
    }
    raw_claim(by_hand, c[1], &(struct raw_wish){0});
    raw_expect_refused(by_hand, "over"); // the stale one
    raw_claim(by_hand, s[1], &(struct raw_wish){0});
    for (int i = 0; i < 2; i++) {
        const Ctl__Envelope *msg = raw_recv(by_hand);

        assert_int_equal(msg->body_case, CTL__ENVELOPE__BODY_MATCHED);
        assert_int_not_equal(msg->matched->cookie, cookie_of(s[0]));
    }
    close(s[0]);
    close(s[1]);
    close(c[1]);
    close(listener);
    close(by_hand);
}

// kill -9 at any moment of a client's life leaves nothing behind.
static void busy_client(int pipe, const int *tcp)
{
    struct cm *cm = cm_init(rig.path, &rig_events);

    write(pipe, "r", 1);
    for (;;) {
        int own[2];

        tcp_pair(own);
        rig_claim(cm, own[0], -1);
        rig_claim(cm, own[1], -1);
        rig_wait_matched(cm, 2);
        cm_drop(cm, cookie_of(own[0]));
        told_clear();
        close(own[0]);
        close(own[1]);
    }
}

static void deaths_at_odd_moments_leave_nothing_behind(void **state)
{
    srand(7);
    for (int i = 0; i < 40; i++) {
        int pipe;
        pid_t pid = spawn(busy_client, NULL, &pipe);

        await_ready(pipe);
        usleep((useconds_t)(rand() % 3000));
        reap(pid, pipe);
    }
}

static void claims_are_refused_when_shuntd_is_killed(void **state)
{
    struct rig own;
    struct cm *cm;
    int tcp[2];

    rig_start(&own, NULL);
    cm = cm_init(own.path, &rig_events);
    tcp_pair(tcp);
    rig_claim(cm, tcp[0], -1);
    assert_int_equal(told.n_refused, 0);
    rig_stop(&own, SIGKILL);
    rig_wait_refused(cm, 1);
    assert_int_equal(told.refused_cookie, cookie_of(tcp[0]));
    assert_string_equal(told.reason, "shuntd is gone");
    rig_claim(cm, tcp[1], -1); // no second attempt to connect within a second
    assert_int_equal(told.n_refused, 2);
    close(tcp[0]);
    close(tcp[1]);
    cm_forked(cm);
}

// Its socket is removed, too: rig_stop() looks.
static void who_sees_the_socket_may_end_it(void **state)
{
    struct rig own;

    for (int i = 0; i < 20; i++) {
        rig_start(&own, NULL);
        rig_stop(&own, SIGTERM);
    }
}

static void spin_for_ever(int pipe, const int *tcp)
{
    struct cm *cm = cm_init(rig.path, &rig_events);

    rig_claim(cm, tcp[0], -1);
    rig_wait_refused(cm, 1);
    atomic_fetch_add(cm_spinners(cm), 1);
    atomic_fetch_add(*cm_own_spinners(cm), 1);
}

// Who is killed while it spins must not keep others from spinning for ever.
static void a_dead_spinner_is_not_counted(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    uint64_t end = clock_now_ns() + ATTACH_NS;
    int tcp[2], none[2], pipe;
    pid_t pid;

    tcp_pair(tcp);
    tcp_pair(none);
    shutdown(none[0], SHUT_WR); // its claim is refused, so it knows that it was welcomed
    rig_claim(cm, tcp[0], -1);
    assert_int_equal(cm_is_client(cm, getpid(), end), 1); // so are we
    assert_int_equal(atomic_load(cm_spinners(cm)), 0);
    pid = spawn(spin_for_ever, none, &pipe);
    await_ready(pipe);
    assert_int_equal(atomic_load(cm_spinners(cm)), 1);
    reap(pid, pipe);
    while (atomic_load(cm_spinners(cm)))
        assert_true(clock_now_ns() < end);
    for (int i = 0; i < 2; i++) {
        close(tcp[i]);
        close(none[i]);
    }
    cm_forked(cm);
}

// A program that closes everything, and opens files of its own where our socket was.
static void a_closed_control_socket_is_noticed(void **state)
{
    struct cm *cm = cm_init(rig.path, &rig_events);
    int tcp[2], n = 0;

    tcp_pair(tcp);
    rig_claim(cm, tcp[0], -1);
    for (int fd = 3; fd < 65536; fd++)
        if (cm_owns_fd(cm, fd)) {
            assert_int_equal(dup2(tcp[1], fd), fd);
            n = fd;
        }
    assert_true(n > 0);
    rig_wait_refused(cm, 1);
    assert_non_null(strstr(told.reason, "closed"));
    assert_int_equal(write(tcp[0], "x", 1), 1); // and what is there now was left alone
    assert_int_equal(read(n, told.reason, 1), 1);
    close(n);
    close(tcp[0]);
    close(tcp[1]);
    cm_forked(cm);
}

#define TEST(f) cmocka_unit_test_teardown(f, nothing_is_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_killed_process_takes_its_claims_along),
        TEST(a_killed_process_takes_its_channels_along),
        TEST(channels_stay_while_somebody_has_the_socket),
        TEST(a_child_attaches_and_outlives_its_parent),
        TEST(an_orphan_is_found_again_by_its_cookie),
        TEST(attaching_works_after_the_peers_fin),
        TEST(what_has_no_channel_cannot_be_attached),
        TEST(clients_are_told_apart_from_strangers),
        TEST(the_newest_claim_wins),
        TEST(a_claim_is_never_matched_with_an_earlier_connection),
        TEST(deaths_at_odd_moments_leave_nothing_behind),
        TEST(claims_are_refused_when_shuntd_is_killed),
        TEST(who_sees_the_socket_may_end_it),
        TEST(a_dead_spinner_is_not_counted),
        TEST(a_closed_control_socket_is_noticed),
    };

    return cmocka_run_group_tests_name("daemon/life", tests, start, stop);
}
