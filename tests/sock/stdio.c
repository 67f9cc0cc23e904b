// SPDX-License-Identifier: BSD-2-Clause
// FILE streams and dprintf(3) on a socket: libc's own calls, which never pass through read and
// write.
#include "common/sock.h"

#include <stdio.h>
#include <stdlib.h>

static void fwrite_and_fread(struct conn *c)
{
    char buf[5000];
    FILE *f = fdopen(dup(c->fd), "r+");
    REQUIRE(f != NULL);
    conn_next(c, buf, sizeof(buf));
    REQUIRE_EQ(fwrite(buf, 1, sizeof(buf), f), sizeof(buf));
    REQUIRE_EQ(fflush(f), 0);
    c->tx += sizeof(buf);
    peer_do(c, op_read, sizeof(buf));
    peer_do(c, op_write, sizeof(buf));
    REQUIRE_EQ(fread(buf, 1, sizeof(buf), f), sizeof(buf));
    conn_check(c, buf, sizeof(buf));
    REQUIRE_EQ(fclose(f), 0);
    peer_start(c, op_echo, sizeof(buf));
    conn_write(c, sizeof(buf));
    conn_read(c, sizeof(buf));
    peer_finish(c);
}

static int64_t expect_text(struct conn *self, int64_t text)
{
    char buf[200];
    const char *want = (const char *)text;
    size_t n = strlen(want);
    REQUIRE_EQ(recv(self->fd, buf, n, MSG_WAITALL), n);
    REQUIRE(memcmp(buf, want, n) == 0);
    return 0;
}

static int64_t say_text(struct conn *self, int64_t text)
{
    size_t n = strlen((const char *)text);
    REQUIRE_EQ(send(self->fd, (const char *)text, n, 0), n);
    return 0;
}

static void dprintf_prints(struct conn *c)
{
    REQUIRE_EQ(dprintf(c->fd, "%d bottles of %s", 99, "beer"), 18);
    peer_do(c, expect_text, (int64_t) "99 bottles of beer");
}

static void getline_reads_lines(struct conn *c)
{
    char *line = NULL;
    size_t size = 0;
    FILE *f = fdopen(c->fd, "r");
    peer_do(c, say_text, (int64_t) "first line\nsecond\n");
    REQUIRE_EQ(getline(&line, &size, f), 11);
    REQUIRE_EQ(getline(&line, &size, f), 7);
    REQUIRE(strcmp(line, "second\n") == 0);
    peer_start_later(c, 60, say_text, (int64_t) "third\n");
    REQUIRE_EQ(getline(&line, &size, f), 6);
    peer_finish(c);
    peer_do(c, op_shutdown, SHUT_WR);
    REQUIRE_EQ(getline(&line, &size, f), -1);
    REQUIRE(feof(f) && !ferror(f));
}

static void line_buffered_and_unbuffered(struct conn *c)
{
    FILE *f = fdopen(c->fd, "w");
    REQUIRE_EQ(setvbuf(f, NULL, _IOLBF, 0), 0);
    REQUIRE(fprintf(f, "line %d\n", 1) > 0);
    peer_do(c, expect_text, (int64_t) "line 1\n");
    REQUIRE_EQ(setvbuf(f, NULL, _IONBF, 0), 0);
    REQUIRE(fputs("x", f) >= 0);
    peer_do(c, expect_text, (int64_t) "x");
}

static void fclose_closes_the_socket(struct conn *c)
{
    FILE *f = fdopen(c->fd, "w");
    REQUIRE(fputs("last words", f) >= 0);
    REQUIRE_EQ(fclose(f), 0);
    REQUIRE_ERRNO(close(c->fd), EBADF);
    c->fd = -1;
    peer_do(c, expect_text, (int64_t) "last words");
    REQUIRE_EQ(peer_do(c, op_drain, 0), 0);
}

// A program that writes by stdio and by write(2), flushing between: the order is the program's.
static void stdio_between_writes(struct conn *c)
{
    char buf[50];
    FILE *f = fdopen(dup(c->fd), "w");
    peer_start(c, op_read, 100 * 200);
    for (int i = 0; i < 200; i++) {
        conn_next(c, buf, 50);
        REQUIRE_EQ(fwrite(buf, 1, 50, f), 50);
        REQUIRE_EQ(fflush(f), 0);
        c->tx += 50;
        conn_write(c, 50);
    }
    peer_finish(c);
    fclose(f);
}

static void bulk_by_stdio(struct conn *c)
{
    char buf[3000];
    FILE *f = fdopen(dup(c->fd), "r+");
    peer_start(c, op_echo, 1200 * 1000);
    for (int i = 0; i < 400; i++) {
        conn_next(c, buf, sizeof(buf));
        REQUIRE_EQ(fwrite(buf, 1, sizeof(buf), f), sizeof(buf));
        REQUIRE_EQ(fflush(f), 0);
        c->tx += sizeof(buf);
        REQUIRE_EQ(fread(buf, 1, sizeof(buf), f), sizeof(buf));
        conn_check(c, buf, sizeof(buf));
    }
    peer_finish(c);
    fclose(f);
}

static void stdout_is_the_socket(struct conn *c)
{
    int out = dup(1);
    fflush(stdout);
    REQUIRE_EQ(dup2(c->fd, 1), 1);
    printf("hello %s\n", "stdout");
    REQUIRE_EQ(fflush(stdout), 0);
    puts("again");
    REQUIRE_EQ(fflush(stdout), 0);
    REQUIRE_EQ(dup2(out, 1), 1);
    peer_do(c, expect_text, (int64_t) "hello stdout\nagain\n");
}

static void cold_stdio_only(struct conn *c)
{
    char buf[64];
    FILE *f = fdopen(dup(c->fd), "r+");
    peer_start(c, op_echo, 64 * 500);
    for (int i = 0; i < 500; i++) {
        conn_next(c, buf, sizeof(buf));
        REQUIRE_EQ(fwrite(buf, 1, sizeof(buf), f), sizeof(buf));
        REQUIRE_EQ(fflush(f), 0);
        c->tx += sizeof(buf);
        REQUIRE_EQ(fread(buf, 1, sizeof(buf), f), sizeof(buf));
        conn_check(c, buf, sizeof(buf));
    }
    peer_finish(c);
    fclose(f);
}

static const struct sock_case cases[] = {
    CASE(fwrite_and_fread),
    CASE(dprintf_prints),
    CASE(getline_reads_lines),
    CASE(line_buffered_and_unbuffered),
    CASE(fclose_closes_the_socket),
    CASE(stdio_between_writes),
    CASE(bulk_by_stdio),
    CASE(stdout_is_the_socket),
    CASE(cold_stdio_only, .flags = SOCK_COLD),
};
SOCK_TOPIC(stdio);
