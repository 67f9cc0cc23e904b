// SPDX-License-Identifier: BSD-2-Clause
// What a policy is made of, for the files of this room.
#ifndef SHUNT_POLICY_RULES_H
#define SHUNT_POLICY_RULES_H

#include <libconfig.h>

#include "policy/index.h"
#include "policy/resolve.h"

struct policy {
    struct policy_settings settings;
    struct endpoint *peers;
    uint32_t n_peers;
    struct policy_outcome defaults;
    struct rule *rules;
    uint32_t n_rules;
    bool needs_interface, needs_user, requires;
    uint32_t patience_bytes; // see policy_patience_bytes()
    uint8_t lanes_named;     // by any rule or the defaults, a bit each
    struct index index;
    char *path;
    config_t source; // owns all other strings
};

// Sets the settings and the defaults of a policy that is all zero; it has neither rules nor peers
// then. sections: what the agent and the tcp section say.
void rules_init(struct policy *policy, const struct value_set *file,
                const struct value_set *defaults, const struct value_set *sections);

// Files the rules for deciding; to be called whenever they changed. Returns 0 or -ENOMEM.
int rules_file(struct policy *policy);

#endif
