// SPDX-License-Identifier: BSD-2-Clause
// posix_spawn(3) with file actions: the child has the numbers that they say, the parent its own.
#include "common/sock.h"

#include <spawn.h>
#include <stdio.h>

extern char **environ;

#define CHILDS 9 // one that sh can name

static int status_of(pid_t pid)
{
    int status;
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

// Runs a line of sh with the actions, and ends them.
static int run(posix_spawn_file_actions_t *actions, const char *line)
{
    const char *argv[] = {"sh", "-c", line, NULL};
    pid_t pid;
    REQUIRE_EQ(posix_spawn(&pid, "/bin/sh", actions, NULL, (char **)argv, environ), 0);
    REQUIRE_EQ(posix_spawn_file_actions_destroy(actions), 0);
    return status_of(pid);
}

// The peer writes n bytes and gets them back from somebody who has its words only to echo.
static int64_t write_and_read_own(struct conn *self, int64_t n)
{
    struct conn back = {.fd = self->fd, .salt = !self->salt, .rx = self->tx};
    conn_write(self, (size_t)n);
    conn_read(&back, (size_t)n);
    return n;
}

static void echo_by(struct conn *c, posix_spawn_file_actions_t *actions, const char *line)
{
    peer_start(c, write_and_read_own, 100);
    REQUIRE_EQ(run(actions, line), 0);
    REQUIRE_EQ(peer_finish(c), 100);
    c->rx += 100;
}

static void both_go_on(struct conn *c)
{
    conn_write(c, 500);
    REQUIRE_EQ(peer_do(c, op_read, 500), 500);
    REQUIRE_EQ(peer_do(c, op_write, 500), 500);
    conn_read(c, 500);
}

static void dup2_to_another_number(struct conn *c)
{
    posix_spawn_file_actions_t actions;
    REQUIRE_EQ(posix_spawn_file_actions_init(&actions), 0);
    REQUIRE_EQ(posix_spawn_file_actions_adddup2(&actions, c->fd, CHILDS), 0);
    echo_by(c, &actions, "exec head -c 100 <&9 >&9");
    both_go_on(c);
}

static void dup2_to_stdin_and_stdout(struct conn *c)
{
    posix_spawn_file_actions_t actions;
    REQUIRE_EQ(posix_spawn_file_actions_init(&actions), 0);
    REQUIRE_EQ(posix_spawn_file_actions_adddup2(&actions, c->fd, 0), 0);
    REQUIRE_EQ(posix_spawn_file_actions_adddup2(&actions, 0, 1), 0);
    echo_by(c, &actions, "exec head -c 100");
    both_go_on(c);
}

// glibc: a double of itself only loses FD_CLOEXEC.
static void dup2_to_itself(struct conn *c)
{
    posix_spawn_file_actions_t actions;
    char line[64];
    REQUIRE_EQ(fcntl(c->fd, F_SETFD, FD_CLOEXEC), 0);
    REQUIRE_EQ(posix_spawn_file_actions_init(&actions), 0);
    REQUIRE_EQ(posix_spawn_file_actions_adddup2(&actions, c->fd, c->fd), 0);
    snprintf(line, sizeof(line), "exec head -c 100 <&%d >&%d", c->fd, c->fd);
    echo_by(c, &actions, line);
    REQUIRE_EQ(fcntl(c->fd, F_GETFD), FD_CLOEXEC);
    both_go_on(c);
}

// What the child closes or opens over is its own number: the parent's connection stays where it is.
static void close_is_the_childs(struct conn *c)
{
    posix_spawn_file_actions_t actions;
    char line[64];
    REQUIRE_EQ(posix_spawn_file_actions_init(&actions), 0);
    REQUIRE_EQ(posix_spawn_file_actions_addclose(&actions, c->fd), 0);
    snprintf(line, sizeof(line), "! test -e /proc/self/fd/%d", c->fd);
    REQUIRE_EQ(run(&actions, line), 0);
    both_go_on(c);
}

static void open_over_it_is_the_childs(struct conn *c)
{
    posix_spawn_file_actions_t actions;
    char line[64];
    REQUIRE_EQ(posix_spawn_file_actions_init(&actions), 0);
    REQUIRE_EQ(posix_spawn_file_actions_addopen(&actions, c->fd, "/dev/null", O_RDWR, 0), 0);
    snprintf(line, sizeof(line), "echo lost >&%d", c->fd);
    REQUIRE_EQ(run(&actions, line), 0);
    both_go_on(c);
}

static void dup2_over_it_is_the_childs(struct conn *c)
{
    posix_spawn_file_actions_t actions;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    char line[64];
    REQUIRE_EQ(posix_spawn_file_actions_init(&actions), 0);
    REQUIRE_EQ(posix_spawn_file_actions_adddup2(&actions, null, c->fd), 0);
    snprintf(line, sizeof(line), "echo lost >&%d", c->fd);
    REQUIRE_EQ(run(&actions, line), 0);
    close(null);
    both_go_on(c);
}

// Actions that no spawn ever uses change nothing.
static void actions_alone_do_nothing(struct conn *c)
{
    posix_spawn_file_actions_t actions;
    REQUIRE_EQ(posix_spawn_file_actions_init(&actions), 0);
    REQUIRE_EQ(posix_spawn_file_actions_adddup2(&actions, c->fd, CHILDS), 0);
    REQUIRE_EQ(posix_spawn_file_actions_destroy(&actions), 0);
    conn_warm(c);
}

// The child of a program under Shunt has a stream of which nobody has used a byte.
static void before_the_first_byte(struct conn *c)
{
    posix_spawn_file_actions_t actions;
    REQUIRE_EQ(posix_spawn_file_actions_init(&actions), 0);
    REQUIRE_EQ(posix_spawn_file_actions_adddup2(&actions, c->fd, CHILDS), 0);
    echo_by(c, &actions, "exec head -c 100 <&9 >&9");
    both_go_on(c);
}

static const struct sock_case cases[] = {
    CASE(dup2_to_another_number),
    CASE(dup2_to_stdin_and_stdout),
    CASE(dup2_to_itself),
    CASE(close_is_the_childs),
    CASE(open_over_it_is_the_childs),
    CASE(dup2_over_it_is_the_childs),
    CASE(actions_alone_do_nothing),
    CASE(before_the_first_byte, .flags = SOCK_COLD),
};
SOCK_TOPIC(spawn);
