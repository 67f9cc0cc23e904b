// SPDX-License-Identifier: BSD-2-Clause
// The values of shunt.conf: what they are once read, and how text becomes one.
#ifndef SHUNT_POLICY_VALUE_H
#define SHUNT_POLICY_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"

// Ports low to high, both included; 0 to 65535 is any.
struct port_range {
    uint16_t low, high;
};

// The first len bits of addr; IPv4 stands as ::ffff:a.b.c.d, so its len is 96 to 128.
struct prefix {
    uint8_t family; // AF_INET, AF_INET6, or 0: any address
    uint8_t len;
    uint8_t addr[16];
};

struct endpoint {
    struct prefix prefix;
    struct port_range port;
};

struct lane_list {
    uint8_t n;
    uint8_t lane[POLICY_LANES];
};

#define VALUE_PEERS_MAX 256

union value {
    int64_t num; // a number, a bool, a word's place in its list, or a uid
    const char *text;
    struct lane_list lanes;
    struct port_range port;
    struct endpoint end;
    const struct config_setting_t *written; // of TYPE_PEERS: checked, and read by resolve_peers()
};

// Each reads the whole of text. They return NULL, or what is wrong with it, as static text that
// fits after "is not an address: ". *out is undefined then.
const char *value_read_port(const char *text, struct port_range *out);
const char *value_read_endpoint(const char *text, struct endpoint *out);

// True when addr has bits set after its first len: then it is hardly what its author meant.
bool value_prefix_has_host_bits(const struct prefix *prefix);

bool value_port_is_any(const struct port_range *range);
bool value_prefix_holds(const struct prefix *prefix, uint8_t family, const uint8_t addr[16]);
// Whether every port, every address, of inner is in outer as well.
bool value_port_covers(const struct port_range *outer, const struct port_range *inner);
bool value_prefix_covers(const struct prefix *outer, const struct prefix *inner);
bool value_ports_meet(const struct port_range *a, const struct port_range *b);

// Whether name is what pattern says: `*` any run of characters, '/' too, `?` one, `[a-z]` and
// `[!a-z]` a set, `\` takes the next character as it is. Bytes, no locale; safe in a signal
// handler.
bool value_glob_matches(const char *pattern, const char *name);
// True when pattern has no character with a meaning of its own.
bool value_glob_is_plain(const char *pattern);
// NULL, or what is wrong with pattern.
const char *value_glob_check(const char *pattern);

#endif
