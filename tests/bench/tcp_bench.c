// SPDX-License-Identifier: BSD-2-Clause
// The TCP engine's cost a segment, and lwIP's on the same exchange, in turn, round after round:
//   tests/bench/tcp_bench [rounds]
// Prints one JSON line a case: medians with minimum and maximum. For the count of instructions run
// `valgrind --tool=callgrind tests/bench/tcp_bench --once CASE`.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "tcp/ack.h"
#include "tcp_shunt.h"

#define ROUNDS_MAX 25
#define SEGMENT    1460
#define WRITE      65536
#define BULK       (UINT64_C(32) << 20)
#define TRIPS      20000
#define LIVES      200

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_spread(const char *name, double *v, int n)
{
    qsort(v, n, sizeof *v, by_value);
    printf("\"%s\": {\"median\": %.4g, \"min\": %.4g, \"max\": %.4g}", name, v[n / 2], v[0],
           v[n - 1]);
}

// What one engine does in one round of one case; returns ns a unit.
typedef double bench_case(const struct tcp_engine *e);

static double time_bulk(const struct tcp_engine *e)
{
    uint64_t start = clock_now_ns(), ns;

    e->bulk(BULK);
    ns = clock_now_ns() - start;
    e->flush();
    return (double)ns / ((double)BULK / SEGMENT);
}

static double time_trips(const struct tcp_engine *e)
{
    uint64_t start = clock_now_ns(), ns;

    e->round_trips(TRIPS);
    ns = clock_now_ns() - start;
    e->flush();
    return (double)ns / TRIPS;
}

static double time_lives(const struct tcp_engine *e)
{
    uint64_t start = clock_now_ns(), ns;

    e->lives(LIVES);
    ns = clock_now_ns() - start;
    e->flush();
    return (double)ns / LIVES;
}

// What a copy has written is to be there, whoever looks.
static void copy(void *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    __asm__ volatile("" : : "r"(to) : "memory");
}

// The floor of a bulk segment: written into the send ring and read out of the receive ring by 64
// KiB, into the frame and out of it one by one.
static double time_copies(void)
{
    static uint8_t program[WRITE], frame[2048], tx[BENCH_RING], rx[BENCH_RING];
    uint64_t start = clock_now_ns();

    for (uint64_t i = 0; i < BULK / WRITE; i++) {
        size_t at = i * WRITE % BENCH_RING;

        copy(tx + at, program, WRITE);
        for (size_t from = at; from < at + WRITE; from += SEGMENT) {
            size_t len = MIN((size_t)SEGMENT, at + WRITE - from);

            copy(frame, tx + from, len);
            copy(rx + from, frame, len);
        }
        copy(program, rx + at, WRITE);
    }
    return (double)(clock_now_ns() - start) / ((double)BULK / SEGMENT);
}

static void compare(const char *name, bench_case *run, const struct tcp_engine *other, int rounds,
                    bool floor)
{
    double own[ROUNDS_MAX], theirs[ROUNDS_MAX], ratio[ROUNDS_MAX], copies[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++) {
        bench_shunt_start(0, CSUM_FULL, 1024);
        own[i] = run(&bench_shunt);
        theirs[i] = other ? run(other) : 0;
        copies[i] = floor ? time_copies() : 0;
        ratio[i] = other ? (own[i] - copies[i]) / (theirs[i] - copies[i]) : 0;
    }
    printf("{\"case\": \"%s\", \"unit\": \"ns\", ", name);
    print_spread("shunt", own, rounds);
    if (other) {
        printf(", ");
        print_spread(other->name, theirs, rounds);
        printf(", ");
        print_spread(floor ? "ratio_beyond_copies" : "ratio", ratio, rounds);
    }
    if (floor) {
        printf(", ");
        print_spread("copies", copies, rounds);
    }
    printf("}\n");
}

static void super_frames(int rounds)
{
    double v[ROUNDS_MAX], plain[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++) {
        bench_shunt_start(65535, CSUM_NONE, 64);
        v[i] = time_bulk(&bench_shunt) / SEGMENT * 65536;
        bench_shunt_start(0, CSUM_NONE, 64);
        plain[i] = time_bulk(&bench_shunt);
    }
    printf("{\"case\": \"super_frames\", \"unit\": \"ns\", ");
    print_spread("per_64_kib", v, rounds);
    printf(", ");
    print_spread("per_1460_without_checksum", plain, rounds);
    printf("}\n");
}

#define FLIGHT 1000

// A thousand segments in flight, every tenth reported, and ACKs that report one more each.
static double time_sacks(void)
{
    struct tcp_ctx *ctx = bench_shunt_ctx(0);
    struct bench_pair pair;
    struct segment seg = {.flags = SEG_ACK, .window = 65535, .opts = SEG_OPT_SACK};
    struct tcp_conn *c;
    uint64_t now_ns, start, ns = 0;

    bench_shunt_open(&pair);
    c = pair.conn[0];
    now_ns = bench_shunt_now();
    seg.seq = c->rcv_nxt;
    seg.ack = c->snd_una;
    for (int i = 0; i < FLIGHT; i++) {
        span_push(ctx, c, now_ns + i * 1000, c->snd_nxt, c->snd_nxt + SEGMENT, 0);
        c->snd_nxt += SEGMENT;
    }
    now_ns += NS_PER_MS * 10;
    for (int i = 1; i < FLIGHT; i += 10) {
        int n = 0;

        for (int k = i; k > 0 && n < 4; k -= 10, n++) {
            seg.sack[n].start = c->snd_una + k * SEGMENT;
            seg.sack[n].end = seg.sack[n].start + SEGMENT;
        }
        seg.sack_count = n;
        now_ns += 10000;
        start = clock_now_ns();
        tcp_conn_input(ctx, c, now_ns, &seg, NULL);
        ns += clock_now_ns() - start;
    }
    return (double)ns / (FLIGHT / 10);
}

static void sacks(int rounds)
{
    double v[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++) {
        bench_shunt_start(0, CSUM_NONE, 64);
        v[i] = time_sacks();
    }
    printf("{\"case\": \"acks_1000_in_flight_10_percent_sacked\", \"unit\": \"ns\", ");
    print_spread("shunt", v, rounds);
    printf("}\n");
}

// Round trips over n connections in turn: what grows is what the caches lose.
static void curve(void)
{
    static const uint32_t counts[] = {1, 10, 100, 1000, 10000, 100000};

    printf("{\"case\": \"round_trip_by_connections\", \"unit\": \"ns\"");
    for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
        uint32_t n = counts[k], trips = MAX(n, 20000u);
        struct bench_pair *pairs = calloc(n, sizeof *pairs);
        uint64_t start;

        bench_shunt_start(0, CSUM_NONE, n + 1);
        for (uint32_t i = 0; i < n; i++)
            bench_shunt_open(&pairs[i]);
        start = clock_now_ns();
        for (uint32_t i = 0; i < trips; i++)
            bench_shunt_ping(&pairs[(uint64_t)i * 7919 % n]);
        printf(", \"%u\": %.4g", n, (double)(clock_now_ns() - start) / trips);
        free(pairs);
    }
    printf("}\n");
}

static const struct tcp_engine *load_lwip(void)
{
    void *module = dlopen(BENCH_LWIP, RTLD_NOW | RTLD_LOCAL);

    if (!module)
        fprintf(stderr, "no lwIP to compare with: %s\n", dlerror());
    return module ? dlsym(module, "bench_engine") : NULL;
}

static int run_once(const char *name)
{
    bench_shunt_start(0, CSUM_FULL, 1024);
    if (!strcmp(name, "bulk"))
        bench_shunt.bulk(BULK);
    else if (!strcmp(name, "trips"))
        bench_shunt.round_trips(TRIPS);
    else if (!strcmp(name, "lives"))
        bench_shunt.lives(LIVES);
    else
        return 2;
    return 0;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 5;
    const struct tcp_engine *lwip;

    if (argc > 2 && !strcmp(argv[1], "--once"))
        return run_once(argv[2]);
    rounds = MIN(MAX(rounds, 1), ROUNDS_MAX);
    lwip = load_lwip();
    compare("bulk_segment_both_ends", time_bulk, lwip, rounds, true);
    compare("round_trip_64", time_trips, lwip, rounds, false);
    compare("connection_life", time_lives, lwip, rounds, false);
    super_frames(rounds);
    sacks(rounds);
    curve();
    return 0;
}
