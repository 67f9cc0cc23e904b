// SPDX-License-Identifier: BSD-2-Clause
// Random lives of connections over random links:
//   random_runs [COUNT [FIRST_SEED]]
// Each run opens some connections, transfers, half-closes, closes or aborts them, and must end with
// both sides closed, every byte right, nothing leaked and no timer left. A run is told by its seed:
// `random_runs 1 SEED` repeats it.
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "sim.h"

#define DEFAULT_COUNT 10000
#define BATCH         500 // runs to a line of TAP
#define CONNS_MAX     4
#define LIFE_MAX_NS   (40000 * NS_PER_S)

static uint64_t pick(struct rng *r, const uint64_t *from, size_t count)
{
    return from[rng_below(r, count)];
}

#define PICK(r, ...)                                                                               \
    pick(r, (const uint64_t[]){__VA_ARGS__}, ARRAY_LEN(((uint64_t[]){__VA_ARGS__})))

static void random_link(struct rng *r, struct link_config *l)
{
    l->delay_ns = PICK(r, 10 * NS_PER_US, NS_PER_MS, 10 * NS_PER_MS, 50 * NS_PER_MS);
    l->rate = PICK(r, 0, 0, 100000, 1000000, 12500000);
    l->queue_bytes = (uint32_t)PICK(r, 0, 5000, 20000, 100000);
    l->mark_bytes = (uint32_t)PICK(r, 0, 3000, 15000);
    l->loss_ppm = (uint32_t)PICK(r, 0, 0, 1000, 10000, 50000, 200000);
    l->reorder_ppm = (uint32_t)PICK(r, 0, 0, 10000, 200000);
    l->reorder_ns = PICK(r, NS_PER_MS, 20 * NS_PER_MS);
    l->duplicate_ppm = (uint32_t)PICK(r, 0, 0, 10000, 100000);
    l->corrupt_ppm = (uint32_t)PICK(r, 0, 0, 10000);
}

static void random_engine(struct rng *r, struct tcp_config *c)
{
    static const char *const cc[] = {"cubic", "newreno", "bbr"};

    c->timestamps = rng_below(r, 4);
    c->window_scaling = rng_below(r, 4);
    c->sack = rng_below(r, 4);
    c->tlp = rng_below(r, 4);
    c->pacing = rng_below(r, 2);
    c->mtu_probing = rng_below(r, 2);
    c->autotune = rng_below(r, 2);
    c->ecn = (uint8_t)rng_below(r, 3);
    c->cc = (uint8_t)MAX(tcp_cc_named(cc[rng_below(r, 3)]), 0);
    c->initial_window = (uint32_t)PICK(r, 1, 2, 10);
    c->max_spans = (uint32_t)PICK(r, 64, 1024, 16384);
}

static void random_config(struct rng *r, struct sim_config *cfg)
{
    for (int side = 0; side < 2; side++) {
        random_link(r, &cfg->link[side]);
        random_engine(r, &cfg->tcp[side]);
        cfg->ring_bytes[side][TCP_TX] = (uint32_t)PICK(r, 4096, 16384, 65536, 262144);
        cfg->ring_bytes[side][TCP_RX] = (uint32_t)PICK(r, 4096, 16384, 65536, 262144);
    }
    cfg->path.mtu = (uint16_t)PICK(r, 576, 1280, 1500);
    cfg->path.super_max = (uint32_t)PICK(r, 0, 0, 16000, 65000);
    cfg->start_ns = PICK(r, 0, NS_PER_S, UINT64_C(4294967295) * NS_PER_MS - 5, (UINT64_C(1) << 62));
}

static struct end_plan random_plan(struct rng *r, uint64_t start_ns)
{
    struct end_plan p = {
        .send_bytes = rng_below(r, PICK(r, 1, 100, 5000, 50000, 150000)),
        .chunk_bytes = (uint32_t)PICK(r, 100, 1460, 65536),
        .read_every_ns = PICK(r, 0, 0, 0, NS_PER_MS, 50 * NS_PER_MS),
        .read_bytes = (uint32_t)PICK(r, 0, 0, 1000, 5000),
        .abort_at_ns = CLOCK_NEVER,
        .close_at_ns = CLOCK_NEVER,
        .urgent = !rng_below(r, 8),
    };

    if (p.read_every_ns && p.read_bytes)
        p.read_bytes += 2000; // or a run of an hour is a run of a million steps
    if (!rng_below(r, 8))
        p.abort_at_ns = start_ns + rng_below(r, 3 * NS_PER_S);
    else if (!rng_below(r, 8))
        p.close_at_ns = start_ns + rng_below(r, 3 * NS_PER_S);
    return p;
}

static bool orderly(const struct end_plan *p)
{
    return p->abort_at_ns == CLOCK_NEVER && p->close_at_ns == CLOCK_NEVER;
}

// So much loss that a connection may be given up.
static bool hopeless(const struct sim_config *cfg)
{
    return cfg->link[0].loss_ppm + cfg->link[0].corrupt_ppm > 100000 ||
           cfg->link[1].loss_ppm + cfg->link[1].corrupt_ppm > 100000;
}

// An end that nobody aborted has read all to the FIN, and has seen no error.
static const char *check_ends(const struct sim *s, const struct end_plan *mine,
                              const struct end_plan *theirs, int side)
{
    const struct end_result *r = s->node[side].results;

    for (int i = 0; i < NODE_ENDS; i++) {
        if (!r[i].ended)
            continue;
        if (r[i].error)
            return "an orderly end with an error";
        if (!r[i].fin_seen)
            return "an orderly end without FIN";
        if (r[i].read != theirs->send_bytes || r[i].written != mine->send_bytes)
            return "an orderly end without all bytes";
    }
    return NULL;
}

static const char *run_one(uint64_t seed)
{
    static struct sim s;
    struct sim_config cfg;
    struct end_plan client, server;
    struct rng r = {seed};
    const char *wrong;
    int conns = 1 + (int)rng_below(&r, CONNS_MAX);

    sim_config_init(&cfg, seed);
    random_config(&r, &cfg);
    if (sim_init(&s, &cfg))
        return "the engine refuses the configuration";
    client = random_plan(&r, cfg.start_ns);
    server = random_plan(&r, cfg.start_ns);
    s.node[SERVER].accept_plan = server;
    for (int i = 0; i < conns; i++)
        if (node_connect(&s.node[CLIENT], 80, &client) < 0)
            return "no connection";
    wrong = sim_run(&s, cfg.start_ns + LIFE_MAX_NS);
    if (!wrong)
        wrong = sim_check_end(&s);
    if (!wrong && orderly(&client) && orderly(&server) && !hopeless(&cfg)) {
        wrong = check_ends(&s, &client, &server, CLIENT);
        if (!wrong)
            wrong = check_ends(&s, &server, &client, SERVER);
    }
    sim_fini(&s);
    return wrong;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : DEFAULT_COUNT, failed = 0;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

    printf("1..%d\n", (count + BATCH - 1) / BATCH);
    for (int batch = 0; batch * BATCH < count; batch++) {
        int bad = 0;

        for (int i = batch * BATCH; i < MIN((batch + 1) * BATCH, count); i++) {
            const char *wrong = run_one(first + (uint64_t)i);

            if (wrong)
                printf("# seed %llu: %s\n", (unsigned long long)(first + (uint64_t)i), wrong);
            bad += wrong != NULL;
        }
        printf("%sok %d - seeds from %llu\n", bad ? "not " : "", batch + 1,
               (unsigned long long)(first + (uint64_t)batch * BATCH));
        fflush(stdout);
        failed += bad;
    }
    return failed != 0;
}
