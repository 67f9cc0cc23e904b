// SPDX-License-Identifier: BSD-2-Clause
// Bytes a second in one direction between two processes on their own cores, over TCP or a UNIX
// socket, in writes of one size. With --verify the sender numbers every eight bytes and the
// receiver checks them. Prints one JSON line.
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "load.h"

static void number(uint64_t *words, size_t count, uint64_t *next)
{
    for (size_t i = 0; i < count; i++)
        words[i] = (*next)++;
}

static void check(const uint64_t *words, size_t count, uint64_t *next)
{
    for (size_t i = 0; i < count; i++)
        if (words[i] != (*next)++) {
            errno = 0;
            load_die("stream: the bytes received are not the bytes sent");
        }
}

// Takes everything; the clock runs from the end of the warm-up to the last byte.
static void sink(const struct load *load, struct side *side)
{
    uint64_t *block = malloc(load->size_bytes), next = 0, bytes = 0, start = 0, now = 0;
    uint64_t begin = clock_now_ns();

    while (side_recv(side, block, load->size_bytes)) {
        if (load->verify)
            check(block, load->size_bytes / sizeof(*block), &next);
        now = clock_now_ns();
        if (start)
            bytes += load->size_bytes;
        else if (side_is_warm(load, side, begin))
            start = now;
    }
    if (now <= start || !start)
        load_die("stream: nothing to measure");
    printf("{\"path\": \"%s\", \"wait\": \"%s\", \"size\": %zu, \"verified\": %s, \"bytes\": %lu, "
           "\"gb_per_s\": %.4f}\n",
           load_path_name(load->path), load_wait_name(load->wait), load->size_bytes,
           load->verify ? "true" : "false", bytes, (double)bytes / (now - start));
    free(block);
}

static void source(const struct load *load, struct side *side)
{
    uint64_t *block = calloc(1, load->size_bytes), next = 0, begin = clock_now_ns(), start = 0;

    while (!start || clock_now_ns() - start < load->duration_ns) {
        if (!start && side_is_warm(load, side, begin))
            start = clock_now_ns();
        if (load->verify)
            number(block, load->size_bytes / sizeof(*block), &next);
        side_send(side, block, load->size_bytes);
    }
    shutdown(side->fd, SHUT_WR);
    free(block);
}

int main(int argc, char **argv)
{
    struct load load = {.size_bytes = 65536, .duration_ns = NS_PER_S, .cpu = {0, 1}};

    load_parse(&load, argc, argv);
    if (load.path == PATH_FLOOR || load.size_bytes % sizeof(uint64_t)) {
        errno = EINVAL;
        load_die("stream: --path tcp or unix, and a size that eight divides");
    }
    load.wait = WAIT_BLOCK;
    return load_run_pair(&load, sink, source);
}
