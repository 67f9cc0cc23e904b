// SPDX-License-Identifier: BSD-2-Clause
#include "policy/resolve.h"

#include <errno.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void resolve_environment(struct value_set *file)
{
    const char *const *profiles = policy_schema[OPT_PROFILE].words;
    const char *named = secure_getenv("SHUNT_PROFILE");

    if (!named || !*named)
        return;
    for (int i = 0; profiles[i]; i++)
        if (!strcmp(profiles[i], named)) {
            file->set[OPT_PROFILE] = true;
            file->value[OPT_PROFILE].num = i;
            return;
        }
    log_error("SHUNT_PROFILE: \"%s\" is not a profile: latency, balanced or quiet", named);
}

static const union value *value_or_default(const struct value_set *set, enum option_id id)
{
    return set->set[id] ? &set->value[id] : &policy_schema[id].fallback;
}

void resolve_settings(const struct value_set *file, struct policy_settings *out)
{
    *out = (struct policy_settings){
        .log = value_or_default(file, OPT_LOG)->num,
        .daemon_socket = value_or_default(file, OPT_DAEMON_SOCKET)->text,
        .ring_budget_bytes = value_or_default(file, OPT_RING_BUDGET)->num,
        .channel_budget = value_or_default(file, OPT_CHANNEL_BUDGET)->num,
        .pinned_budget_bytes = value_or_default(file, OPT_PINNED_BUDGET)->num,
        .link_budget = value_or_default(file, OPT_LINK_BUDGET)->num,
    };
}

void resolve_agent(const struct value_set *agent, struct policy_agent *out)
{
    const struct prefix *listen = &agent->value[OPT_AGENT_LISTEN].end.prefix;

    *out = (struct policy_agent){
        .port = value_or_default(agent, OPT_AGENT_PORT)->num,
        .key_file = value_or_default(agent, OPT_AGENT_KEY_FILE)->text,
        .found_s = value_or_default(agent, OPT_AGENT_FOUND)->num,
        .absent_s = value_or_default(agent, OPT_AGENT_ABSENT)->num,
        .lost_ms = value_or_default(agent, OPT_AGENT_LOST)->num,
    };
    if (agent->set[OPT_AGENT_LISTEN] && listen->family) {
        out->listen_one = true;
        memcpy(out->listen, listen->addr, sizeof out->listen);
    }
}

void resolve_tcp(const struct value_set *tcp, struct policy_tcp *out)
{
    *out = (struct policy_tcp){
        .queue = value_or_default(tcp, OPT_TCP_QUEUE)->num,
        .capture = value_or_default(tcp, OPT_TCP_CAPTURE)->text,
        .drop_ppm = value_or_default(tcp, OPT_TCP_DROP)->num,
        .duplicate_ppm = value_or_default(tcp, OPT_TCP_DUPLICATE)->num,
        .corrupt_ppm = value_or_default(tcp, OPT_TCP_CORRUPT)->num,
        .reorder_ppm = value_or_default(tcp, OPT_TCP_REORDER)->num,
        .delay_us = value_or_default(tcp, OPT_TCP_DELAY)->num,
        .rate_bytes_per_s = value_or_default(tcp, OPT_TCP_RATE)->num,
        .connections = value_or_default(tcp, OPT_TCP_CONNECTIONS)->num,
        .memory_bytes = value_or_default(tcp, OPT_TCP_MEMORY)->num,
    };
}

int resolve_peers(const struct value_set *agent, struct endpoint **peers, uint32_t *n)
{
    const config_setting_t *list = agent->value[OPT_AGENT_PEERS].written;
    int len = agent->set[OPT_AGENT_PEERS] ? config_setting_length(list) : 0;

    *n = 0;
    *peers = len ? calloc((size_t)len, sizeof **peers) : NULL;
    if (len && !*peers)
        return -ENOMEM;
    for (; *n < (uint32_t)len; ++*n)
        value_read_endpoint(config_setting_get_string_elem(list, (int)*n), &(*peers)[*n]);
    return 0;
}

void resolve_match(const struct value_set *rule, struct match *out)
{
    match_init(out);
    if (rule->set[OPT_PROGRAM])
        out->program = rule->value[OPT_PROGRAM].text;
    if (rule->set[OPT_INTERFACE])
        out->interface = rule->value[OPT_INTERFACE].text;
    if (rule->set[OPT_USER])
        out->uid = rule->value[OPT_USER].num;
    if (rule->set[OPT_ROLE])
        out->role = rule->value[OPT_ROLE].num;
    if (rule->set[OPT_PORT])
        out->port = rule->value[OPT_PORT].port;
    if (rule->set[OPT_LOCAL])
        out->local = rule->value[OPT_LOCAL].end;
    if (rule->set[OPT_REMOTE])
        out->remote = rule->value[OPT_REMOTE].end;
}

// The three groups that an outcome is made from, and the profile that they lead to.
struct sources {
    const struct value_set *rule, *defaults, *file;
    enum policy_profile profile;
};

static union value outcome_value(const struct sources *from, enum option_id id)
{
    const struct option *option = &policy_schema[id];
    union value preset = {.num = option->preset[from->profile]};

    if (from->rule->set[id])
        return from->rule->value[id];
    if (option->by_profile && from->rule->set[OPT_PROFILE])
        return preset;
    if (from->defaults->set[id])
        return from->defaults->value[id];
    return option->by_profile ? preset : option->fallback;
}

void resolve_outcome(const struct value_set *rule, const struct value_set *defaults,
                     const struct value_set *file, struct policy_outcome *out)
{
    static const struct value_set nothing;
    struct sources from = {rule ? rule : &nothing, defaults, file, 0};
    struct lane_list lanes;

    from.profile = from.rule->set[OPT_PROFILE] ? from.rule->value[OPT_PROFILE].num
                                               : value_or_default(file, OPT_PROFILE)->num;
    lanes = outcome_value(&from, OPT_LANES).lanes;
    *out = (struct policy_outcome){
        .action = outcome_value(&from, OPT_ACTION).num,
        .profile = from.profile,
        .cross_user = outcome_value(&from, OPT_CROSS_USER).num,
        .spin_us = outcome_value(&from, OPT_SPIN).num,
        .ring_bytes = outcome_value(&from, OPT_RING_BYTES).num,
        .after_ms = outcome_value(&from, OPT_AFTER_MS).num,
        .after_bytes = outcome_value(&from, OPT_AFTER_BYTES).num,
        .deadline_ms = outcome_value(&from, OPT_DEADLINE).num,
    };
    if (out->action == POLICY_FORBID)
        return;
    out->n_lanes = lanes.n;
    memcpy(out->lanes, lanes.lane, lanes.n);
}
