// SPDX-License-Identifier: BSD-2-Clause
// The TCP engine's cost a segment, and lwIP's on the same exchange, in turn, round after round:
//   tests/bench/tcp_bench [rounds]
// Prints one JSON line a case: medians with minimum and maximum in ns, and the median in ticks of
// the time stamp counter. `--once CASE` runs one case by itself and prints how many units it was,
// for a profiler that counts instructions (./dev bench tcp/instructions does that).
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
#define TRIPS      20000u
#define LIVES      200
#define ONCE       5000 // units of a case that is run by itself

static double tick_ns; // what a tick takes

static void measure_tick(void)
{
    uint64_t start_ns = clock_now_ns(), start = bench_ticks(), ns;

    do
        ns = clock_now_ns() - start_ns;
    while (ns < 20 * NS_PER_MS);
    tick_ns = (double)ns / (double)(bench_ticks() - start);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_spread(const char *name, double *v, int n)
{
    qsort(v, n, sizeof *v, by_value);
    printf("\"%s\": {\"median\": %.4g, \"min\": %.4g, \"max\": %.4g", name, v[n / 2], v[0],
           v[n - 1]);
}

static void print_ns(const char *name, double *v, int n)
{
    print_spread(name, v, n);
    printf(", \"cycles\": %.4g}", v[n / 2] / tick_ns);
}

static void print_ratio(const char *name, double *v, int n)
{
    print_spread(name, v, n);
    printf("}");
}

// What one engine does in one round of one case; returns ns a unit.
typedef double bench_case(const struct tcp_engine *e);

static double since(uint64_t start)
{
    return (double)(bench_ticks() - start) * tick_ns;
}

static double time_bulk(const struct tcp_engine *e)
{
    uint64_t start = bench_ticks();
    double ns;

    e->bulk(BULK);
    ns = since(start);
    e->flush();
    return ns / ((double)BULK / SEGMENT);
}

static double time_trips(const struct tcp_engine *e)
{
    uint64_t start = bench_ticks();
    double ns;

    e->round_trips(TRIPS);
    ns = since(start);
    e->flush();
    return ns / TRIPS;
}

static double time_lives(const struct tcp_engine *e)
{
    uint64_t start = bench_ticks();
    double ns;

    e->lives(LIVES);
    ns = since(start);
    e->flush();
    return ns / LIVES;
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
    uint64_t start = bench_ticks();

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
    return since(start) / ((double)BULK / SEGMENT);
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
    print_ns("shunt", own, rounds);
    if (other) {
        printf(", ");
        print_ns(other->name, theirs, rounds);
        printf(", ");
        print_ratio(floor ? "ratio_beyond_copies" : "ratio", ratio, rounds);
    }
    if (floor) {
        printf(", ");
        print_ns("copies", copies, rounds);
    }
    printf("}\n");
}

// Bulk again, each end by itself.
static void parts(int rounds)
{
    double send[ROUNDS_MAX], receive[ROUNDS_MAX];
    struct bench_parts ticks;
    struct bench_pair pair;

    for (int i = 0; i < rounds; i++) {
        bench_shunt_start(0, CSUM_FULL, 64);
        bench_shunt_open(&pair);
        bench_shunt_bulk_parts(&pair, BULK, &ticks);
        send[i] = (double)ticks.send * tick_ns / ((double)BULK / SEGMENT);
        receive[i] = (double)ticks.receive * tick_ns / ((double)BULK / SEGMENT);
    }
    printf("{\"case\": \"bulk_segment_each_end\", \"unit\": \"ns\", ");
    print_ns("send", send, rounds);
    printf(", ");
    print_ns("receive_in_order", receive, rounds);
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
    print_ns("per_64_kib", v, rounds);
    printf(", ");
    print_ns("per_1460_without_checksum", plain, rounds);
    printf("}\n");
}

#define FLIGHT 1000

// By itself, for a profiler.
__attribute__((noinline)) void bench_sack_part(struct tcp_ctx *ctx, struct tcp_conn *c,
                                               uint64_t now_ns, const struct segment *seg);

void bench_sack_part(struct tcp_ctx *ctx, struct tcp_conn *c, uint64_t now_ns,
                     const struct segment *seg)
{
    tcp_conn_input(ctx, c, now_ns, seg, NULL);
}

// A thousand segments in flight, every tenth reported, and ACKs that report one more each.
static double time_sacks(void)
{
    struct tcp_ctx *ctx = bench_shunt_ctx(0);
    struct bench_pair pair;
    struct segment seg = {.flags = SEG_ACK, .window = 65535, .opts = SEG_OPT_SACK};
    struct tcp_conn *c;
    uint64_t now_ns, start;
    double ns = 0;

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
        start = bench_ticks();
        bench_sack_part(ctx, c, now_ns, &seg);
        ns += since(start);
    }
    return ns / (FLIGHT / 10);
}

static void sacks(int rounds)
{
    double v[ROUNDS_MAX];

    for (int i = 0; i < rounds; i++) {
        bench_shunt_start(0, CSUM_NONE, 64);
        v[i] = time_sacks();
    }
    printf("{\"case\": \"acks_1000_in_flight_10_percent_sacked\", \"unit\": \"ns\", ");
    print_ns("shunt", v, rounds);
    printf("}\n");
}

// By itself, for a profiler.
__attribute__((noinline)) void bench_ping_part(struct bench_pair *pairs, uint32_t n,
                                               uint32_t trips);

void bench_ping_part(struct bench_pair *pairs, uint32_t n, uint32_t trips)
{
    for (uint32_t i = 0; i < trips; i++)
        bench_shunt_ping(&pairs[(uint64_t)i * 7919 % n]);
}

// Round trips over n connections in turn. All are in their steady state: timers armed, and past the
// first segments, which are acknowledged at once.
static double time_many(uint32_t n, uint32_t trips)
{
    struct bench_pair *pairs = calloc(n, sizeof *pairs);
    uint64_t start;
    double ns;

    bench_shunt_start(0, CSUM_NONE, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        bench_shunt_open(&pairs[i]);
        for (int end = 0; end < 2; end++)
            tcp_set(bench_shunt_ctx(end), bench_shunt_now(), pairs[i].conn[end], TCP_SET_QUICKACK,
                    0);
        bench_shunt_ping(&pairs[i]);
        bench_shunt_ping(&pairs[i]);
    }
    start = bench_ticks();
    bench_ping_part(pairs, n, trips);
    ns = since(start);
    free(pairs);
    return ns / trips;
}

// What grows with the number is what the caches lose: the count of instructions does not.
static void curve(void)
{
    static const uint32_t counts[] = {1, 10, 100, 1000, 10000, 100000};

    printf("{\"case\": \"round_trip_by_connections\", \"unit\": \"ns\"");
    for (size_t k = 0; k < ARRAY_LEN(counts); k++)
        printf(", \"%u\": %.4g", counts[k], time_many(counts[k], MAX(counts[k], TRIPS)));
    printf("}\n");
}

static const struct tcp_engine *load_lwip(void)
{
    void *module = dlopen(BENCH_LWIP, RTLD_NOW | RTLD_LOCAL);

    if (!module)
        fprintf(stderr, "no lwIP to compare with: %s\n", dlerror());
    return module ? dlsym(module, "bench_engine") : NULL;
}

// One case by itself; prints the number of units.
static int run_once(const char *name, const struct tcp_engine *e)
{
    struct bench_parts ticks;
    struct bench_pair pair;
    uint64_t units = ONCE;

    bench_shunt_start(0, CSUM_FULL, 1024);
    if (!strcmp(name, "bulk")) {
        e->bulk(units * SEGMENT);
    } else if (!strcmp(name, "parts")) {
        bench_shunt_open(&pair);
        bench_shunt_bulk_parts(&pair, units * SEGMENT, &ticks);
    } else if (!strcmp(name, "trips")) {
        e->round_trips(units);
    } else if (!strcmp(name, "lives")) {
        units = LIVES;
        e->lives(units);
    } else if (!strcmp(name, "sacks")) {
        units = FLIGHT / 10;
        time_sacks();
    } else if (atoi(name) > 0) {
        time_many((uint32_t)atoi(name), units);
    } else {
        return 2;
    }
    printf("%u\n", (unsigned)units);
    return 0;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 5;
    const struct tcp_engine *lwip = load_lwip();

    if (argc > 3 && !strcmp(argv[1], "--once"))
        return lwip ? run_once(argv[2], lwip) : 1;
    if (argc > 2 && !strcmp(argv[1], "--once"))
        return run_once(argv[2], &bench_shunt);
    measure_tick();
    rounds = MIN(MAX(rounds, 1), ROUNDS_MAX);
    compare("bulk_segment_both_ends", time_bulk, lwip, rounds, true);
    compare("round_trip_64", time_trips, lwip, rounds, false);
    compare("connection_life", time_lives, lwip, rounds, false);
    parts(rounds);
    super_frames(rounds);
    sacks(rounds);
    curve();
    return 0;
}
