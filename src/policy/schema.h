// SPDX-License-Identifier: BSD-2-Clause
// The one table of what may stand in shunt.conf. The loader, the example file and the man page are
// all read off it.
#ifndef SHUNT_POLICY_SCHEMA_H
#define SHUNT_POLICY_SCHEMA_H

#include "policy/value.h"

enum option_id {
    // of the whole file
    OPT_PROFILE, // and of a rule
    OPT_LOG,
    OPT_DAEMON_SOCKET,
    OPT_RING_BUDGET,
    OPT_CHANNEL_BUDGET,
    OPT_PINNED_BUDGET,
    OPT_LINK_BUDGET,
    OPT_AGENT,
    OPT_TCP,
    OPT_DEFAULTS,
    OPT_RULES,
    // what a rule asks of a connection
    OPT_NAME,
    OPT_PROGRAM,
    OPT_USER,
    OPT_ROLE,
    OPT_LOCAL,
    OPT_REMOTE,
    OPT_PORT,
    OPT_INTERFACE,
    // what a rule says
    OPT_ACTION,
    OPT_LANES,
    OPT_SPIN,
    OPT_RING_BYTES,
    OPT_AFTER_BYTES,
    OPT_AFTER_MS,
    OPT_DEADLINE,
    OPT_CROSS_USER,
    // what the agent section says
    OPT_AGENT_PEERS,
    OPT_AGENT_PORT,
    OPT_AGENT_LISTEN,
    OPT_AGENT_KEY_FILE,
    OPT_AGENT_FOUND,
    OPT_AGENT_ABSENT,
    OPT_AGENT_LOST,
    // what the tcp section says
    OPT_TCP_QUEUE,
    OPT_TCP_CAPTURE,
    OPT_TCP_DROP,
    OPT_TCP_DUPLICATE,
    OPT_TCP_CORRUPT,
    OPT_TCP_REORDER,
    OPT_TCP_DELAY,
    OPT_TCP_RATE,
    OPT_TCP_CONNECTIONS,
    OPT_TCP_MEMORY,
    OPT_COUNT,
};

enum option_scope { IN_FILE = 1, IN_DEFAULTS = 2, IN_RULE = 4, IN_AGENT = 8, IN_TCP = 16 };

enum option_type {
    TYPE_WORD, // one of words; its value is the place in the list
    TYPE_LANES,
    TYPE_INT,
    TYPE_POWER, // a whole number that is a power of two
    TYPE_BOOL,
    TYPE_TEXT,
    TYPE_PATH, // of a file or a unix socket
    TYPE_GLOB,
    TYPE_USER,
    TYPE_ENDPOINT,
    TYPE_PORT,
    TYPE_ADDRESS, // of this host, or any
    TYPE_PEERS,
    TYPE_GROUP,
    TYPE_RULES,
};

struct option {
    const char *name;
    enum option_type type;
    unsigned scopes;
    bool is_match;    // a key that a connection must fit
    bool by_profile;  // the default is preset[profile], not fallback
    const char *unit; // NULL: a bare number
    int64_t min, max; // of a number
    const char *const *words;
    union value fallback;
    int64_t preset[3];
    const char *sample; // a value as it is written, where there is no default
    const char *text;   // full sentences
};

extern const struct option policy_schema[OPT_COUNT];

// The option called name that may stand in scope, or OPT_COUNT.
enum option_id schema_find(const char *name, enum option_scope scope);

// "a rule", "the defaults section", "the agent section", "the tcp section", "the file".
const char *schema_scope_name(enum option_scope scope);

// The element of the NULL-ended words that name was probably meant to be; NULL: none is near.
const char *schema_nearest(const char *name, const char *const *words);
// The same among the options of scope.
const char *schema_nearest_option(const char *name, enum option_scope scope);

// The names of scope's options, with commas between. Returns text.
const char *schema_keys(enum option_scope scope, char *text, size_t size);

// What a value of the option may be, as words to end a sentence with. Returns text.
const char *schema_accepts(const struct option *option, char *text, size_t size);

// The option's default in profile as it is written in the file; "" where there is none. Returns
// text.
const char *schema_default(const struct option *option, enum policy_profile profile, char *text,
                           size_t size);

#endif
