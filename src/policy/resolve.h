// SPDX-License-Identifier: BSD-2-Clause
// From the values that a file sets to what they mean, every default filled in.
#ifndef SHUNT_POLICY_RESOLVE_H
#define SHUNT_POLICY_RESOLVE_H

#include "policy/match.h"

// What one group of the file sets. Strings are borrowed.
struct value_set {
    bool set[OPT_COUNT];
    union value value[OPT_COUNT];
};

// Puts the profile that SHUNT_PROFILE names in the place of the file's; a name that is none goes to
// the log.
void resolve_environment(struct value_set *file);

void resolve_settings(const struct value_set *file, struct policy_settings *out);

void resolve_agent(const struct value_set *agent, struct policy_agent *out);
void resolve_tcp(const struct value_set *tcp, struct policy_tcp *out);

// The peers that the agent section lists, as an array of the caller's, which is NULL where there
// are none. Returns 0 or -ENOMEM.
int resolve_peers(const struct value_set *agent, struct endpoint **peers, uint32_t *n);

void resolve_match(const struct value_set *rule, struct match *out);

// All of *out but the rule's place and name. The first that sets a value gives it: the rule, the
// profile that the rule names, the defaults section, the file's profile, the schema. rule may be
// NULL: then the defaults are meant.
void resolve_outcome(const struct value_set *rule, const struct value_set *defaults,
                     const struct value_set *file, struct policy_outcome *out);

#endif
