// SPDX-License-Identifier: BSD-2-Clause
// A script's calls: from their written form to the stack's functions.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "constants.h"
#include "run.h"

#define PORT     8080
#define BUF_MAX  (1 << 22)
#define POLL_MAX 8

static uint8_t buf[BUF_MAX];

static int64_t number_at(struct run *r, const struct event *e, int i)
{
    const struct arg *a = &e->call.args[i];
    int64_t value = 0;

    if (i >= e->call.arg_count) {
        run_fail(r, e, "%s() lacks an argument", e->call.name);
        return 0;
    }
    if (a->kind == ARG_NUMBER)
        return a->number;
    if (a->kind != ARG_WORD || !constant_value(a->text, &value))
        run_fail(r, e, "argument %d of %s() is not known: '%s'", i + 1, e->call.name, a->text);
    return value;
}

int64_t call_wanted(struct run *r, const struct event *e)
{
    int64_t err;

    if (!*e->call.error)
        return e->call.result;
    if (!constant_value(e->call.error, &err))
        run_fail(r, e, "unknown error '%s'", e->call.error);
    return -err;
}

// This host's address (any), or the peer's, with the port of the server.
static socklen_t address(const struct run *r, bool remote, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};

    inet_pton(AF_INET, remote ? "192.0.2.1" : "192.168.0.1", &v4.sin_addr);
    inet_pton(AF_INET6, remote ? "2001:db8::1" : "fd3d:fa7b:d17d::1", &v6.sin6_addr);
    memcpy(out, r->ipv6 ? (void *)&v6 : (void *)&v4, r->ipv6 ? sizeof(v6) : sizeof(v4));
    return r->ipv6 ? sizeof(v6) : sizeof(v4);
}

static void begin_streams(struct run *r, int fd)
{
    if (fd >= 0)
        r->stream[fd % 64].rx = r->stream[fd % 64].tx = 0;
}

static int64_t do_socket(struct run *r, const struct event *e, int fd)
{
    int type = (int)number_at(r, e, 1);

    r->fd = stack_socket(r->stack, r->ipv6 ? AF_INET6 : AF_INET, type, IPPROTO_TCP);
    begin_streams(r, r->fd);
    return r->fd;
}

static int64_t do_bind(struct run *r, const struct event *e, int fd)
{
    struct sockaddr_storage a;
    socklen_t len = address(r, false, &a);

    return stack_bind(r->stack, fd, (struct sockaddr *)&a, len);
}

static int64_t do_listen(struct run *r, const struct event *e, int fd)
{
    return stack_listen(r->stack, fd, (int)number_at(r, e, 1));
}

static int64_t do_accept(struct run *r, const struct event *e, int fd)
{
    int got = stack_accept(r->stack, fd, NULL, NULL);

    if (got < 0)
        return got;
    begin_streams(r, got);
    r->fd = got;
    return got;
}

static int64_t do_connect(struct run *r, const struct event *e, int fd)
{
    struct sockaddr_storage a;
    socklen_t len = address(r, true, &a);

    return stack_connect(r->stack, fd, (struct sockaddr *)&a, len);
}

// The bytes of the stream of fd from the place where it is now.
static size_t fill(struct run *r, const struct event *e, int fd)
{
    size_t len = MIN((size_t)number_at(r, e, 2), (size_t)BUF_MAX);

    for (size_t i = 0; i < len; i++)
        buf[i] = flow_byte(false, r->stream[fd % 64].tx + 1 + (uint32_t)i);
    return len;
}

static int64_t sent(struct run *r, int fd, int64_t n)
{
    if (n > 0)
        r->stream[fd % 64].tx += (uint32_t)n;
    return n;
}

static int64_t do_send(struct run *r, const struct event *e, int fd)
{
    size_t len = fill(r, e, fd);
    int flags = e->call.arg_count > 3 ? (int)number_at(r, e, 3) : 0;

    return sent(r, fd, stack_send(r->stack, fd, buf, len, flags));
}

static int64_t do_sendto(struct run *r, const struct event *e, int fd)
{
    struct sockaddr_storage a;
    socklen_t addr_len = address(r, true, &a);
    size_t len = fill(r, e, fd);
    int64_t n = stack_sendto(r->stack, fd, buf, len, (int)number_at(r, e, 3), (struct sockaddr *)&a,
                             addr_len);

    return sent(r, fd, n);
}

static int64_t do_recv(struct run *r, const struct event *e, int fd)
{
    size_t len = MIN((size_t)number_at(r, e, 2), (size_t)BUF_MAX);
    int flags = e->call.arg_count > 3 ? (int)number_at(r, e, 3) : 0;
    ptrdiff_t n = stack_recv(r->stack, fd, buf, len, flags);
    uint32_t *at = &r->stream[fd % 64].rx;

    if (flags)
        return n; // a look ahead, or an urgent byte: its place is not the stream's
    for (ptrdiff_t i = 0; i < n; i++)
        if (buf[i] != flow_byte(true, *at + 1 + (uint32_t)i)) {
            run_fail(r, e, "byte %u of the stream is not the one that came", *at + (uint32_t)i);
            break;
        }
    if (n > 0)
        *at += (uint32_t)n;
    return n;
}

static int64_t do_close(struct run *r, const struct event *e, int fd)
{
    return stack_close(r->stack, fd);
}

static int64_t do_shutdown(struct run *r, const struct event *e, int fd)
{
    return stack_shutdown(r->stack, fd, (int)number_at(r, e, 1));
}

static int64_t do_fcntl(struct run *r, const struct event *e, int fd)
{
    long arg = e->call.arg_count > 2 ? (long)number_at(r, e, 2) : 0;

    return stack_fcntl(r->stack, fd, (int)number_at(r, e, 1), arg);
}

// The comma-separated numbers or words of a list: the value that is handed over, and its length.
static int list_values(struct run *r, const struct event *e, const char *text, int out[4])
{
    char copy[SCRIPT_WORD_MAX], *save = NULL, *eq;
    int64_t value;
    int n = 0;

    memcpy(copy, text, sizeof(copy));
    for (char *w = strtok_r(copy, ", ", &save); w && n < 4; w = strtok_r(NULL, ", ", &save)) {
        eq = strchr(w, '='); // {onoff=1,linger=0}
        if (eq)
            w = eq + 1;
        if (!constant_value(w, &value)) {
            char *end;

            value = strtoll(w, &end, 0);
            if (end == w)
                run_fail(r, e, "unknown value '%s'", w);
        }
        out[n++] = (int)value;
    }
    return n;
}

static int64_t do_ioctl(struct run *r, const struct event *e, int fd)
{
    int want[4], value = 0;
    int64_t request = number_at(r, e, 1), err;

    list_values(r, e, e->call.args[2].text, want);
    value = want[0];
    err = stack_ioctl(r->stack, fd, (unsigned long)request, &value);
    if (!err && value != want[0])
        run_fail(r, e, "ioctl() gave %d, expected %d", value, want[0]);
    return err;
}

static int64_t do_setsockopt(struct run *r, const struct event *e, int fd)
{
    int values[4] = {0}, level = (int)number_at(r, e, 1), name = (int)number_at(r, e, 2), n;
    const struct arg *a = &e->call.args[3];

    if (a->kind == ARG_STRING)
        return stack_setsockopt(r->stack, fd, level, name, a->text, (socklen_t)strlen(a->text));
    n = list_values(r, e, a->text, values);
    return stack_setsockopt(r->stack, fd, level, name, values, (socklen_t)(n * sizeof(int)));
}

static int64_t do_getsockopt(struct run *r, const struct event *e, int fd)
{
    int want[4] = {0}, got = 0, level = (int)number_at(r, e, 1), name = (int)number_at(r, e, 2);
    socklen_t len = sizeof(got);
    int64_t err = stack_getsockopt(r->stack, fd, level, name, &got, &len);

    list_values(r, e, e->call.args[3].text, want);
    if (!err && got != want[0])
        run_fail(r, e, "getsockopt() gave %d, expected %d", got, want[0]);
    return err;
}

// Reads "{fd=4, events=POLLIN, revents=POLLIN}, ..." and compares the events that came.
static int64_t do_poll(struct run *r, const struct event *e, int unused)
{
    struct pollfd fds[POLL_MAX];
    char events[SCRIPT_WORD_MAX], revents[SCRIPT_WORD_MAX];
    int64_t wanted[POLL_MAX], value;
    int n = 0, ready, fd;

    for (const char *p = e->call.args[0].text; (p = strchr(p, '{')) && n < POLL_MAX; p++, n++) {
        if (sscanf(p, "{fd=%d, events=%63[^,], revents=%63[^}]}", &fd, events, revents) != 3)
            run_fail(r, e, "poll() is not understood: %s", p);
        constant_value(events, &value);
        fds[n] = (struct pollfd){.fd = fd, .events = (short)value};
        wanted[n] = 0;
        if (strcmp(revents, "0") && !constant_value(revents, &wanted[n]))
            run_fail(r, e, "unknown events '%s'", revents);
    }
    ready = stack_poll(r->stack, fds, (nfds_t)n);
    if (!ready && e->call.blocks)
        return -EAGAIN;
    for (int i = 0; i < n; i++)
        if (fds[i].revents != wanted[i])
            run_fail(r, e, "events of %d are 0x%x, expected 0x%llx", fds[i].fd,
                     (unsigned)fds[i].revents, (unsigned long long)wanted[i]);
    return ready;
}

static const struct {
    const char *name;
    int64_t (*make)(struct run *, const struct event *, int fd);
} calls[] = {
    {"socket", do_socket},
    {"bind", do_bind},
    {"listen", do_listen},
    {"accept", do_accept},
    {"connect", do_connect},
    {"read", do_recv},
    {"recv", do_recv},
    {"write", do_send},
    {"send", do_send},
    {"sendto", do_sendto},
    {"close", do_close},
    {"shutdown", do_shutdown},
    {"fcntl", do_fcntl},
    {"ioctl", do_ioctl},
    {"setsockopt", do_setsockopt},
    {"poll", do_poll},
    {"getsockopt", do_getsockopt},
};

int64_t call_make(struct run *r, const struct event *e)
{
    int fd = -1;

    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        if (strcmp(calls[i].name, e->call.name))
            continue;
        if (e->call.arg_count && e->call.args[0].kind == ARG_NUMBER) {
            fd = (int)e->call.args[0].number;
            if (stack_conn(r->stack, fd))
                r->fd = fd;
        }
        return calls[i].make(r, e, fd);
    }
    run_fail(r, e, "%s() is not known", e->call.name);
    return 0;
}
