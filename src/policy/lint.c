// SPDX-License-Identifier: BSD-2-Clause
#include "policy/lint.h"

#include <string.h>

#define warn(report, outcome, ...)                                                                 \
    report_add(report, POLICY_WARNING, (outcome)->file, (outcome)->line, __VA_ARGS__)

// That rule can match at all, and if not, why.
static void lint_match(const struct policy *policy, uint32_t i, struct policy_report *report)
{
    const struct rule *rule = &policy->rules[i];
    const char *contradiction = match_contradiction(&rule->match);

    if (contradiction) {
        warn(report, &rule->outcome, "rule \"%s\" can never match: %s", rule->outcome.rule_name,
             contradiction);
        return;
    }
    for (uint32_t j = 0; j < i; j++) {
        const struct rule *earlier = &policy->rules[j];

        if (match_covers(&earlier->match, &rule->match)) {
            warn(report, &rule->outcome,
                 "rule \"%s\" can never match: rule \"%s\" (line %u) takes all that it would",
                 rule->outcome.rule_name, earlier->outcome.rule_name, earlier->outcome.line);
            return;
        }
    }
}

static void lint_name(const struct policy *policy, uint32_t i, struct policy_report *report)
{
    const struct policy_outcome *mine = &policy->rules[i].outcome;

    for (uint32_t j = 0; j < i; j++) {
        const struct policy_outcome *other = &policy->rules[j].outcome;

        if (!strcmp(mine->rule_name, other->rule_name)) {
            warn(report, mine, "rule \"%s\" has the name of the rule in line %u", mine->rule_name,
                 other->line);
            return;
        }
    }
}

static void lint_lanes(const struct policy_outcome *o, struct policy_report *report)
{
    const uint8_t *kernel = memchr(o->lanes, POLICY_LANE_KERNEL, o->n_lanes);

    if (kernel && kernel + 1 < o->lanes + o->n_lanes)
        warn(report, o, "rule \"%s\": the lanes behind \"kernel\" are never tried", o->rule_name);
    if (kernel && o->action == POLICY_REQUIRE)
        warn(report, o, "rule \"%s\" requires a lane and is content with \"kernel\"", o->rule_name);
}

static void lint_agent(const struct policy *policy, struct policy_report *report)
{
    if (policy->settings.agent.key_file && !policy->n_peers)
        report_add(
            report, POLICY_WARNING, policy->path, 0,
            "agent: there is a key_file, but without peers shuntd speaks with no other host");
}

void lint_rules(const struct policy *policy, struct policy_report *report)
{
    lint_agent(policy, report);
    for (uint32_t i = 0; i < policy->n_rules; i++) {
        lint_match(policy, i, report);
        lint_name(policy, i, report);
        lint_lanes(&policy->rules[i].outcome, report);
    }
}
