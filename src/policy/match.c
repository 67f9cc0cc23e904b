// SPDX-License-Identifier: BSD-2-Clause
#include "policy/match.h"

#include <arpa/inet.h>
#include <string.h>

static const struct port_range any_port = {0, UINT16_MAX};

void match_init(struct match *match)
{
    *match = (struct match){
        .uid = ANY_UID,
        .role = ANY_ROLE,
        .port = any_port,
        .local.port = any_port,
        .remote.port = any_port,
    };
}

static void end_init(struct end *end, const struct sockaddr *addr)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_in6 in6;
    struct sockaddr_in in;

    *end = (struct end){0};
    if (addr && addr->sa_family == AF_INET) {
        memcpy(&in, addr, sizeof in);
        end->family = AF_INET;
        end->port = ntohs(in.sin_port);
        memcpy(end->addr, mapped, sizeof mapped);
        memcpy(end->addr + sizeof mapped, &in.sin_addr, sizeof in.sin_addr);
    } else if (addr && addr->sa_family == AF_INET6) {
        memcpy(&in6, addr, sizeof in6);
        end->family = memcmp(&in6.sin6_addr, mapped, sizeof mapped) ? AF_INET6 : AF_INET;
        end->port = ntohs(in6.sin6_port);
        memcpy(end->addr, &in6.sin6_addr, sizeof end->addr);
    }
}

void flow_init(struct flow *flow, const struct policy_facts *facts)
{
    flow->facts = facts;
    end_init(&flow->local, facts->local);
    end_init(&flow->remote, facts->remote);
}

bool match_program(const struct match *match, const char *program, const char *exe)
{
    const char *name;

    if (!match->program)
        return true;
    name = strchr(match->program, '/') ? exe : program;
    return name && value_glob_matches(match->program, name);
}

static bool port_in(const struct port_range *range, const struct end *end)
{
    return end->family && range->low <= end->port && end->port <= range->high;
}

static bool endpoint_takes(const struct endpoint *want, const struct end *end)
{
    if (!want->prefix.family && value_port_is_any(&want->port))
        return true;
    return port_in(&want->port, end) && value_prefix_holds(&want->prefix, end->family, end->addr);
}

enum option_id match_misses(const struct match *match, const struct flow *flow)
{
    const struct policy_facts *facts = flow->facts;

    if (!match_program(match, facts->program, facts->exe))
        return OPT_PROGRAM;
    if (match->uid != ANY_UID && match->uid != facts->uid)
        return OPT_USER;
    if (match->role != ANY_ROLE && match->role != (int)facts->role)
        return OPT_ROLE;
    if (!endpoint_takes(&match->local, &flow->local))
        return OPT_LOCAL;
    if (!endpoint_takes(&match->remote, &flow->remote))
        return OPT_REMOTE;
    if (!value_port_is_any(&match->port) && !port_in(&match->port, &flow->local) &&
        !port_in(&match->port, &flow->remote))
        return OPT_PORT;
    if (match->interface &&
        !(facts->interface && value_glob_matches(match->interface, facts->interface)))
        return OPT_INTERFACE;
    return OPT_COUNT;
}

// pattern is some plain text and a last *, and inner begins with that text.
static bool prefix_covers(const char *pattern, const char *inner)
{
    size_t len = strcspn(pattern, "*?[\\");

    return !strcmp(pattern + len, "*") && !strncmp(pattern, inner, len);
}

// Every name that inner takes, outer takes.
static bool pattern_covers(const char *outer, const char *inner)
{
    const char *slash;

    if (!outer)
        return true;
    if (!inner)
        return false;
    slash = strrchr(inner, '/');
    // a plain path says what the file name is
    if (slash && !strchr(outer, '/') && value_glob_is_plain(inner))
        inner = slash + 1;
    if (!strchr(outer, '/') != !strchr(inner, '/'))
        return false;
    return !strcmp(outer, inner) || prefix_covers(outer, inner) ||
           (value_glob_is_plain(inner) && value_glob_matches(outer, inner));
}

static bool endpoint_covers(const struct endpoint *outer, const struct endpoint *inner)
{
    return value_prefix_covers(&outer->prefix, &inner->prefix) &&
           value_port_covers(&outer->port, &inner->port);
}

static bool either_port_covers(const struct match *outer, const struct match *inner)
{
    const struct port_range *want = &outer->port;

    return value_port_covers(want, &inner->port) || value_port_covers(want, &inner->local.port) ||
           value_port_covers(want, &inner->remote.port);
}

bool match_covers(const struct match *outer, const struct match *inner)
{
    return (outer->uid == ANY_UID || outer->uid == inner->uid) &&
           (outer->role == ANY_ROLE || outer->role == inner->role) &&
           endpoint_covers(&outer->local, &inner->local) &&
           endpoint_covers(&outer->remote, &inner->remote) && either_port_covers(outer, inner) &&
           pattern_covers(outer->program, inner->program) &&
           pattern_covers(outer->interface, inner->interface);
}

const char *match_contradiction(const struct match *match)
{
    uint8_t local = match->local.prefix.family, remote = match->remote.prefix.family;

    if (local && remote && local != remote)
        return "local and remote are of different address families";
    if (!value_ports_meet(&match->port, &match->local.port) &&
        !value_ports_meet(&match->port, &match->remote.port))
        return "port is in neither local's nor remote's ports";
    return NULL;
}
