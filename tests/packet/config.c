// SPDX-License-Identifier: BSD-2-Clause
// What a script may ask for before it begins: "--mtu=1500" lines, and `sysctl NAME=VALUE` commands
// as scripts for Linux have them.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "run.h"
#include "wire/text.h"

#define DEFAULT_REMOTE_ISN 3000000000u

// One switch of a script: how its number changes the configuration.
struct knob {
    const char *name;
    void (*set)(struct run *r, struct stack_config *cfg, const char *value);
};

#define KNOB(fn, statement)                                                                        \
    static void fn(struct run *r, struct stack_config *cfg, const char *value)                     \
    {                                                                                              \
        long n = strtol(value, NULL, 0);                                                           \
        statement;                                                                                 \
        (void)n;                                                                                   \
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
KNOB(set_cc, cfg->tcp.cc = cc_of(value))
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
KNOB(set_challenge, cfg->tcp.challenge_rate = (uint32_t)n)
KNOB(set_pacing, cfg->tcp.pacing = n)
KNOB(set_initcwnd, cfg->tcp.initial_window = (uint32_t)n)
KNOB(set_initrwnd, cfg->tcp.rcv_initial = (uint32_t)n)
KNOB(set_max_conns, cfg->tcp.max_conns = (uint32_t)n)
KNOB(set_max_spans, cfg->tcp.max_spans = (uint32_t)n)
KNOB(set_mtu, cfg->path.mtu = (uint16_t)n)
KNOB(set_super, cfg->path.super_max = (uint32_t)n)
KNOB(set_ring, cfg->ring_bytes = (uint32_t)n)
KNOB(set_tolerance, r->tolerance_ns = n * (int64_t)NS_PER_US)
KNOB(set_version, r->ipv6 = !strcmp(value, "ipv6"))
KNOB(set_strict, r->strict = n)
KNOB(set_remote_isn, r->remote_isn = (uint32_t)strtoul(value, NULL, 0))
KNOB(set_start, cfg->start_ns = strtoull(value, NULL, 0))

static const struct knob sysctls[] = {
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

// The first five are packetdrill's; the others are the runner's own.
static const struct knob options[] = {
    {"mtu", set_mtu},
    {"tolerance_usecs", set_tolerance},
    {"ip_version", set_version},
    {"init_cwnd", set_initcwnd},
    {"init_rwnd", set_initrwnd},
    {"super", set_super},
    {"ring", set_ring},
    {"strict", set_strict},
    {"remote_isn", set_remote_isn},
    {"start_ns", set_start},
    {"pacing", set_pacing},
    {"challenge_rate", set_challenge},
    {"max_conns", set_max_conns},
    {"max_spans", set_max_spans},
};

static bool turn(struct run *r, struct stack_config *cfg, const struct knob *k, size_t count,
                 const char *name, const char *value)
{
    for (; count; k++, count--)
        if (!strcmp(k->name, name)) {
            k->set(r, cfg, value);
            return true;
        }
    run_fail(r, NULL, "'%s' is not known", name);
    return false;
}

// Takes NAME=VALUE words out of sysctl commands; the words "sysctl", "-q" and "-w" are passed over.
static bool configure_sysctls(struct run *r, struct stack_config *cfg)
{
    static const char prefix[] = "net.ipv4.";
    char text[SCRIPT_CODE_MAX], *save = NULL, *value;

    memcpy(text, r->script->init, sizeof(text));
    for (char *word = strtok_r(text, " \t\n;", &save); word;
         word = strtok_r(NULL, " \t\n;", &save)) {
        if (!strcmp(word, "sysctl") || *word == '-')
            continue;
        value = strchr(word, '=');
        if (!value || strncmp(word, prefix, sizeof(prefix) - 1)) {
            run_fail(r, NULL, "the command '%s' is not understood", word);
            return false;
        }
        *value++ = 0;
        if (!turn(r, cfg, sysctls, ARRAY_LEN(sysctls), word + sizeof(prefix) - 1, value))
            return false;
    }
    return true;
}

bool run_configure(struct run *r, struct stack_config *cfg)
{
    stack_config_init(cfg);
    r->tolerance_ns = 2 * (int64_t)NS_PER_MS;
    r->strict = true;
    r->remote_isn = DEFAULT_REMOTE_ISN;
    for (int i = 0; i < r->script->option_count; i++)
        if (!turn(r, cfg, options, ARRAY_LEN(options), r->script->options[i].name,
                  r->script->options[i].value))
            return false;
    return configure_sysctls(r, cfg);
}
