// SPDX-License-Identifier: BSD-2-Clause
// Goodput of one bulk transfer by loss, buffer and delay, in percent of the link's limit: the
// smaller of its rate and one buffer a round trip.
//   goodput            compares with the snapshot in $top_srcdir/tests/sim/goodput.txt
//   goodput --update   writes the table to standard output instead
// A cell may be better than the snapshot; it may not be more than SLACK points worse.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "sim.h"

#define RATE  UINT64_C(12500000) // 100 Mbit/s
#define SLACK 5
// A cell with loss is the mean of so many. Where a time-out of 200 ms costs 6 percent of a run,
// three of them told 80 percent once and 89 another time, and 87 is what it is.
#define SEEDS 8

static const uint32_t losses_ppm[] = {0, 1000, 10000, 30000};
static const uint32_t buffers[] = {65536, 262144, 1048576};
static const uint64_t delays_ms[] = {1, 10, 50};

static void set_up(struct sim_config *cfg, const char *cc, uint32_t loss, uint32_t buffer,
                   uint64_t delay_ms, uint64_t seed)
{
    sim_config_init(cfg, loss + buffer + delay_ms + seed * UINT64_C(1000000007));
    for (int side = 0; side < 2; side++) {
        cfg->link[side].delay_ns = delay_ms * NS_PER_MS;
        cfg->link[side].rate = RATE;
        // one bandwidth-delay product of queue, but never less than twenty packets
        cfg->link[side].queue_bytes = (uint32_t)MAX(2 * delay_ms * RATE / 1000, UINT64_C(30000));
        cfg->link[side].loss_ppm = loss;
        cfg->ring_bytes[side][TCP_TX] = cfg->ring_bytes[side][TCP_RX] = buffer;
        cfg->tcp[side].cc = (uint8_t)tcp_cc_named(cc);
        cfg->tcp[side].autotune = false;
        cfg->tcp[side].rcv_initial = buffer;
    }
}

// Percent of the limit; negative where the run went wrong.
static int measure(const char *cc, uint32_t loss, uint32_t buffer, uint64_t delay_ms, uint64_t seed)
{
    static struct sim s;
    struct sim_config cfg;
    uint64_t limit = MIN(RATE * 1448 / 1500, buffer * UINT64_C(1000) / (2 * delay_ms));
    uint64_t bytes = limit * 3; // three seconds, were it perfect
    struct end_plan sender = {bytes, 65536, 0, 0, CLOCK_NEVER, CLOCK_NEVER, false};
    struct end_plan reader = {0, 1, 0, 0, CLOCK_NEVER, CLOCK_NEVER, false};
    const struct end_result *r = &s.node[SERVER].results[0];
    const char *wrong;
    uint64_t took;

    set_up(&cfg, cc, loss, buffer, delay_ms, seed);
    if (sim_init(&s, &cfg))
        return -1;
    s.node[SERVER].accept_plan = reader;
    node_connect(&s.node[CLIENT], 80, &sender);
    wrong = sim_run(&s, cfg.start_ns + 4000 * NS_PER_S);
    if (!wrong)
        wrong = sim_check_end(&s);
    took = r->last_read_ns - cfg.start_ns;
    sim_fini(&s);
    if (wrong || r->read != bytes) {
        printf("# %s loss %u buffer %u delay %llu: %s\n", cc, loss, buffer,
               (unsigned long long)delay_ms, wrong ? wrong : "not all bytes came");
        return -1;
    }
    return (int)(bytes * NS_PER_S / took * 100 / limit);
}

static void print_head(FILE *out)
{
    fprintf(out, "# Goodput in percent of the limit (100 Mbit/s, or one buffer a round trip)\n");
    fprintf(out, "# cc loss_ppm buffer_bytes");
    for (size_t d = 0; d < ARRAY_LEN(delays_ms); d++)
        fprintf(out, " rtt_%llums", (unsigned long long)delays_ms[d] * 2);
    fputc('\n', out);
}

static void row(const char *cc, uint32_t loss, uint32_t buffer, int out[])
{
    int seeds = loss ? SEEDS : 1;

    for (size_t d = 0; d < ARRAY_LEN(delays_ms); d++) {
        int sum = 0;

        for (int seed = 0; seed < seeds && sum >= 0; seed++) {
            int percent = measure(cc, loss, buffer, delays_ms[d], (uint64_t)seed);

            sum = percent < 0 ? -seeds : sum + percent;
        }
        out[d] = sum / seeds;
    }
}

// Reads the snapshot's row for these conditions. False: there is none.
static bool snapshot(FILE *f, const char *cc, uint32_t loss, uint32_t buffer, int out[])
{
    char line[256], name[16];
    unsigned l, b;

    rewind(f);
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "%15s %u %u %d %d %d", name, &l, &b, &out[0], &out[1], &out[2]) == 6 &&
            !strcmp(name, cc) && l == loss && b == buffer)
            return true;
    return false;
}

static bool row_fine(const int got[], const int want[])
{
    for (size_t d = 0; d < ARRAY_LEN(delays_ms); d++)
        if (got[d] < 0 || got[d] < want[d] - SLACK)
            return false;
    return true;
}

static void visit(const char *cc, FILE *f, int *number, int *failed)
{
    int got[ARRAY_LEN(delays_ms)], want[ARRAY_LEN(delays_ms)] = {0};

    for (size_t l = 0; l < ARRAY_LEN(losses_ppm); l++)
        for (size_t b = 0; b < ARRAY_LEN(buffers); b++) {
            bool fine;

            row(cc, losses_ppm[l], buffers[b], got);
            if (!f) {
                printf("%s %u %u %d %d %d\n", cc, losses_ppm[l], buffers[b], got[0], got[1],
                       got[2]);
                continue;
            }
            fine = snapshot(f, cc, losses_ppm[l], buffers[b], want) && row_fine(got, want);
            *failed += !fine;
            printf("%sok %d - %s loss %u buffer %u: %d %d %d (snapshot %d %d %d)\n",
                   fine ? "" : "not ", ++*number, cc, losses_ppm[l], buffers[b], got[0], got[1],
                   got[2], want[0], want[1], want[2]);
        }
}

int main(int argc, char **argv)
{
    static const char *const ccs[] = {"cubic", "newreno", "bbr"};
    const char *top = getenv("top_srcdir");
    bool update = argc > 1 && !strcmp(argv[1], "--update");
    char path[1024];
    FILE *f = NULL;
    int number = 0, failed = 0;

    if (update) {
        print_head(stdout);
    } else {
        snprintf(path, sizeof(path), "%s/tests/sim/goodput.txt", top ? top : ".");
        f = fopen(path, "r");
        if (!f) {
            perror(path);
            return 1;
        }
        printf("1..%zu\n", ARRAY_LEN(ccs) * ARRAY_LEN(losses_ppm) * ARRAY_LEN(buffers));
    }
    for (size_t i = 0; i < ARRAY_LEN(ccs); i++)
        visit(ccs[i], f, &number, &failed);
    if (f)
        fclose(f);
    return failed != 0;
}
