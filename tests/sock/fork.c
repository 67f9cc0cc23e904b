// SPDX-License-Identifier: BSD-2-Clause
// fork(2) and kin with live connections.
#include "common/epoll.h"

#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>

extern char **environ;

static void join_child(pid_t pid)
{
    int status;
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE_EQ(status, 0);
}

// Forks a child that calls work(c) and leaves with 0.
static pid_t in_child(void (*work)(struct conn *), struct conn *c)
{
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        work(c);
        _exit(0);
    }
    return pid;
}

static void talk(struct conn *c)
{
    for (int i = 0; i < 100; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
}

// What a child has moved of the stream the parent has not seen: tells our conn.
static void moved(struct conn *c, uint64_t tx, uint64_t rx)
{
    c->tx += tx;
    c->rx += rx;
}

static void child_talks_parent_waits(struct conn *c)
{
    peer_start(c, op_echo, 6400);
    join_child(in_child(talk, c));
    peer_finish(c);
    moved(c, 6400, 6400);
    conn_warm(c);
}

static void sleep_on(struct conn *c)
{
    pause();
}

static void parent_talks_on(struct conn *c)
{
    pid_t pid = in_child(sleep_on, c);
    conn_warm(c);
    REQUIRE_EQ(kill(pid, SIGKILL), 0);
    REQUIRE_EQ(waitpid(pid, NULL, 0), pid);
    conn_warm(c);
}

static void child_takes_over(struct conn *c)
{
    peer_start(c, op_echo, 6400);
    pid_t pid = in_child(talk, c);
    conn_close(c);
    peer_finish(c);
    join_child(pid);
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

static void in_turn(struct conn *c)
{
    for (int i = 0; i < 5; i++) {
        peer_start(c, op_echo, 6400);
        if (i % 2) {
            talk(c);
        } else {
            join_child(in_child(talk, c));
            moved(c, 6400, 6400);
        }
        peer_finish(c);
    }
}

static void ping_pong_between_processes(struct conn *c)
{
    int a[2], b[2];
    char token = 0;
    REQUIRE_EQ(pipe(a), 0);
    REQUIRE_EQ(pipe(b), 0);
    peer_start(c, op_echo, 64 * 200);
    pid_t pid = fork();
    int *in = pid ? b : a, *out = pid ? a : b;
    for (int i = 0; i < 100; i++) {
        // The parent goes first; what the other has moved meanwhile is the other's turn.
        if (pid == 0) {
            REQUIRE_EQ(read(in[0], &token, 1), 1);
            moved(c, 64, 64);
        }
        conn_write(c, 64);
        conn_read(c, 64);
        REQUIRE_EQ(write(out[1], &token, 1), 1);
        if (pid != 0) {
            REQUIRE_EQ(read(in[0], &token, 1), 1);
            moved(c, 64, 64);
        }
    }
    if (pid == 0)
        _exit(0);
    join_child(pid);
    peer_finish(c);
}

static void read_mib(struct conn *c)
{
    conn_read(c, 1 * MIB);
}

static void child_reads_what_was_there(struct conn *c)
{
    peer_do(c, op_write, 1000);
    conn_await(c, 1000);
    conn_read(c, 300);
    struct conn at_fork = *c;
    pid_t pid = fork();
    if (pid == 0) {
        conn_read(&at_fork, 200);
        _exit(0);
    }
    join_child(pid);
    moved(c, 0, 200);
    conn_read(c, 500);
}

static void fork_in_the_middle_of_bulk(struct conn *c)
{
    peer_start(c, op_write, 4 * MIB);
    for (int i = 0; i < 2; i++) {
        conn_read(c, 1 * MIB);
        join_child(in_child(read_mib, c));
        moved(c, 0, 1 * MIB);
    }
    peer_finish(c);
}

static void half_and_half(struct conn *c)
{
    pid_t pid = in_child(read_mib, c); // the child reads, the parent writes
    peer_start(c, op_write_echo, 1 * MIB);
    conn_write(c, 1 * MIB);
    join_child(pid);
    peer_finish(c);
    moved(c, 0, 1 * MIB);
    conn_warm(c);
}

static void eof_only_when_all_have_closed(struct conn *c)
{
    int hold[2];
    REQUIRE_EQ(pipe(hold), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(hold[1]);
        REQUIRE_EQ(read(hold[0], &(char){0}, 1), 0);
        _exit(0);
    }
    conn_close(c);
    peer_start(c, op_drain, 0);
    struct pollfd p = {c->ctl, POLLIN, 0};
    REQUIRE_EQ(poll(&p, 1, 100), 0);
    close(hold[1]);
    REQUIRE_EQ(peer_finish(c), 0);
    join_child(pid);
}

static void shut_wr(struct conn *c)
{
    REQUIRE_EQ(shutdown(c->fd, SHUT_WR), 0);
}

static void shutdown_by_the_child_is_for_all(struct conn *c)
{
    join_child(in_child(shut_wr, c));
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
    REQUIRE_ERRNO(send(c->fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    peer_do(c, op_write, 100);
    conn_read(c, 100);
}

static void killed_child_leaves_the_parent(struct conn *c)
{
    peer_start(c, op_write, 2 * MIB);
    pid_t pid = in_child(sleep_on, c);
    conn_read(c, 1 * MIB);
    REQUIRE_EQ(kill(pid, SIGKILL), 0);
    REQUIRE_EQ(waitpid(pid, NULL, 0), pid);
    conn_read(c, 1 * MIB);
    peer_finish(c);
    conn_warm(c);
}

static void killed_reader_leaves_the_parent(struct conn *c)
{
    // The child sleeps in a read of an empty stream when it dies; the next byte is the parent's.
    pid_t pid = in_child(read_mib, c);
    sleep_ms(60);
    REQUIRE_EQ(kill(pid, SIGKILL), 0);
    REQUIRE_EQ(waitpid(pid, NULL, 0), pid);
    conn_warm(c);
}

static void talk_and_leave(struct conn *c)
{
    if (fork() == 0) {
        peer_start(c, op_echo, 6400);
        talk(c);
        peer_finish(c);
    }
}

// daemon(3): the grandchild goes on, its parent is gone.
static void daemon_goes_on(struct conn *c)
{
    char byte;
    int gone[2];
    REQUIRE_EQ(pipe(gone), 0);
    pid_t pid = in_child(talk_and_leave, c);
    join_child(pid);
    close(gone[1]);
    REQUIRE(read(gone[0], &byte, 1) == 0); // ends when the grandchild has left
    moved(c, 6400, 6400);
    conn_warm(c);
}

static void *fork_and_talk(void *arg)
{
    struct conn copy = *(struct conn *)arg;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            close(copy.fd);
            _exit(0);
        }
        join_child(pid);
    }
    return NULL;
}

static void forks_while_another_thread_transfers(struct conn *c)
{
    pthread_t thread;
    peer_start(c, op_echo, 64 * 3000);
    REQUIRE_EQ(pthread_create(&thread, NULL, fork_and_talk, c), 0);
    for (int i = 0; i < 3000; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
    peer_finish(c);
}

static void vfork_and_spawn(struct conn *c)
{
    const char *argv[] = {"true", NULL};
    pid_t pid;
    for (int i = 0; i < 5; i++) {
        REQUIRE_EQ(posix_spawn(&pid, "/bin/true", NULL, NULL, (char **)argv, environ), 0);
        join_child(pid);
        pid = vfork();
        if (pid == 0) {
            execv("/bin/true", (char *const *)argv);
            _exit(127);
        }
        join_child(pid);
        REQUIRE_EQ(system("exit 3"), 3 << 8);
        conn_warm(c);
    }
}

static void many_generations(struct conn *c)
{
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid > 0) {
            int status;
            REQUIRE_EQ(waitpid(pid, &status, 0), pid);
            REQUIRE_EQ(status, 0);
            if (i > 0)
                _exit(0);
            moved(c, 640, 640);
            conn_warm(c);
            return;
        }
    }
    peer_start(c, op_echo, 640);
    for (int i = 0; i < 10; i++) {
        conn_write(c, 64);
        conn_read(c, 64);
    }
    peer_finish(c);
    _exit(0);
}

// The usual fork-a-connection server: the parent accepts and closes, the child serves.
static void fork_a_connection(struct conn *unused)
{
    struct sockaddr_in addr;
    int listener = sock_listen(&addr);
    pid_t server = fork();
    if (server == 0) {
        signal(SIGCHLD, SIG_IGN);
        for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
            char buf[64];
            if (fork() > 0)
                continue;
            for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0;)
                REQUIRE_EQ(write(fd, buf, (size_t)n), n);
            _exit(0);
        }
    }
    for (int i = 0; i < 20; i++) {
        char buf[64] = {0}, back[64];
        int fd = sock_connect(&addr);
        for (int j = 0; j < 100; j++) {
            buf[3] = (char)j;
            REQUIRE_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
            REQUIRE_EQ(recv(fd, back, sizeof(back), MSG_WAITALL), sizeof(back));
            REQUIRE(memcmp(buf, back, sizeof(buf)) == 0);
        }
        REQUIRE_EQ(shutdown(fd, SHUT_WR), 0);
        REQUIRE_EQ(read(fd, back, 1), 0);
        close(fd);
    }
    REQUIRE_EQ(kill(server, SIGKILL), 0);
    REQUIRE_EQ(waitpid(server, NULL, 0), server);
}

// The child is made before the switch and uses its copy after the parent has brought it about.
static void forked_before_the_switch(struct conn *c)
{
    int go[2];
    REQUIRE_EQ(pipe(go), 0);
    struct conn *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        REQUIRE_EQ(read(go[0], &(char){0}, 1), 1);
        talk(shared);
        _exit(0);
    }
    for (int i = 0; i < 10; i++) {
        peer_start(c, op_echo, 6400);
        talk(c);
        peer_finish(c);
        sleep_ms(5);
    }
    *shared = *c;
    peer_start(c, op_echo, 6400);
    REQUIRE_EQ(write(go[1], "x", 1), 1);
    join_child(pid);
    peer_finish(c);
    moved(c, 6400, 6400);
    conn_warm(c);
}

static const struct sock_case cases[] = {
    CASE(child_talks_parent_waits),
    CASE(parent_talks_on),
    CASE(child_takes_over),
    CASE(in_turn),
    CASE(ping_pong_between_processes),
    CASE(child_reads_what_was_there),
    CASE(fork_in_the_middle_of_bulk),
    CASE(half_and_half),
    CASE(eof_only_when_all_have_closed),
    CASE(shutdown_by_the_child_is_for_all),
    CASE(killed_child_leaves_the_parent),
    CASE(killed_reader_leaves_the_parent),
    CASE(daemon_goes_on),
    CASE(forks_while_another_thread_transfers, .flags = SOCK_NO_THREAD),
    CASE(vfork_and_spawn),
    CASE(many_generations),
    CASE(fork_a_connection, .flags = SOCK_BARE),
    CASE(forked_before_the_switch, .flags = SOCK_COLD),
};
SOCK_TOPIC(fork);
