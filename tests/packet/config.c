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
        if (stack_sysctl(cfg, word + sizeof(prefix) - 1, value)) {
            run_fail(r, NULL, "'%s' is not known", word);
            return false;
        }
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
