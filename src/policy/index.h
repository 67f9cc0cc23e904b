// SPDX-License-Identifier: BSD-2-Clause
// Finds the few rules that a connection can match among thousands.
//
// Every rule is filed under one of its own keys, that which the fewest other rules share: the user,
// a port, an address. A key is a prefix of so many bits of one dimension of the connection, as a
// range of ports is a few aligned blocks; a rule without such a key is filed under the empty
// prefix. To decide is to look up the connection's own bits once for every length of prefix that is
// in use, and to try the rules found there. (An elementary-interval bitmap would decide in constant
// time too, but needs n^2 / 8 bytes a dimension: 12 MB at 10,000 rules, in every process.)
#ifndef SHUNT_POLICY_INDEX_H
#define SHUNT_POLICY_INDEX_H

#include "policy/match.h"

struct rule {
    struct match match;
    struct policy_outcome outcome;
    const struct config_setting_t *written; // where the file says so
};

enum index_dim {
    DIM_NONE,
    DIM_USER,
    DIM_LOCAL_PORT,
    DIM_REMOTE_PORT,
    DIM_LOCAL_ADDR,
    DIM_REMOTE_ADDR,
    DIMS,
};

// A dimension and a length of prefix under which some rule is filed.
struct index_kind {
    uint8_t dim, len;
    uint32_t first; // the lowest rule that is
};

struct index_slot {
    uint64_t hash;         // of kind and bits; two that are the same merely share their rules
    uint32_t start, count; // in filed; count 0: the slot is empty
};

struct index {
    struct index_kind *kinds; // by first
    struct index_slot *slots; // open addressing
    uint32_t *filed;          // rules, ascending within a slot
    uint32_t n_kinds, mask;
};

// Files the n rules. They are not kept. Returns 0 or -ENOMEM.
int index_init(struct index *index, const struct rule *rules, uint32_t n);
void index_fini(struct index *index);

// The first of the n rules that flow matches, or n. Pure.
uint32_t index_find(const struct index *index, const struct rule *rules, uint32_t n,
                    const struct flow *flow);

#endif
