// SPDX-License-Identifier: BSD-2-Clause
#include "cli/lanes.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "cm/choice.h"
#include "cm/iface.h"
#include "cm/place.h"
#include "daemon/stack.h"

// Tries the places where a program of the facts' user looks for shuntd.
static bool shuntd_answers(const struct policy *policy, const struct policy_facts *facts,
                           char *text, size_t size)
{
    const char *named = policy_settings(policy)->daemon_socket;
    char path[PLACE_MAX];
    int sock = -ENOENT;

    for (int i = 0; sock < 0; i++) {
        if (place_nth(i, named, facts->uid, path))
            return false;
        sock = place_connect(path);
        snprintf(text, size, "shuntd at %s: %s", path, sock < 0 ? err_text(sock) : "answers");
    }
    close(sock);
    return true;
}

static bool is_here(const struct sockaddr *addr)
{
    char interface[IFNAMSIZ];

    return addr && !iface_of(addr, interface);
}

// Whether shuntd, when it reads this policy, asks the other end's host.
static bool agent_asks(const struct policy *policy, const struct policy_facts *facts, char *text,
                       size_t size)
{
    char shuntd[200];
    uint16_t port;

    if (!shuntd_answers(policy, facts, shuntd, sizeof shuntd)) {
        snprintf(text, size, "%s", shuntd);
        return false;
    }
    if (is_here(facts->remote)) {
        snprintf(text, size, "%s", shuntd);
        return true;
    }
    if (facts->remote && policy_peer(policy, facts->remote, &port)) {
        snprintf(text, size, "%s; the peer's shuntd is asked at port %u", shuntd, port);
        return true;
    }
    snprintf(text, size, "%s; agent.peers does not list the peer", shuntd);
    return false;
}

// Whether shuntd, when it reads this policy, can make a stack.
static bool stack_can_be(const struct policy *policy, const struct policy_facts *facts, char *text,
                         size_t size)
{
    const struct policy_tcp *options = &policy_settings(policy)->tcp;
    char shuntd[200], queue[200];
    bool can;

    if (!stack_is_built(text, size))
        return false;
    can = shuntd_answers(policy, facts, shuntd, sizeof shuntd);
    if (!can || !facts->interface) {
        snprintf(text, size, "%s%s", shuntd,
                 can ? "; which interface it goes by is not known" : "");
        return can;
    }
    if (!strcmp(facts->interface, "lo")) {
        snprintf(text, size, "%s; but loopback has no queue", shuntd);
        return false;
    }
    can = stack_queue_of(facts->interface, options, queue, sizeof queue);
    snprintf(text, size, "%s; %s", shuntd, queue);
    return can;
}

// What a lane needs of this host beside what cm_obstacle() knows; NULL: nothing.
static bool (*const needs[POLICY_LANES])(const struct policy *policy,
                                         const struct policy_facts *facts, char *text,
                                         size_t size) = {
    [POLICY_LANE_SHM] = shuntd_answers,
    [POLICY_LANE_TCP] = stack_can_be,
    [POLICY_LANE_RDMA] = agent_asks,
};

bool lanes_usable(enum policy_lane lane, const struct policy *policy,
                  const struct policy_facts *facts, char *text, size_t size)
{
    const char *obstacle = cm_obstacle(lane, facts);

    snprintf(text, size, "%s", obstacle ? obstacle : "always there");
    return !obstacle && (!needs[lane] || needs[lane](policy, facts, text, size));
}
