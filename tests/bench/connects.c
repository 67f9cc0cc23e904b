// SPDX-License-Identifier: BSD-2-Clause
// Connections a second, one after the other: connect, a message there and back, close.
// Prints one JSON line.
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "load.h"

static void serve(const struct load *load, int listener)
{
    char *buffer = malloc(load->size_bytes);

    for (;;) {
        struct side side = {.fd = accept(listener, NULL, NULL), .epoll_fd = -1, .wait = load->wait};

        if (side.fd < 0)
            load_die("accept");
        while (side_recv(&side, buffer, load->size_bytes))
            side_send(&side, buffer, load->size_bytes);
        close(side.fd);
    }
}

static void one_connection(const struct load *load, const struct sockaddr_storage *address,
                           socklen_t size, char *buffer)
{
    struct side side = {
        .fd = socket(address->ss_family, SOCK_STREAM, 0), .epoll_fd = -1, .wait = load->wait};

    if (side.fd < 0 || connect(side.fd, (const struct sockaddr *)address, size))
        load_die("connect");
    side_send(&side, buffer, load->size_bytes);
    errno = 0;
    if (!side_recv(&side, buffer, load->size_bytes))
        load_die("the server closed");
    close(side.fd);
}

static void measure(const struct load *load, int pipe_fd)
{
    struct sockaddr_storage address;
    socklen_t size = load_server_address(pipe_fd, &address);
    char *buffer = calloc(1, load->size_bytes);
    uint64_t begin = clock_now_ns(), start = 0, now, count = 0;

    do {
        one_connection(load, &address, size, buffer);
        now = clock_now_ns();
        if (start)
            count++;
        else if (now - begin >= load->warmup_ns)
            start = now;
    } while (!start || now - start < load->duration_ns);
    printf("{\"connections\": %lu, \"connections_per_s\": %.4f}\n", count,
           (double)count * NS_PER_S / (now - start));
    free(buffer);
}

int main(int argc, char **argv)
{
    struct load load = {.size_bytes = 64, .duration_ns = NS_PER_S, .cpu = {0, 1}};
    int pipe_fds[2];
    pid_t pid;

    load_parse(&load, argc, argv);
    load.wait = WAIT_BLOCK;
    pid = load_fork_server(&load, pipe_fds);
    if (!pid)
        serve(&load, load_listen(&load, pipe_fds[1]));
    measure(&load, pipe_fds[0]);
    if (load.role == ROLE_BOTH)
        kill(pid, SIGTERM); // it serves for ever
    load_join_server(pid);
    return 0;
}
