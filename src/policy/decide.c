// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "policy/resolve.h"
#include "policy/rules.h"

static struct policy built_in, forbid_all;

static void fill_built_in(void)
{
    static struct value_set file;
    static const struct value_set nothing;
    static const struct value_set forbid = {
        .set[OPT_ACTION] = true,
        .value[OPT_ACTION].num = POLICY_FORBID,
    };

    resolve_environment(&file);
    rules_init(&built_in, &file, &nothing, &nothing);
    rules_init(&forbid_all, &file, &forbid, &nothing);
}

static const struct policy *filled(const struct policy *policy)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fill_built_in);
    return policy;
}

const struct policy *policy_default(void)
{
    return filled(&built_in);
}

const struct policy *policy_forbid_all(void)
{
    return filled(&forbid_all);
}

static uint8_t lanes_of(const struct policy_outcome *o)
{
    uint8_t lanes = 0;

    for (int i = 0; i < o->n_lanes; i++)
        lanes |= (uint8_t)(1u << o->lanes[i]);
    return lanes;
}

static uint32_t patience_bytes(const struct policy_outcome *outcome)
{
    switch (outcome->action) {
    case POLICY_FORBID:
        return UINT32_MAX;
    case POLICY_REQUIRE:
        return 0;
    default:
        return outcome->after_bytes;
    }
}

// What holds for all rules together.
static void sum_up(struct policy *policy)
{
    policy->needs_interface = policy->needs_user = false;
    policy->requires = policy->defaults.action == POLICY_REQUIRE;
    policy->patience_bytes = patience_bytes(&policy->defaults);
    policy->lanes_named = lanes_of(&policy->defaults);
    for (uint32_t i = 0; i < policy->n_rules; i++) {
        const struct rule *rule = &policy->rules[i];

        policy->needs_interface |= rule->match.interface != NULL;
        policy->needs_user |= rule->match.uid != ANY_UID;
        policy->lanes_named |= lanes_of(&rule->outcome);
        policy->requires |= rule->outcome.action == POLICY_REQUIRE;
        policy->patience_bytes = MIN(policy->patience_bytes, patience_bytes(&rule->outcome));
    }
}

void rules_init(struct policy *policy, const struct value_set *file,
                const struct value_set *defaults, const struct value_set *sections)
{
    resolve_settings(file, &policy->settings);
    resolve_agent(sections, &policy->settings.agent);
    resolve_tcp(sections, &policy->settings.tcp);
    resolve_outcome(NULL, defaults, file, &policy->defaults);
    policy->defaults.rule = -1;
    policy->defaults.rule_name = "defaults";
    policy->defaults.file = "";
    sum_up(policy);
}

int rules_file(struct policy *policy)
{
    struct index index;
    int err = index_init(&index, policy->rules, policy->n_rules);

    if (err)
        return err;
    index_fini(&policy->index);
    policy->index = index;
    sum_up(policy);
    return 0;
}

void policy_free(struct policy *policy)
{
    if (!policy)
        return;
    index_fini(&policy->index);
    free(policy->rules);
    free(policy->peers);
    config_destroy(&policy->source);
    free(policy->path);
    free(policy);
}

int policy_bind(struct policy *policy, const char *program, const char *exe)
{
    struct rule *mine = calloc(policy->n_rules + 1, sizeof *mine), *all = policy->rules;
    uint32_t n_all = policy->n_rules, n = 0;
    int err;

    if (!mine)
        return -ENOMEM;
    for (uint32_t i = 0; i < n_all; i++)
        if (match_program(&all[i].match, program, exe)) {
            mine[n] = all[i];
            mine[n++].match.program = NULL;
        }
    policy->rules = mine;
    policy->n_rules = n;
    err = rules_file(policy);
    if (err) {
        policy->rules = all;
        policy->n_rules = n_all;
    }
    free(err ? mine : all);
    return err;
}

const struct policy_settings *policy_settings(const struct policy *policy)
{
    return &policy->settings;
}

bool policy_has_peers(const struct policy *policy)
{
    return policy->n_peers > 0;
}

bool policy_peer(const struct policy *policy, const struct sockaddr *host, uint16_t *port)
{
    const struct policy_facts facts = {.remote = host};
    struct flow flow;

    flow_init(&flow, &facts);
    for (uint32_t i = 0; i < policy->n_peers; i++) {
        const struct endpoint *peer = &policy->peers[i];

        if (!flow.remote.family ||
            !value_prefix_holds(&peer->prefix, flow.remote.family, flow.remote.addr))
            continue;
        *port = value_port_is_any(&peer->port) ? policy->settings.agent.port : peer->port.low;
        return true;
    }
    return false;
}

bool policy_needs_interface(const struct policy *policy)
{
    return policy->needs_interface;
}

bool policy_needs_user(const struct policy *policy)
{
    return policy->needs_user;
}

uint32_t policy_patience_bytes(const struct policy *policy)
{
    return policy->patience_bytes;
}

bool policy_requires(const struct policy *policy)
{
    return policy->requires;
}

bool policy_names_lane(const struct policy *policy, enum policy_lane lane)
{
    return policy->lanes_named >> lane & 1;
}

size_t policy_rules(const struct policy *policy)
{
    return policy->n_rules;
}

void policy_decide(const struct policy *policy, const struct policy_facts *facts,
                   struct policy_outcome *out)
{
    struct flow flow;
    uint32_t i;

    flow_init(&flow, facts);
    i = index_find(&policy->index, policy->rules, policy->n_rules, &flow);
    *out = i < policy->n_rules ? policy->rules[i].outcome : policy->defaults;
}
