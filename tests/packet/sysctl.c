// SPDX-License-Identifier: BSD-2-Clause
// Linux's names of what a stack can be told before it begins (net.ipv4.tcp_...).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "stack.h"

struct knob {
    const char *name;
    void (*set)(struct stack_config *cfg, long n, const char *text);
};

#define KNOB(fn, statement)                                                                        \
    static void fn(struct stack_config *cfg, long n, const char *text)                             \
    {                                                                                              \
        statement;                                                                                 \
        (void)n, (void)text;                                                                       \
    }

// Linux's tcp_ecn: 0 never, 1 asks and answers, 2 only answers
static enum tcp_ecn ecn_of(long n)
{
    return n == 0 ? TCP_ECN_OFF : n == 1 ? TCP_ECN_ON : TCP_ECN_PASSIVE;
}

static uint8_t cc_of(const char *name)
{
    return (uint8_t)MAX(tcp_cc_named(strcmp(name, "reno") ? name : "newreno"), 0);
}

KNOB(set_timestamps, cfg->tcp.timestamps = n)
KNOB(set_sack, cfg->tcp.sack = n)
KNOB(set_scaling, cfg->tcp.window_scaling = n)
KNOB(set_ecn, cfg->tcp.ecn = (uint8_t)ecn_of(n))
KNOB(set_cc, cfg->tcp.cc = cc_of(text))
KNOB(set_fastopen, (cfg->tcp.tfo_client = n & 1, cfg->tcp.tfo_server = n & 2))
KNOB(set_cookies, cfg->tcp.syn_cookies = n)
KNOB(set_syn_retries, cfg->tcp.syn_retries = (uint8_t)n)
KNOB(set_synack_retries, cfg->tcp.synack_retries = (uint8_t)n)
KNOB(set_data_retries, cfg->tcp.data_retries = (uint8_t)n)
KNOB(set_orphan_retries, cfg->tcp.orphan_retries = (uint8_t)n)
KNOB(set_keep_time, cfg->tcp.keep_idle_ms = (uint32_t)n * 1000)
KNOB(set_keep_interval, cfg->tcp.keep_interval_ms = (uint32_t)n * 1000)
KNOB(set_keep_count, cfg->tcp.keep_count = (uint8_t)n)
KNOB(set_fin_timeout, cfg->tcp.fin_timeout_ns = (uint64_t)n * NS_PER_S)
KNOB(set_tlp, cfg->tcp.tlp = n)
KNOB(set_probing, cfg->tcp.mtu_probing = n)
KNOB(set_autotune, cfg->tcp.autotune = n)

static const struct knob knobs[] = {
    {"tcp_timestamps", set_timestamps},
    {"tcp_sack", set_sack},
    {"tcp_window_scaling", set_scaling},
    {"tcp_ecn", set_ecn},
    {"tcp_congestion_control", set_cc},
    {"tcp_fastopen", set_fastopen},
    {"tcp_syncookies", set_cookies},
    {"tcp_syn_retries", set_syn_retries},
    {"tcp_synack_retries", set_synack_retries},
    {"tcp_retries2", set_data_retries},
    {"tcp_orphan_retries", set_orphan_retries},
    {"tcp_keepalive_time", set_keep_time},
    {"tcp_keepalive_intvl", set_keep_interval},
    {"tcp_keepalive_probes", set_keep_count},
    {"tcp_fin_timeout", set_fin_timeout},
    {"tcp_early_retrans", set_tlp},
    {"tcp_mtu_probing", set_probing},
    {"tcp_moderate_rcvbuf", set_autotune},
};

int stack_sysctl(struct stack_config *cfg, const char *name, const char *value)
{
    for (size_t i = 0; i < ARRAY_LEN(knobs); i++)
        if (!strcmp(knobs[i].name, name)) {
            knobs[i].set(cfg, strtol(value, NULL, 0), value);
            return 0;
        }
    return -ENOENT;
}
