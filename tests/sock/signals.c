// SPDX-License-Identifier: BSD-2-Clause
// SIGPIPE, EINTR and SA_RESTART, and calls made from signal handlers.
#include "common/epoll.h"

#include <poll.h>
#include <setjmp.h>
#include <sys/select.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t caught;

static void catch_signal(int sig)
{
    caught++;
}

static void on_signal(int sig, void (*handler)(int), int flags)
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
    REQUIRE_EQ(sigaction(sig, &sa, NULL), 0);
}

// One SIGALRM after ms, and again every ms when repeated.
static void alarm_ms(unsigned ms, bool repeat)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    struct itimerval timer = {.it_value = tv};
    if (repeat)
        timer.it_interval = tv;
    REQUIRE_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void sigpipe_is_raised(struct conn *c)
{
    on_signal(SIGPIPE, catch_signal, 0);
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    REQUIRE_ERRNO(write(c->fd, "x", 1), EPIPE);
    REQUIRE_EQ(caught, 1);
    REQUIRE_ERRNO(send(c->fd, "x", 1, 0), EPIPE);
    REQUIRE_EQ(caught, 2);
    REQUIRE_ERRNO(send(c->fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    REQUIRE_EQ(caught, 2);
}

static void sigpipe_kills(struct conn *c)
{
    int status;
    peer_do(c, op_reset, 0);
    REQUIRE(sock_poll(c->fd, 0, 2000) & POLLERR);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        ssize_t n = write(c->fd, "x", 1); // ECONNRESET
        n = write(c->fd, "x", 1);         // SIGPIPE
        _exit((int)n);
    }
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

static void sigpipe_ignored_is_epipe(struct conn *c)
{
    signal(SIGPIPE, SIG_IGN);
    peer_do(c, op_close, 0);
    conn_read_eof(c);
    while (write(c->fd, "x", 1) == 1)
        sleep_ms(10);
    REQUIRE_EQ(errno, EPIPE);
}

static void eintr_of_a_read(struct conn *c)
{
    char byte;
    on_signal(SIGALRM, catch_signal, 0);
    alarm_ms(60, false);
    REQUIRE_ERRNO(read(c->fd, &byte, 1), EINTR);
    alarm_ms(60, false);
    REQUIRE_ERRNO(recv(c->fd, &byte, 1, MSG_WAITALL), EINTR);
    REQUIRE_EQ(caught, 2);
}

static void eintr_of_a_write(struct conn *c)
{
    char byte = 0;
    conn_fill_up(c);
    on_signal(SIGALRM, catch_signal, 0);
    alarm_ms(60, false);
    REQUIRE_ERRNO(write(c->fd, &byte, 1), EINTR);
}

static void partial_write_beats_eintr(struct conn *c)
{
    static char buf[32 * MIB];
    conn_next(c, buf, sizeof(buf));
    on_signal(SIGALRM, catch_signal, 0);
    // again, should the machine be so slow that the first comes before the write
    alarm_ms(150, true);
    ssize_t n = write(c->fd, buf, sizeof(buf));
    alarm_ms(0, false);
    REQUIRE(n > 0 && n < (ssize_t)sizeof(buf));
    c->tx += (size_t)n;
    REQUIRE_EQ(peer_do(c, op_read, n), n);
}

static void partial_waitall_beats_eintr(struct conn *c)
{
    char buf[100];
    on_signal(SIGALRM, catch_signal, 0);
    peer_do(c, op_write, 40);
    alarm_ms(60, false);
    REQUIRE_EQ(recv(c->fd, buf, 100, MSG_WAITALL), 40);
    conn_check(c, buf, 40);
}

static void restart_of_a_read(struct conn *c)
{
    on_signal(SIGALRM, catch_signal, SA_RESTART);
    alarm_ms(40, false);
    peer_start_later(c, 150, op_write, 10);
    conn_read(c, 10);
    REQUIRE_EQ(caught, 1);
    peer_finish(c);
}

static void restart_of_a_write(struct conn *c)
{
    int64_t filled = (int64_t)conn_fill_up(c);
    on_signal(SIGALRM, catch_signal, SA_RESTART);
    alarm_ms(40, false);
    peer_start_later(c, 150, op_read, filled + 10);
    conn_write(c, 10);
    REQUIRE_EQ(caught, 1);
    peer_finish(c);
}

// signal(7): with a timeout set, socket calls are never restarted.
static void no_restart_with_a_timeout(struct conn *c)
{
    char byte = 0;
    on_signal(SIGALRM, catch_signal, SA_RESTART);
    sock_set_timeout(c->fd, SO_RCVTIMEO, 3000);
    sock_set_timeout(c->fd, SO_SNDTIMEO, 3000);
    alarm_ms(60, false);
    REQUIRE_ERRNO(recv(c->fd, &byte, 1, 0), EINTR);
    conn_fill_up(c);
    alarm_ms(60, false);
    REQUIRE_ERRNO(send(c->fd, &byte, 1, 0), EINTR);
}

// signal(7): poll, select and epoll_wait are interrupted whatever SA_RESTART says.
static void no_restart_of_waits(struct conn *c)
{
    struct pollfd p = {c->fd, POLLIN, 0};
    struct epoll_event ev;
    fd_set in;
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    on_signal(SIGALRM, catch_signal, SA_RESTART);
    alarm_ms(40, false);
    REQUIRE_ERRNO(poll(&p, 1, 5000), EINTR);
    alarm_ms(40, false);
    REQUIRE_ERRNO(epoll_wait(ep, &ev, 1, -1), EINTR);
    FD_ZERO(&in);
    FD_SET(c->fd, &in);
    alarm_ms(40, false);
    REQUIRE_ERRNO(select(c->fd + 1, &in, NULL, NULL, NULL), EINTR);
    REQUIRE_EQ(caught, 3);
}

static void restart_of_accept(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    on_signal(SIGALRM, catch_signal, 0);
    alarm_ms(40, false);
    REQUIRE_ERRNO(accept(listener, NULL, NULL), EINTR);
    on_signal(SIGALRM, catch_signal, SA_RESTART);
    alarm_ms(40, false);
    pid_t pid = fork();
    if (pid == 0) {
        sleep_ms(150);
        sock_connect(&addr);
        _exit(0);
    }
    REQUIRE(accept(listener, NULL, NULL) >= 0);
    REQUIRE_EQ(caught, 2);
    waitpid(pid, NULL, 0);
}

static void blocked_signal_does_not_interrupt(struct conn *c)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    on_signal(SIGALRM, catch_signal, 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    alarm_ms(30, false);
    peer_start_later(c, 100, op_write, 10);
    conn_read(c, 10);
    REQUIRE_EQ(caught, 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    REQUIRE_EQ(caught, 1);
    peer_finish(c);
}

static void ignored_signal_does_not_interrupt(struct conn *c)
{
    signal(SIGALRM, SIG_IGN);
    alarm_ms(30, true);
    peer_start_later(c, 150, op_write, 10);
    conn_read(c, 10);
    alarm_ms(0, false);
    peer_finish(c);
}

// SIGALRM a thousand times a second while bytes go both ways, with restarts.
static void signal_storm(struct conn *c)
{
    on_signal(SIGALRM, catch_signal, SA_RESTART);
    alarm_ms(1, true);
    peer_start(c, op_echo, 64 * 3000);
    for (int i = 0; i < 3000; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
    peer_finish(c);
    alarm_ms(0, false);
}

static void signal_storm_without_restart(struct conn *c)
{
    char buf[64];
    on_signal(SIGALRM, catch_signal, 0);
    peer_start(c, op_echo, 64 * 3000);
    alarm_ms(1, true);
    for (int i = 0; i < 3000; i++) {
        ssize_t n;
        conn_next(c, buf, 64);
        while ((n = write(c->fd, buf, 64)) < 0)
            REQUIRE_EQ(errno, EINTR);
        REQUIRE_EQ(n, 64);
        c->tx += 64;
        for (size_t got = 0; got<64; got += n> 0 ? (size_t)n : 0) {
            n = read(c->fd, buf, 64 - got);
            REQUIRE(n > 0 || errno == EINTR);
            conn_check(c, buf, n > 0 ? (size_t)n : 0);
        }
    }
    alarm_ms(0, false);
    peer_finish(c);
}

static struct conn *in_handler;

static void write_in_handler(int sig)
{
    int err = errno;
    conn_write(in_handler, 10);
    caught++;
    errno = err;
}

// The handler interrupts a read, or anything else, of the same socket, and writes to it.
static void handler_writes_to_the_socket(struct conn *c)
{
    in_handler = c;
    on_signal(SIGALRM, write_in_handler, SA_RESTART);
    peer_start(c, op_write, 1 * MIB);
    alarm_ms(1, true);
    conn_read(c, 1 * MIB);
    peer_finish(c);
    peer_start_later(c, 100, op_write, 100);
    conn_read(c, 100);
    alarm_ms(0, false);
    peer_finish(c);
    REQUIRE_EQ(peer_do(c, op_read, caught * 10), caught * 10);
}

static void look_in_handler(int sig)
{
    char byte;
    int err = errno;
    sock_poll(in_handler->fd, POLLIN | POLLOUT, 0);
    if (recv(in_handler->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
        REQUIRE(errno == EAGAIN);
    caught++;
    errno = err;
}

// The same direction from inside and outside: a lock held by the interrupted call would hang it.
static void handler_peeks_and_polls(struct conn *c)
{
    in_handler = c;
    on_signal(SIGALRM, look_in_handler, SA_RESTART);
    alarm_ms(1, true);
    peer_start(c, op_echo, 64 * 2000);
    for (int i = 0; i < 2000; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
    alarm_ms(0, false);
    peer_finish(c);
}

static int handler_fds[2];

static void open_and_close_in_handler(int sig)
{
    int err = errno, fd = dup(handler_fds[0]);
    REQUIRE_EQ(write(handler_fds[1], "x", 1), 1);
    REQUIRE_EQ(read(fd, &(char){0}, 1), 1);
    close(fd);
    close(socket(AF_INET, SOCK_STREAM, 0));
    caught++;
    errno = err;
}

static void handler_opens_and_closes(struct conn *c)
{
    REQUIRE_EQ(pipe(handler_fds), 0);
    on_signal(SIGALRM, open_and_close_in_handler, SA_RESTART);
    alarm_ms(1, true);
    for (int i = 0; i < 200; i++) {
        int client, server;
        sock_pair(&client, &server);
        REQUIRE_EQ(write(client, "x", 1), 1);
        REQUIRE_EQ(read(server, &(char){0}, 1), 1);
        close(client);
        close(server);
    }
    alarm_ms(0, false);
    conn_warm(c);
}

static sigjmp_buf jump;

static void jump_out(int sig)
{
    siglongjmp(jump, 1);
}

// A handler that never returns leaves the interrupted call for good: nothing may stay locked.
static void longjmp_out_of_a_read(struct conn *c)
{
    char byte;
    on_signal(SIGALRM, jump_out, 0);
    for (volatile int i = 0; i < 5; i++) {
        if (sigsetjmp(jump, 1) == 0) {
            alarm_ms(30, false);
            sock_fail(__FILE__, __LINE__, "read returned %zd", read(c->fd, &byte, 1));
        }
        conn_warm(c);
    }
}

static void longjmp_out_of_waits(struct conn *c)
{
    struct epoll_event ev;
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    on_signal(SIGALRM, jump_out, 0);
    if (sigsetjmp(jump, 1) == 0) {
        alarm_ms(30, false);
        sock_poll(c->fd, POLLIN, -1);
    }
    if (sigsetjmp(jump, 1) == 0) {
        alarm_ms(30, false);
        epoll_wait(ep, &ev, 1, -1);
    }
    conn_warm(c);
    REQUIRE_EQ(ep_wait(ep, c->fd, 10), 0);
    peer_start_later(c, 30, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    conn_read(c, 5);
    peer_finish(c);
}

static void longjmp_out_of_a_full_write(struct conn *c)
{
    char byte = 0;
    int64_t filled = (int64_t)conn_fill_up(c);
    on_signal(SIGALRM, jump_out, 0);
    if (sigsetjmp(jump, 1) == 0) {
        alarm_ms(30, false);
        sock_fail(__FILE__, __LINE__, "write returned %zd", write(c->fd, &byte, 1));
    }
    REQUIRE_EQ(peer_do(c, op_read, filled), filled);
    conn_warm(c);
}

// fcntl(2) F_SETOWN and O_ASYNC: SIGIO when something happens to the socket.
static void sigio_comes(struct conn *c)
{
    on_signal(SIGIO, catch_signal, 0);
    REQUIRE_EQ(fcntl(c->fd, F_SETOWN, getpid()), 0);
    REQUIRE_EQ(fcntl(c->fd, F_SETFL, O_ASYNC), 0);
    caught = 0;
    peer_do(c, op_write, 10);
    for (int i = 0; i < 200 && caught == 0; i++)
        sleep_ms(10);
    REQUIRE(caught > 0);
    conn_read(c, 10);
}

static void sigtimedwait_beside_a_transfer(struct conn *c)
{
    sigset_t set;
    struct timespec time = {.tv_nsec = 20 * 1000000};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    peer_start(c, op_echo, 64);
    conn_write(c, 64);
    REQUIRE_EQ(sigtimedwait(&set, NULL, &time), SIGUSR1);
    REQUIRE_ERRNO(sigtimedwait(&set, NULL, &time), EAGAIN);
    conn_read(c, 64);
    peer_finish(c);
}

static const struct sock_case cases[] = {
    CASE(sigpipe_is_raised),
    CASE(sigpipe_kills),
    CASE(sigpipe_ignored_is_epipe),
    CASE(eintr_of_a_read),
    CASE(eintr_of_a_write),
    CASE(partial_write_beats_eintr),
    CASE(partial_waitall_beats_eintr),
    CASE(restart_of_a_read),
    CASE(restart_of_a_write),
    CASE(no_restart_with_a_timeout),
    CASE(no_restart_of_waits),
    CASE(restart_of_accept, .flags = SOCK_BARE),
    CASE(blocked_signal_does_not_interrupt, .flags = SOCK_NO_THREAD),
    CASE(ignored_signal_does_not_interrupt),
    CASE(signal_storm, .flags = SOCK_NO_THREAD),
    CASE(signal_storm_without_restart, .flags = SOCK_NO_THREAD),
    CASE(handler_writes_to_the_socket, .flags = SOCK_NO_THREAD),
    CASE(handler_peeks_and_polls, .flags = SOCK_NO_THREAD),
    CASE(handler_opens_and_closes, .flags = SOCK_NO_THREAD),
    CASE(longjmp_out_of_a_read, .flags = SOCK_NO_THREAD),
    CASE(longjmp_out_of_waits, .flags = SOCK_NO_THREAD),
    CASE(longjmp_out_of_a_full_write, .flags = SOCK_NO_THREAD),
    CASE(sigio_comes),
    CASE(sigtimedwait_beside_a_transfer, .flags = SOCK_NO_THREAD),
};
SOCK_TOPIC(signals);
