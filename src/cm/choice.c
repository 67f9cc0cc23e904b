// SPDX-License-Identifier: BSD-2-Clause
#include "cm/choice.h"

#include "lane/lane.h"

#include <stdio.h>

_Static_assert(LANE_SHM == (int)POLICY_LANE_SHM && LANE_KERNEL == (int)POLICY_LANE_KERNEL,
               "one order of lanes");

const char *cm_obstacle(enum policy_lane lane, const struct policy_facts *facts)
{
    const struct lane_ends ends = {facts->local, facts->remote};
    const struct lane *built = lane_of((enum lane_id)lane);

    return built ? built->obstacle(&ends) : "not built in";
}

// What stands in the way once a connection is on kernel TCP.
static const char *later_obstacle(enum policy_lane lane, const struct policy_facts *facts)
{
    if (lane == POLICY_LANE_TCP)
        return "it was opened by the kernel";
    return cm_obstacle(lane, facts);
}

bool cm_wants_wire(const struct policy_outcome *rule, const struct policy_facts *facts, char *why,
                   size_t size)
{
    *why = 0;
    if (rule->action == POLICY_FORBID)
        return false;
    for (int i = 0; i < rule->n_lanes && rule->lanes[i] != POLICY_LANE_KERNEL; i++) {
        const char *obstacle = facts->remote ? cm_obstacle(rule->lanes[i], facts) : NULL;

        if (rule->lanes[i] == POLICY_LANE_TCP) {
            if (obstacle)
                snprintf(why, size, "tcp: %s", obstacle);
            return !obstacle;
        }
        if (!obstacle && facts->remote)
            return false;
    }
    return false;
}

uint8_t cm_lanes(const struct policy_outcome *rule, const struct policy_facts *facts,
                 uint8_t lanes[static CM_LANES])
{
    uint8_t n = 0;

    for (int i = 0; i < rule->n_lanes && rule->lanes[i] != POLICY_LANE_KERNEL; i++)
        if (!later_obstacle(rule->lanes[i], facts))
            lanes[n++] = lane_of((enum lane_id)rule->lanes[i])->shown_as;
    return n;
}

const struct mirror_lane *cm_mirror_lane(void)
{
    return lane_rdma_load();
}

// True when some lane that the rule names before the kernel can be hoped for. Else text says of
// each why not.
static bool hopes(const struct policy_outcome *rule, const struct policy_facts *facts, char *text,
                  size_t size)
{
    size_t n = 0;

    snprintf(text, size, "the rule names no lane but the kernel");
    for (int i = 0; i < rule->n_lanes && rule->lanes[i] != POLICY_LANE_KERNEL; i++) {
        const char *why = later_obstacle(rule->lanes[i], facts);

        if (!why)
            return true;
        if (n < size)
            n += (size_t)snprintf(text + n, size - n, "%s%s: %s", n ? "; " : "",
                                  policy_lane_name(rule->lanes[i]), why);
    }
    return false;
}

void cm_choose(const struct policy *policy, const struct policy_facts *facts, struct cm_choice *out)
{
    policy_decide(policy, facts, &out->rule);
    out->reason[0] = 0;
    if (out->rule.action == POLICY_FORBID) {
        out->stays = true;
        snprintf(out->reason, sizeof out->reason, "the rule forbids it");
        return;
    }
    out->stays = !hopes(&out->rule, facts, out->reason, sizeof out->reason);
    if (!out->stays)
        out->reason[0] = 0;
}
