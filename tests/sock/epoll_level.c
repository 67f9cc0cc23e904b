// SPDX-License-Identifier: BSD-2-Clause
// epoll(7), level-triggered.
#include "common/epoll.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>

static void idle_is_only_writable(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI);
    REQUIRE_EQ(ep_wait(ep, c->fd, 0), EPOLLOUT);
    ep_mod(ep, c->fd, EPOLLIN);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
}

static void reports_until_drained(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    peer_do(c, op_write, 10);
    for (int i = 0; i < 5; i++)
        REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLIN);
    conn_read(c, 9);
    REQUIRE_EQ(ep_wait(ep, c->fd, 0), EPOLLIN);
    conn_read(c, 1);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
}

static void wakes_for_data(struct conn *c)
{
    int ep = ep_new();
    uint64_t before = now_ms();
    ep_add(ep, c->fd, EPOLLIN);
    peer_start_later(c, 100, op_write, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    REQUIRE(now_ms() - before >= 95 && now_ms() - before < 4000);
    conn_read(c, 10);
    peer_finish(c);
}

static void data_before_add(struct conn *c)
{
    int ep = ep_new();
    peer_do(c, op_write, 10);
    conn_await(c, 10);
    ep_add(ep, c->fd, EPOLLIN);
    REQUIRE_EQ(ep_wait(ep, c->fd, 0), EPOLLIN);
}

// The set is older than the switch: it must follow the connection to where its bytes are.
static void added_before_the_switch(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLRDHUP);
    conn_warm(c);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_start_later(c, 50, op_write, 10);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    conn_read(c, 10);
    peer_finish(c);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
}

static void *wait_for_data(void *arg)
{
    REQUIRE(epoll_wait(*(int *)arg, &(struct epoll_event){0}, 1, 8000) == 1);
    return NULL;
}

// A thread sleeps in epoll_wait over the whole of the switch that others bring about.
static void waits_through_the_switch(struct conn *c)
{
    pthread_t thread;
    struct conn other;
    int ep = ep_new();
    conn_open(&other, SOCK_PROC);
    ep_add(ep, other.fd, EPOLLRDHUP);
    REQUIRE_EQ(pthread_create(&thread, NULL, wait_for_data, &ep), 0);
    conn_warm(&other);
    peer_do(&other, op_shutdown, SHUT_WR);
    pthread_join(thread, NULL);
    conn_end(&other);
}

static void writable_again(struct conn *c)
{
    int ep = ep_new();
    int64_t filled = (int64_t)conn_fill_up(c);
    ep_add(ep, c->fd, EPOLLOUT);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    peer_start_later(c, 50, op_read, filled);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLOUT);
    peer_finish(c);
}

static void peers_shutdown(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN | EPOLLRDHUP);
    peer_start_later(c, 30, op_shutdown, SHUT_WR);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN | EPOLLRDHUP);
    ep_mod(ep, c->fd, EPOLLIN);
    REQUIRE_EQ(ep_wait(ep, c->fd, 0), EPOLLIN);
    peer_finish(c);
}

static void data_and_shutdown(struct conn *c)
{
    int ep = ep_new();
    peer_do(c, op_write, 10);
    peer_do(c, op_shutdown, SHUT_WR);
    ep_add(ep, c->fd, EPOLLRDHUP);
    REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLRDHUP);
    conn_read(c, 10);
    conn_read_eof(c);
}

static void both_shut_down(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, 0);
    peer_do(c, op_shutdown, SHUT_WR);
    REQUIRE_EQ(ep_wait(ep, c->fd, 20), 0);
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
    REQUIRE_EQ(ep_wait(ep, c->fd, 2000), EPOLLHUP);
}

static void reset_is_always_reported(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, 0);
    peer_start_later(c, 30, op_reset, 0);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLERR | EPOLLHUP);
    peer_finish(c);
}

static void ctl_errors(struct conn *c)
{
    struct epoll_event ev;
    int ep = ep_new(), file = open("/proc/self/exe", O_RDONLY);
    ep_add(ep, c->fd, EPOLLIN);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_ADD, c->fd, EPOLLIN), EEXIST);
    REQUIRE_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL), 0);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_DEL, c->fd, 0), ENOENT);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN), ENOENT);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_ADD, file, EPOLLIN), EPERM);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_ADD, 100000, EPOLLIN), EBADF);
    REQUIRE_ERRNO(ep_ctl(c->fd, EPOLL_CTL_ADD, ep, EPOLLIN), EINVAL);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_ADD, ep, EPOLLIN), EINVAL);
    REQUIRE_ERRNO(ep_ctl(ep, 99, c->fd, EPOLLIN), EINVAL);
    REQUIRE_ERRNO(epoll_wait(ep, &ev, 0, 0), EINVAL);
    REQUIRE_ERRNO(epoll_wait(c->fd, &ev, 1, 0), EINVAL);
    REQUIRE_ERRNO(epoll_wait(100000, &ev, 1, 0), EBADF);
}

static void data_field_is_kept(struct conn *c)
{
    struct epoll_event ev = {.events = EPOLLOUT, .data.u64 = UINT64_C(0x123456789abcdef0)}, got;
    int ep = ep_new();
    REQUIRE_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev), 0);
    REQUIRE_EQ(epoll_wait(ep, &got, 1, 1000), 1);
    REQUIRE(got.data.u64 == ev.data.u64);
    ev.data.u64 = 42;
    REQUIRE_EQ(epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev), 0);
    REQUIRE_EQ(epoll_wait(ep, &got, 1, 1000), 1);
    REQUIRE_EQ(got.data.u64, 42);
}

static void close_takes_it_out(struct conn *c)
{
    int ep = ep_new(), old = c->fd;
    ep_add(ep, c->fd, EPOLLOUT);
    conn_close(c);
    REQUIRE_EQ(ep_wait(ep, old, 20), 0);
    REQUIRE_ERRNO(ep_ctl(ep, EPOLL_CTL_DEL, old, 0), EBADF);
}

// epoll(7), questions: the set holds the open file, not the number; a copy keeps it there.
static void close_with_a_copy_keeps_it_in(struct conn *c)
{
    int ep = ep_new(), old = c->fd, copy = dup(c->fd);
    ep_add(ep, old, EPOLLIN);
    conn_close(c);
    c->fd = copy;
    peer_start_later(c, 30, op_write, 5);
    REQUIRE_EQ(ep_wait(ep, old, 5000), EPOLLIN);
    conn_read(c, 5);
    peer_finish(c);
    REQUIRE_EQ(ep_wait(ep, old, 20), 0);
}

static void a_copy_is_an_entry_of_its_own(struct conn *c)
{
    struct epoll_event ev[4];
    int ep = ep_new(), copy = dup(c->fd);
    ep_add(ep, c->fd, EPOLLIN);
    ep_add(ep, copy, EPOLLIN | EPOLLOUT);
    peer_do(c, op_write, 1);
    conn_await(c, 1);
    REQUIRE_EQ(epoll_wait(ep, ev, 4, 1000), 2);
    REQUIRE_EQ(ev[0].data.u64 + ev[1].data.u64, c->fd + copy);
    close(copy);
}

static void small_maxevents_serves_all(struct conn *c)
{
    struct conn more[3];
    unsigned seen[1024] = {0};
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    peer_do(c, op_write, 1);
    for (int i = 0; i < 3; i++) {
        conn_open(&more[i], i % 2 ? SOCK_PROC : SOCK_THREAD);
        conn_warm(&more[i]);
        ep_add(ep, more[i].fd, EPOLLIN);
        peer_do(&more[i], op_write, 1);
        conn_await(&more[i], 1);
    }
    for (int i = 0; i < 20; i++) {
        struct epoll_event ev;
        REQUIRE_EQ(epoll_wait(ep, &ev, 1, 1000), 1);
        seen[ev.data.u64]++;
    }
    REQUIRE(seen[c->fd] >= 3);
    for (int i = 0; i < 3; i++) {
        REQUIRE(seen[more[i].fd] >= 3);
        conn_end(&more[i]);
    }
}

static void mixed_set(struct conn *c)
{
    struct epoll_event ev[8];
    struct sockaddr_in addr;
    int pipes[2], ep = ep_new(), event = eventfd(0, 0), listener = sock_listen(&addr);
    REQUIRE_EQ(pipe(pipes), 0);
    ep_add(ep, c->fd, EPOLLIN);
    ep_add(ep, pipes[0], EPOLLIN);
    ep_add(ep, event, EPOLLIN);
    ep_add(ep, listener, EPOLLIN);
    REQUIRE_EQ(epoll_wait(ep, ev, 8, 20), 0);
    REQUIRE_EQ(write(pipes[1], "x", 1), 1);
    REQUIRE_EQ(ep_wait(ep, pipes[0], 1000), EPOLLIN);
    REQUIRE_EQ(eventfd_write(event, 1), 0);
    peer_do(c, op_write, 1);
    conn_await(c, 1);
    int client = sock_connect(&addr);
    REQUIRE_EQ(sock_poll(listener, POLLIN, 1000), POLLIN);
    REQUIRE_EQ(epoll_wait(ep, ev, 8, 1000), 4);
    conn_read(c, 1);
    REQUIRE_EQ(epoll_wait(ep, ev, 8, 1000), 3);
    close(client);
}

static int64_t poke(struct conn *self, int64_t fd)
{
    return eventfd_write((int)fd, 1);
}

static void eventfd_wakes_wait_for_idle_socket(struct conn *c)
{
    int ep = ep_new(), event = eventfd(0, 0);
    ep_add(ep, c->fd, EPOLLIN);
    ep_add(ep, event, EPOLLIN);
    peer_start_later(c, 60, poke, event);
    REQUIRE_EQ(ep_wait(ep, event, 5000), EPOLLIN);
    peer_finish(c);
}

static void never_connected_is_a_hangup(struct conn *unused)
{
    struct sockaddr_in addr;
    int ep = ep_new(), fd = socket(AF_INET, SOCK_STREAM, 0), listener = sock_listen(&addr);
    ep_add(ep, fd, EPOLLIN | EPOLLOUT);
    REQUIRE_EQ(ep_wait(ep, fd, 1000), EPOLLOUT | EPOLLHUP);
    REQUIRE_EQ(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    sock_warm(fd, accept(listener, NULL, NULL));
    REQUIRE_EQ(ep_wait(ep, fd, 1000), EPOLLOUT);
}

static void timeouts(struct conn *c)
{
    struct epoll_event ev;
    struct timespec time = {.tv_nsec = 60 * 1000000};
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    uint64_t before = now_ms();
    REQUIRE_EQ(epoll_wait(ep, &ev, 1, 60), 0);
    REQUIRE(now_ms() - before >= 59);
    before = now_ms();
    REQUIRE_EQ(epoll_pwait2(ep, &ev, 1, &time, NULL), 0);
    REQUIRE(now_ms() - before >= 59 && now_ms() - before < 2000);
    peer_start_later(c, 60, op_write, 1);
    REQUIRE_EQ(epoll_pwait2(ep, &ev, 1, NULL, NULL), 1);
    peer_finish(c);
    time.tv_nsec = -1;
    REQUIRE_ERRNO(epoll_pwait2(ep, &ev, 1, &time, NULL), EINVAL);
}

static volatile sig_atomic_t caught;

static void catch_signal(int sig)
{
    caught++;
}

static void pwait_mask_is_atomic(struct conn *c)
{
    struct sigaction sa = {.sa_handler = catch_signal, .sa_flags = SA_RESTART};
    struct epoll_event ev;
    sigset_t block, none;
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigaction(SIGUSR1, &sa, NULL);
    pthread_sigmask(SIG_BLOCK, &block, NULL);
    raise(SIGUSR1);
    REQUIRE_EQ(epoll_pwait(ep, &ev, 1, 30, NULL), 0);
    REQUIRE_ERRNO(epoll_pwait(ep, &ev, 1, 5000, &none), EINTR);
    REQUIRE_EQ(caught, 1);
    REQUIRE_EQ(pthread_sigmask(SIG_BLOCK, NULL, &block), 0);
    REQUIRE(sigismember(&block, SIGUSR1));
}

static int64_t add_in_thread(struct conn *self, int64_t ep_and_fd)
{
    ep_add((int)(ep_and_fd >> 32), (int)(ep_and_fd & 0xffffffff), EPOLLIN);
    return 0;
}

// epoll_wait(2): what another thread adds while we wait ends the wait.
static void added_during_the_wait(struct conn *c)
{
    int ep = ep_new();
    peer_do(c, op_write, 1);
    conn_await(c, 1);
    peer_start_later(c, 60, add_in_thread, (int64_t)ep << 32 | c->fd);
    REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
    peer_finish(c);
}

static void ping_pong_by_epoll(struct conn *c)
{
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    peer_start(c, op_echo, 64 * 1000);
    for (int i = 0; i < 1000; i++) {
        conn_write(c, 64);
        REQUIRE_EQ(ep_wait(ep, c->fd, 5000), EPOLLIN);
        conn_read(c, 64);
    }
    peer_finish(c);
}

// A reader that takes one piece after each report never learns by EAGAIN that all is read. The
// writer has filled up and fallen asleep since the reader last looked how much there is.
static void reader_that_never_sees_eagain(struct conn *c)
{
    char buf[10000];
    int ep = ep_new();
    ep_add(ep, c->fd, EPOLLIN);
    for (int round = 0; round < 20; round++) {
        uint64_t end = c->rx + 100000 + 1 * MIB;
        peer_do(c, op_write, 100000);
        REQUIRE_EQ(recv(c->fd, buf, 1, MSG_PEEK), 1);
        peer_start(c, op_write, 1 * MIB);
        sleep_ms(5);
        while (c->rx < end) {
            REQUIRE_EQ(ep_wait(ep, c->fd, 3000), EPOLLIN);
            ssize_t n = read(c->fd, buf, sizeof(buf));
            REQUIRE(n > 0);
            conn_check(c, buf, (size_t)n);
        }
        peer_finish(c);
    }
}

static void fd_above_1024(struct conn *c)
{
    struct rlimit limit = {8192, 8192};
    int ep = ep_new();
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        sock_skip("cannot raise RLIMIT_NOFILE to 8192");
    REQUIRE_EQ(dup2(c->fd, 7000), 7000);
    REQUIRE_EQ(dup2(ep, 7001), 7001);
    conn_close(c);
    c->fd = 7000;
    ep_add(7001, 7000, EPOLLIN);
    peer_start_later(c, 30, op_write, 10);
    REQUIRE_EQ(ep_wait(7001, 7000, 5000), EPOLLIN);
    conn_read(c, 10);
    peer_finish(c);
}

static const struct sock_case cases[] = {
    CASE(idle_is_only_writable),
    CASE(reports_until_drained),
    CASE(wakes_for_data),
    CASE(data_before_add),
    CASE(added_before_the_switch, .flags = SOCK_COLD),
    CASE(waits_through_the_switch, .flags = SOCK_COLD | SOCK_NO_THREAD),
    CASE(writable_again),
    CASE(peers_shutdown),
    CASE(data_and_shutdown),
    CASE(both_shut_down),
    CASE(reset_is_always_reported),
    CASE(ctl_errors),
    CASE(data_field_is_kept),
    CASE(close_takes_it_out),
    CASE(close_with_a_copy_keeps_it_in),
    CASE(a_copy_is_an_entry_of_its_own),
    CASE(small_maxevents_serves_all),
    CASE(mixed_set),
    CASE(eventfd_wakes_wait_for_idle_socket, .flags = SOCK_NO_PROC),
    CASE(never_connected_is_a_hangup, .flags = SOCK_BARE),
    CASE(timeouts),
    CASE(pwait_mask_is_atomic),
    CASE(added_during_the_wait, .flags = SOCK_NO_PROC),
    CASE(ping_pong_by_epoll),
    CASE(reader_that_never_sees_eagain),
    CASE(fd_above_1024),
};
SOCK_TOPIC(epoll_level);
