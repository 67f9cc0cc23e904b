// SPDX-License-Identifier: BSD-2-Clause
#include "sim.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"

#define PORT      80
#define STEPS_MAX 20000000

void sim_config_init(struct sim_config *cfg, uint64_t seed)
{
    *cfg = (struct sim_config){.seed = seed, .start_ns = NS_PER_S, .path = {.mtu = 1500}};
    for (int side = 0; side < 2; side++) {
        tcp_config_init(&cfg->tcp[side]);
        cfg->tcp[side].max_conns = 2 * NODE_ENDS;
        cfg->tcp[side].max_spans = 16384;
        cfg->link[side].delay_ns = 10 * NS_PER_MS;
        cfg->ring_bytes[side][TCP_TX] = cfg->ring_bytes[side][TCP_RX] = 256 << 10;
        cfg->tcp[side].secret[0] = (uint8_t)(seed + 1);
        cfg->tcp[side].secret[1] = (uint8_t)(side + 1);
    }
}

int sim_init(struct sim *s, const struct sim_config *cfg)
{
    struct tcp_config tcp[2] = {cfg->tcp[0], cfg->tcp[1]};
    int err;

    s->rng.state = cfg->seed;
    s->now_ns = s->start_ns = cfg->start_ns;
    s->steps = 0;
    for (int side = 0; side < 2; side++) {
        link_init(&s->link[side], &cfg->link[side], &s->rng);
        tcp[side].rcv_max = cfg->ring_bytes[side][TCP_RX];
        tcp[side].rcv_initial = MIN(tcp[side].rcv_initial, cfg->ring_bytes[side][TCP_RX]);
        err = node_init(&s->node[side], &tcp[side], &cfg->path, cfg->ring_bytes[side],
                        &s->link[side], cfg->start_ns);
        if (err)
            return err;
    }
    return node_listen(&s->node[SERVER], PORT);
}

void sim_fini(struct sim *s)
{
    for (int side = 0; side < 2; side++) {
        link_fini(&s->link[side]);
        node_fini(&s->node[side]);
    }
}

static uint64_t next_of(const struct sim *s)
{
    uint64_t next = CLOCK_NEVER;

    for (int side = 0; side < 2; side++) {
        next = MIN(next, link_next(&s->link[side]));
        next = MIN(next, node_next(&s->node[side]));
    }
    return next;
}

bool sim_step(struct sim *s)
{
    uint64_t next = next_of(s);
    struct link_packet *p;

    if (next == CLOCK_NEVER)
        return false;
    s->now_ns = MAX(s->now_ns, next);
    s->steps++;
    for (int side = 0; side < 2; side++) {
        p = link_receive(&s->link[!side], s->now_ns);
        if (p)
            node_receive(&s->node[side], s->now_ns, p->bytes, p->len);
        free(p);
        node_work(&s->node[side], s->now_ns);
    }
    return true;
}

const char *sim_run(struct sim *s, uint64_t until_ns)
{
    while (s->now_ns < until_ns && sim_step(s)) {
        if (s->node[0].wrong)
            return s->node[0].wrong;
        if (s->node[1].wrong)
            return s->node[1].wrong;
        if (s->steps > STEPS_MAX)
            return "too many steps";
    }
    return NULL;
}

const char *sim_check_end(struct sim *s)
{
    const struct tcp_counters *c;

    node_close_listener(&s->node[SERVER]);
    for (int side = 0; side < 2; side++) {
        c = tcp_counters(&s->node[side].ctx);
        if (!node_idle(&s->node[side]))
            return side ? "the server's end is still open" : "the client's end is still open";
        if (c->conns || c->time_waits)
            return "a connection is left";
        if (c->spans)
            return "a span has leaked";
        if (tcp_deadline(&s->node[side].ctx) != CLOCK_NEVER)
            return "a timer is left";
    }
    return NULL;
}
