// SPDX-License-Identifier: BSD-2-Clause
// The time of a message there and back between two processes on their own cores: over TCP, over a
// UNIX socket, or (floor) over two cache lines, below which nothing on this machine can go.
// Prints one JSON line.
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "load.h"

#define SAMPLES_MAX (UINT32_C(1) << 21)
#define FLOOR_END   UINT64_MAX

struct floor_line {
    _Alignas(64) _Atomic uint64_t turn;
};

static struct floor_line *lines; // [0] the client writes, [1] the server

static void echo_line(void)
{
    uint64_t turn = 0, seen;

    for (;;) {
        while ((seen = atomic_load_explicit(&lines[0].turn, memory_order_acquire)) == turn)
            clock_pause();
        if (seen == FLOOR_END)
            return;
        turn = seen;
        atomic_store_explicit(&lines[1].turn, turn, memory_order_release);
    }
}

static void echo(const struct load *load, struct side *side)
{
    char *buffer = malloc(load->size_bytes);

    if (load->path == PATH_FLOOR) {
        echo_line();
    } else {
        while (side_recv(side, buffer, load->size_bytes))
            side_send(side, buffer, load->size_bytes);
    }
    free(buffer);
}

static void round_trip(const struct load *load, struct side *side, char *buffer, uint64_t turn)
{
    if (load->path == PATH_FLOOR) {
        atomic_store_explicit(&lines[0].turn, turn, memory_order_release);
        while (atomic_load_explicit(&lines[1].turn, memory_order_acquire) != turn)
            clock_pause();
        return;
    }
    side_send(side, buffer, load->size_bytes);
    errno = 0;
    if (!side_recv(side, buffer, load->size_bytes))
        load_die("the server closed");
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void report(const struct load *load, uint32_t *samples, uint64_t turns, uint64_t ticks)
{
    uint64_t count = turns < SAMPLES_MAX ? turns : SAMPLES_MAX;
    double ticks_per_us = clock_ticks_of_ns(NS_PER_MS) / 1e3;

    qsort(samples, count, sizeof(*samples), by_value);
    printf("{\"path\": \"%s\", \"wait\": \"%s\", \"size\": %zu, \"round_trips\": %lu, "
           "\"mean_us\": %.4f, \"p50_us\": %.4f, \"p99_us\": %.4f}\n",
           load_path_name(load->path), load_wait_name(load->wait), load->size_bytes, turns,
           ticks / ticks_per_us / turns, samples[count / 2] / ticks_per_us,
           samples[count * 99 / 100] / ticks_per_us);
}

static void measure(const struct load *load, struct side *side)
{
    uint32_t *samples = malloc(SAMPLES_MAX * sizeof(*samples));
    char *buffer = calloc(1, load->size_bytes);
    uint64_t turn = 1, begin_ns = clock_now_ns(), first, start, last, now;

    memset(samples, 1, SAMPLES_MAX * sizeof(*samples)); // no page fault while it counts
    while (!side_is_warm(load, side, begin_ns))
        round_trip(load, side, buffer, turn++);
    first = turn;
    start = last = clock_ticks();
    do {
        round_trip(load, side, buffer, turn++);
        now = clock_ticks();
        if (turn - first <= SAMPLES_MAX)
            samples[turn - first - 1] = now - last;
        last = now;
    } while (now - start < clock_ticks_of_ns(load->duration_ns));
    if (load->path == PATH_FLOOR)
        atomic_store(&lines[0].turn, FLOOR_END);
    report(load, samples, turn - first, now - start);
    free(samples);
    free(buffer);
}

int main(int argc, char **argv)
{
    struct load load = {.size_bytes = 64, .duration_ns = NS_PER_S, .cpu = {0, 1}};

    load_parse(&load, argc, argv);
    lines =
        mmap(NULL, 2 * sizeof(*lines), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lines == MAP_FAILED)
        load_die("mmap");
    return load_run_pair(&load, echo, measure);
}
