// SPDX-License-Identifier: BSD-2-Clause
// Says why a rule does not match, in the words of the file.
#include <arpa/inet.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "policy/rules.h"
#include "policy/written.h"

static void write_end(const struct end *end, char *text, size_t size)
{
    char addr[INET6_ADDRSTRLEN];
    bool v4 = end->family == AF_INET;

    if (end->family && inet_ntop(end->family, v4 ? end->addr + 12 : end->addr, addr, sizeof addr))
        snprintf(text, size, v4 ? "%s:%u" : "[%s]:%u", addr, end->port);
    else
        snprintf(text, size, "not known");
}

static void write_user(uid_t uid, char *text, size_t size)
{
    struct passwd entry, *found = NULL;
    char buffer[2048];

    if (!getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) && found)
        snprintf(text, size, "%s (%u)", entry.pw_name, uid);
    else
        snprintf(text, size, "%u", uid);
}

// What the connection has where the rule has key.
static void write_fact(enum option_id key, const struct match *match, const struct flow *flow,
                       char *text, size_t size)
{
    const struct policy_facts *facts = flow->facts;
    bool by_path = key == OPT_PROGRAM && strchr(match->program, '/');
    char local[64], remote[64];

    write_end(&flow->local, local, sizeof local);
    write_end(&flow->remote, remote, sizeof remote);
    if (key == OPT_PROGRAM && by_path)
        snprintf(text, size, "the path is %s", facts->exe ? facts->exe : "not known");
    else if (key == OPT_PROGRAM)
        snprintf(text, size, "the program is %s", facts->program ? facts->program : "not known");
    else if (key == OPT_ROLE)
        snprintf(text, size, "this end is the %s", policy_role_name(facts->role));
    else if (key == OPT_LOCAL)
        snprintf(text, size, "the local end is %s", local);
    else if (key == OPT_REMOTE)
        snprintf(text, size, "the remote end is %s", remote);
    else if (key == OPT_PORT)
        snprintf(text, size, "the ends are %s (local) and %s (remote)", local, remote);
    else if (key == OPT_INTERFACE)
        snprintf(text, size, "the interface is %s",
                 facts->interface ? facts->interface : "not known");
}

bool policy_rule_matches(const struct policy *policy, size_t i, const struct policy_facts *facts,
                         struct policy_outcome *outcome, char *text, size_t size)
{
    const struct rule *rule = &policy->rules[i];
    char value[256], fact[256], user[64];
    const config_setting_t *setting;
    enum option_id key;
    struct flow flow;

    flow_init(&flow, facts);
    key = match_misses(&rule->match, &flow);
    *outcome = rule->outcome;
    if (key == OPT_COUNT || !text)
        return key == OPT_COUNT;
    setting = config_setting_get_member(rule->written, policy_schema[key].name);
    if (key == OPT_USER) {
        write_user(facts->uid, user, sizeof user);
        snprintf(fact, sizeof fact, "the user is %s", user);
    } else {
        write_fact(key, &rule->match, &flow, fact, sizeof fact);
    }
    snprintf(text, size, "%s = %s, but %s", policy_schema[key].name,
             written_value(setting, value, sizeof value), fact);
    return false;
}
