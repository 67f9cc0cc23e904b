// SPDX-License-Identifier: BSD-2-Clause
// The name and meaning of everything that Shunt counts: `shunt stat`, its JSON and shunt(1) use
// this table.
#ifndef SHUNT_CM_COUNTERS_H
#define SHUNT_CM_COUNTERS_H

#include <stddef.h>

// shuntd's own, in the order of the table.
enum counter {
    COUNT_CLIENTS, // gauges: how many there are now
    COUNT_CLAIMS,
    COUNT_CHANNELS,
    COUNT_ORPHANS,
    COUNT_LENT,
    COUNT_RING_BYTES,
    COUNT_FD_LIMIT,
    COUNT_CLIENTS_TOTAL, // since shuntd began
    COUNT_CLAIMS_TOTAL,
    COUNT_MATCHES_TOTAL,
    COUNT_ATTACHES_TOTAL,
    COUNT_CLOSED_TOTAL,
    COUNT_REFUSED_BAD_MESSAGE,
    COUNT_REFUSED_VERSION,
    COUNT_REFUSED_PROOF,
    COUNT_REFUSED_STALE,
    COUNT_REFUSED_USER,
    COUNT_REFUSED_BUDGET,
    COUNT_REFUSED_LIMIT,
    COUNT_REFUSED_UNKNOWN,
    COUNT_REFUSED_LANE,
    COUNT_RELAYED_TOTAL,
    COUNT_REFUSED_PEER,
    COUNT_AGENT_LINKS, // gauges
    COUNT_AGENT_ABSENT,
    COUNT_AGENT_TRIES_TOTAL,
    COUNT_AGENT_FAILURES_TOTAL,
    COUNT_AGENT_SPARED_TOTAL,
    COUNT_AGENT_ASKS_TOTAL,
    COUNT_AGENT_ASKED_TOTAL,
    COUNT_AGENT_YES_TOTAL,
    COUNT_AGENT_NO_TOTAL,
    COUNT_AGENT_TURNED_AWAY_TOTAL,
    COUNT_AGENT_RESUMED_TOTAL,
    COUNT_AGENT_CUT_TOTAL,
    COUNT_TCP_OPENED_TOTAL,
    COUNT_TCP_ACCEPTED_TOTAL,
    COUNTERS,
};

struct counter_text {
    const char *name; // as in JSON
    const char *text; // what is counted
};

extern const struct counter_text counter_texts[COUNTERS];

// Those of a connection, for `shunt stat`: name and text.
extern const struct counter_text connection_texts[];
extern const size_t n_connection_texts;

// The name that shunt.conf has for an enum shunt_lane; "?" for any other number. Static.
const char *cm_lane_name(unsigned lane);

#endif
