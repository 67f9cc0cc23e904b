// SPDX-License-Identifier: BSD-2-Clause
// The match keys of one rule against the facts of one connection.
#ifndef SHUNT_POLICY_MATCH_H
#define SHUNT_POLICY_MATCH_H

#include "policy/schema.h"

enum {
    ANY_UID = -1,     // the rule has no user
    UNKNOWN_UID = -2, // it has one that this host does not know: nobody
    ANY_ROLE = -1,
};

struct match {
    const char *program;   // NULL: any
    const char *interface; // NULL: any
    int64_t uid;
    int8_t role;
    struct port_range port; // of either end
    struct endpoint local, remote;
};

// One end of a connection; family 0: not known.
struct end {
    uint8_t family;
    uint16_t port;
    uint8_t addr[16]; // IPv4 in its mapped form
};

// A connection's facts in the form that matching wants.
struct flow {
    const struct policy_facts *facts;
    struct end local, remote;
};

void match_init(struct match *match);

void flow_init(struct flow *flow, const struct policy_facts *facts);

// Whether the rule's program is this executable; a rule without one is everybody's. Either may be
// NULL.
bool match_program(const struct match *match, const char *program, const char *exe);

// The first key of match that flow does not fit; OPT_COUNT: it fits.
enum option_id match_misses(const struct match *match, const struct flow *flow);

// True only when everything that inner matches, outer matches as well. May miss a case of two
// patterns of which one implies the other in some clever way.
bool match_covers(const struct match *outer, const struct match *inner);

// A key that contradicts another one of the same rule, so that nothing can match; NULL: none does.
const char *match_contradiction(const struct match *match);

#endif
