// SPDX-License-Identifier: BSD-2-Clause
#include "policy/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

static const char *const actions[] = {"prefer", "require", "forbid", NULL};
static const char *const lanes[] = {"shm", "rdma", "tcp", "kernel", NULL};
static const char *const profiles[] = {"latency", "balanced", "quiet", NULL};
static const char *const roles[] = {"client", "server", NULL};
static const char *const queues[] = {"auto", "af_packet", "af_xdp", NULL};
static const char *const levels[] = {"quiet", "error", "warn", "info", "debug", NULL};

const struct option policy_schema[OPT_COUNT] = {
    [OPT_PROFILE] =
        {.name = "profile",
         .type = TYPE_WORD,
         .scopes = IN_FILE | IN_RULE,
         .words = profiles,
         .fallback.num = POLICY_BALANCED,
         .text = "How much CPU time to spend on latency: \"latency\" spins for "
                 "a long time and moves a connection after its first requests, \"balanced\" "
                 "spins briefly and leaves short connections alone, \"quiet\" "
                 "never spins. The profile sets the defaults of spin_us and "
                 "after_bytes. SHUNT_PROFILE and `shunt run -p` override the "
                 "value given for the file, but not one given in a rule."},
    [OPT_LOG] = {.name = "log",
                 .type = TYPE_WORD,
                 .scopes = IN_FILE,
                 .words = levels,
                 .fallback.num = LOG_ERROR,
                 .text = "The least severe message to print on standard error. "
                         "SHUNT_LOG and `shunt run -v` override it. \"quiet\" prints "
                         "nothing at all."},
    [OPT_DAEMON_SOCKET] = {.name = "daemon_socket",
                           .type = TYPE_PATH,
                           .scopes = IN_FILE,
                           .sample = "\"/run/shunt/shuntd.sock\"",
                           .text = "The socket on which programs look for shuntd. The default "
                                   "is the value of SHUNT_SOCKET, else the system's socket, "
                                   "else that of the user's private shuntd, which `shunt run` "
                                   "starts."},
    [OPT_RING_BUDGET] = {.name = "ring_budget_bytes",
                         .type = TYPE_INT,
                         .scopes = IN_FILE,
                         .unit = "bytes",
                         .min = 0,
                         .max = INT64_C(1) << 40,
                         .fallback.num = INT64_C(1) << 30,
                         .text = "Upper limit of the ring memory of all channels of one "
                                 "user. Connections beyond it stay on kernel TCP."},
    [OPT_CHANNEL_BUDGET] = {.name = "channel_budget",
                            .type = TYPE_INT,
                            .scopes = IN_FILE,
                            .min = 0,
                            .max = 1 << 20,
                            .fallback.num = 4096,
                            .text = "Upper limit of the number of channels of one user. "
                                    "Connections beyond it stay on kernel TCP."},
    [OPT_PINNED_BUDGET] = {.name = "pinned_budget_bytes",
                           .type = TYPE_INT,
                           .scopes = IN_FILE,
                           .unit = "bytes",
                           .min = 0,
                           .max = INT64_C(1) << 40,
                           .fallback.num = INT64_C(1) << 30,
                           .text = "Upper limit of the ring memory that RDMA devices keep pinned "
                                   "for one user. Connections beyond it stay on kernel TCP."},
    [OPT_LINK_BUDGET] = {.name = "link_budget",
                         .type = TYPE_INT,
                         .scopes = IN_FILE,
                         .min = 0,
                         .max = 1 << 20,
                         .fallback.num = 1024,
                         .text = "Upper limit of the number of RDMA queue pairs of one user: one "
                                 "for every two processes that have channels on lane \"rdma\". "
                                 "Connections beyond it stay on kernel TCP."},
    [OPT_AGENT] = {.name = "agent",
                   .type = TYPE_GROUP,
                   .scopes = IN_FILE,
                   .text = "How shuntd finds the shuntd of other hosts, so that "
                           "connections between hosts can move to lane \"rdma\". Read "
                           "when shuntd starts. Without peers, shuntd talks to no "
                           "other host."},
    [OPT_TCP] = {.name = "tcp",
                 .type = TYPE_GROUP,
                 .scopes = IN_FILE,
                 .text = "The raw Ethernet queues and stacks of lane \"tcp\". Read when shuntd "
                         "starts. capture and the faults (from drop_ppm on) are for tests and "
                         "debugging, and affect every connection of the lane."},
    [OPT_DEFAULTS] = {.name = "defaults",
                      .type = TYPE_GROUP,
                      .scopes = IN_FILE,
                      .text = "Applies to connections that no rule matches, and to "
                              "whatever a rule leaves out. A profile set in a rule takes "
                              "precedence over spin_us and after_bytes given here."},
    [OPT_RULES] = {.name = "rules",
                   .type = TYPE_RULES,
                   .scopes = IN_FILE,
                   .text = "The first rule that matches a connection decides. A rule "
                           "matches if all of its match keys do."},
    [OPT_NAME] = {.name = "name",
                  .type = TYPE_TEXT,
                  .scopes = IN_RULE,
                  .sample = "\"cache\"",
                  .text = "The name of the rule in `shunt stat`, `shunt explain` and "
                          "the log. The default is its position, as in \"rule 3\"."},
    [OPT_PROGRAM] = {.name = "program",
                     .type = TYPE_GLOB,
                     .scopes = IN_RULE,
                     .is_match = true,
                     .sample = "\"redis-*\"",
                     .text = "A shell pattern. If it contains a '/' it is matched "
                             "against the path of the executable, else against the name "
                             "under which the program was started. '*' matches '/' too."},
    [OPT_USER] = {.name = "user",
                  .type = TYPE_USER,
                  .scopes = IN_RULE,
                  .is_match = true,
                  .min = 0,
                  .max = UINT32_MAX - 1,
                  .sample = "\"trade\"",
                  .text = "The effective user of the process, by name or number."},
    [OPT_ROLE] = {.name = "role",
                  .type = TYPE_WORD,
                  .scopes = IN_RULE,
                  .is_match = true,
                  .words = roles,
                  .sample = "\"server\"",
                  .text = "\"client\": the end that called connect(2). \"server\": the "
                          "end that accepted the connection."},
    [OPT_LOCAL] = {.name = "local",
                   .type = TYPE_ENDPOINT,
                   .scopes = IN_RULE,
                   .is_match = true,
                   .sample = "\"*:6379\"",
                   .text = "Address and port of this end: "
                           "ADDRESS[/LENGTH][:PORT[-PORT]]. IPv6 addresses are written "
                           "in brackets; * is any address of either family."},
    [OPT_REMOTE] = {.name = "remote",
                    .type = TYPE_ENDPOINT,
                    .scopes = IN_RULE,
                    .is_match = true,
                    .sample = "\"10.1.0.0/16:9000-9100\"",
                    .text = "Address and port of the other end, in the same form as "
                            "local."},
    [OPT_PORT] = {.name = "port",
                  .type = TYPE_PORT,
                  .scopes = IN_RULE,
                  .is_match = true,
                  .min = 1,
                  .max = UINT16_MAX,
                  .sample = "22",
                  .text = "The port of either end: a number, or a range as in "
                          "\"9000-9100\"."},
    [OPT_INTERFACE] = {.name = "interface",
                       .type = TYPE_GLOB,
                       .scopes = IN_RULE,
                       .is_match = true,
                       .sample = "\"eth*\"",
                       .text = "A shell pattern for the name of the interface that has the "
                               "local address."},
    [OPT_ACTION] = {.name = "action",
                    .type = TYPE_WORD,
                    .scopes = IN_DEFAULTS | IN_RULE,
                    .words = actions,
                    .fallback.num = POLICY_PREFER,
                    .text = "\"prefer\": use the first lane that works, else kernel TCP. "
                            "\"require\": if no lane works, connect(2) fails with "
                            "ECONNREFUSED, and an accepted connection is closed after "
                            "deadline_ms. \"forbid\": leave the connection on kernel TCP."},
    [OPT_LANES] = {.name = "lanes",
                   .type = TYPE_LANES,
                   .scopes = IN_DEFAULTS | IN_RULE,
                   .words = lanes,
                   .fallback.lanes = {2, {POLICY_LANE_SHM, POLICY_LANE_RDMA}},
                   .text = "The lanes to try, in order of preference. \"shm\": shared "
                           "memory, within this host. \"rdma\": an RDMA network. \"tcp\": "
                           "user-space TCP. \"kernel\": kernel TCP; lanes after it are "
                           "not tried."},
    [OPT_SPIN] = {.name = "spin_us",
                  .type = TYPE_INT,
                  .scopes = IN_DEFAULTS | IN_RULE,
                  .by_profile = true,
                  .unit = "us",
                  .min = 0,
                  .max = 10000000,
                  .preset = {[POLICY_LATENCY] = 1000000, [POLICY_BALANCED] = 50},
                  .text = "How long a blocking call polls the ring before it sleeps."},
    [OPT_RING_BYTES] = {.name = "ring_bytes",
                        .type = TYPE_POWER,
                        .scopes = IN_DEFAULTS | IN_RULE,
                        .unit = "bytes",
                        .min = 4096,
                        .max = 64 << 20,
                        .fallback.num = 256 << 10,
                        .text = "Size of each of the two rings of a channel."},
    [OPT_AFTER_BYTES] =
        {.name = "after_bytes",
         .type = TYPE_INT,
         .scopes = IN_DEFAULTS | IN_RULE,
         .by_profile = true,
         .unit = "bytes",
         .min = 0,
         .max = INT64_C(1) << 40,
         .preset = {[POLICY_LATENCY] = 1, [POLICY_BALANCED] = 16 << 10, [POLICY_QUIET] = 64 << 10},
         .text = "Number of bytes, both directions together, that a "
                 "connection must have carried before it is moved to a lane; "
                 "each call on it counts as 256 bytes more. "
                 "Keeps short connections from paying for a move: unless it is 0, "
                 "the first dozen calls on a connection, or its first 4 KiB, never move it."},
    [OPT_AFTER_MS] = {.name = "after_ms",
                      .type = TYPE_INT,
                      .scopes = IN_DEFAULTS | IN_RULE,
                      .unit = "ms",
                      .min = 0,
                      .max = 3600000,
                      .text = "Minimum age of a connection before it is moved to a lane, "
                              "in addition to after_bytes."},
    [OPT_DEADLINE] = {.name = "deadline_ms",
                      .type = TYPE_INT,
                      .scopes = IN_DEFAULTS | IN_RULE,
                      .unit = "ms",
                      .min = 1,
                      .max = 3600000,
                      .fallback.num = 1000,
                      .text = "How long a connection with action \"require\" waits for its "
                              "lane. On lane \"tcp\", how long connect(2) waits for shuntd, "
                              "and, where it blocks, for the peer, before kernel TCP connects."},
    [OPT_CROSS_USER] = {.name = "cross_user",
                        .type = TYPE_BOOL,
                        .scopes = IN_DEFAULTS | IN_RULE,
                        .text = "Whether the two ends may belong to different users of one "
                                "host. The rules of both ends must allow it. A program can then "
                                "keep calls of the other one waiting."},
    [OPT_AGENT_PEERS] = {.name = "peers",
                         .type = TYPE_PEERS,
                         .scopes = IN_AGENT,
                         .sample = "[ \"10.1.0.0/16\", \"[fd00:1::/64]\", \"10.2.0.9:7471\" ]",
                         .text = "The hosts that shuntd talks to: it accepts no other host, "
                                 "and asks no other. The port is that of their shuntd. The "
                                 "first entry that contains an address applies."},
    [OPT_AGENT_PORT] = {.name = "port",
                        .type = TYPE_INT,
                        .scopes = IN_AGENT,
                        .min = 1,
                        .max = UINT16_MAX,
                        .fallback.num = 7470,
                        .text = "TCP port on which shuntd listens for other hosts, and on "
                                "which it looks for theirs."},
    [OPT_AGENT_LISTEN] = {.name = "listen",
                          .type = TYPE_ADDRESS,
                          .scopes = IN_AGENT,
                          .sample = "\"10.1.0.7\"",
                          .text = "The address on which shuntd listens for other hosts. \"*\", "
                                  "the default, means all addresses of this host."},
    [OPT_AGENT_KEY_FILE] = {.name = "key_file",
                            .type = TYPE_PATH,
                            .scopes = IN_AGENT,
                            .sample = "\"/etc/shunt/agent.key\"",
                            .text = "A secret of 32 to 1024 bytes, the same on all hosts, in a "
                                    "file that only the user of shuntd can read. The hosts then "
                                    "authenticate each other and encrypt what they say; a host "
                                    "without the key is refused. The list of peers applies as "
                                    "well."},
    [OPT_AGENT_FOUND] = {.name = "found_s",
                         .type = TYPE_INT,
                         .scopes = IN_AGENT,
                         .unit = "s",
                         .min = 1,
                         .max = 86400,
                         .fallback.num = 300,
                         .text = "How long an idle link to the shuntd of another host stays "
                                 "open."},
    [OPT_AGENT_ABSENT] = {.name = "absent_s",
                          .type = TYPE_INT,
                          .scopes = IN_AGENT,
                          .unit = "s",
                          .min = 1,
                          .max = 86400,
                          .fallback.num = 60,
                          .text = "How long a host is left alone after its shuntd did not "
                                  "answer or refused. Doubled after each further failure, up "
                                  "to 8 times this value."},
    [OPT_AGENT_LOST] = {.name = "lost_ms",
                        .type = TYPE_INT,
                        .scopes = IN_AGENT,
                        .unit = "ms",
                        .min = 100,
                        .max = 3600000,
                        .fallback.num = 10000,
                        .text = "How long the link between two shuntds may be down before "
                                "their connections on a lane are told that the peer is "
                                "unreachable."},
    [OPT_TCP_QUEUE] = {.name = "queue",
                       .type = TYPE_WORD,
                       .scopes = IN_TCP,
                       .words = queues,
                       .fallback.num = POLICY_QUEUE_AUTO,
                       .text = "The kind of raw queue. \"af_xdp\": XDP sockets. \"af_packet\": "
                               "packet sockets that carry frames of up to 64 KB. \"auto\": "
                               "whichever of the two suits the driver of the interface; "
                               "`shunt explain` tells which."},
    [OPT_TCP_CAPTURE] = {.name = "capture",
                         .type = TYPE_PATH,
                         .scopes = IN_TCP,
                         .sample = "\"/var/tmp/shunt\"",
                         .text = "Write all frames to pcapng files, one for each interface "
                                 "and user, named by this path followed by "
                                 ".INTERFACE.UID.pcapng. Existing files are overwritten."},
    [OPT_TCP_DROP] = {.name = "drop_ppm",
                      .type = TYPE_INT,
                      .scopes = IN_TCP,
                      .unit = "ppm",
                      .max = 1000000,
                      .text = "Frames dropped at random in each direction, in parts per "
                              "million."},
    [OPT_TCP_DUPLICATE] = {.name = "duplicate_ppm",
                           .type = TYPE_INT,
                           .scopes = IN_TCP,
                           .unit = "ppm",
                           .max = 1000000,
                           .text = "Frames duplicated at random in each direction, in parts "
                                   "per million."},
    [OPT_TCP_CORRUPT] = {.name = "corrupt_ppm",
                         .type = TYPE_INT,
                         .scopes = IN_TCP,
                         .unit = "ppm",
                         .max = 1000000,
                         .text = "Frames in which a random bit is inverted, in each "
                                 "direction, in parts per million."},
    [OPT_TCP_REORDER] = {.name = "reorder_ppm",
                         .type = TYPE_INT,
                         .scopes = IN_TCP,
                         .unit = "ppm",
                         .max = 1000000,
                         .text = "Frames delayed by a millisecond, and so overtaken, in each "
                                 "direction, in parts per million."},
    [OPT_TCP_DELAY] = {.name = "delay_us",
                       .type = TYPE_INT,
                       .scopes = IN_TCP,
                       .unit = "us",
                       .max = 10000000,
                       .text = "Time by which every frame is delayed, in each direction."},
    [OPT_TCP_RATE] = {.name = "rate_bytes_per_s",
                      .type = TYPE_INT,
                      .scopes = IN_TCP,
                      .unit = "bytes/s",
                      .max = INT64_C(1) << 40,
                      .text = "What passes in each direction; up to 512 frames wait, and "
                              "others are dropped. 0: no limit."},
    [OPT_TCP_CONNECTIONS] =
        {.name = "connections",
         .type = TYPE_INT,
         .scopes = IN_TCP,
         .min = 64,
         .max = 65536,
         .fallback.num = 16384,
         .text = "Upper limit of the connections and listeners of one user on an interface. "
                 "Beyond it outgoing connections use kernel TCP, and incoming handshakes wait."},
    [OPT_TCP_MEMORY] =
        {.name = "memory_bytes",
         .type = TYPE_INT,
         .scopes = IN_TCP,
         .unit = "bytes",
         .min = 1 << 20,
         .max = INT64_C(1) << 40,
         .fallback.num = INT64_C(2) << 30,
         .text = "Memory of the stack of one user on an interface beyond which it takes no new "
                 "connections, as above. Existing ones continue to grow, up to 2 MiB each."},
};

enum option_id schema_find(const char *name, enum option_scope scope)
{
    enum option_id id = 0;

    while (id < OPT_COUNT &&
           !((policy_schema[id].scopes & scope) && !strcmp(policy_schema[id].name, name)))
        id++;
    return id;
}

const char *schema_scope_name(enum option_scope scope)
{
    return scope == IN_RULE       ? "a rule"
           : scope == IN_DEFAULTS ? "the defaults section"
           : scope == IN_AGENT    ? "the agent section"
           : scope == IN_TCP      ? "the tcp section"
                                  : "the file";
}

// Levenshtein's distance: characters to insert, delete or replace.
static size_t distance(const char *a, const char *b)
{
    size_t row[32], len = strlen(b), diagonal, above;

    if (len >= ARRAY_LEN(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        diagonal = row[0]++;
        for (size_t j = 0; j < len; j++) {
            above = row[j + 1];
            row[j + 1] = MIN(above, row[j]) + 1;
            row[j + 1] = MIN(row[j + 1], diagonal + (a[i] != b[j]));
            diagonal = above;
        }
    }
    return row[len];
}

// Makes word the nearest to name if it is nearer than the one so far.
static void consider(const char *name, const char *word, const char **nearest, size_t *best)
{
    size_t d = distance(name, word);

    if (d < *best) {
        *best = d;
        *nearest = word;
    }
}

// A word further away than this is another word.
static size_t too_far(const char *name)
{
    return 2 + strlen(name) / 4;
}

const char *schema_nearest(const char *name, const char *const *words)
{
    const char *nearest = NULL;
    size_t best = too_far(name);

    for (; *words; words++)
        consider(name, *words, &nearest, &best);
    return nearest;
}

const char *schema_nearest_option(const char *name, enum option_scope scope)
{
    const char *nearest = NULL;
    size_t best = too_far(name);

    for (enum option_id id = 0; id < OPT_COUNT; id++)
        if (policy_schema[id].scopes & scope)
            consider(name, policy_schema[id].name, &nearest, &best);
    return nearest;
}

const char *schema_keys(enum option_scope scope, char *text, size_t size)
{
    size_t n = 0;

    for (enum option_id id = 0; id < OPT_COUNT && n < size; id++)
        if (policy_schema[id].scopes & scope)
            n += snprintf(text + n, size - n, "%s%s", n ? ", " : "", policy_schema[id].name);
    return text;
}

static void write_words(const char *const *words, const char *open, char *text, size_t size)
{
    size_t n = snprintf(text, size, "%s", open);

    for (size_t i = 0; words[i] && n < size; i++)
        n += snprintf(text + n, size - n, "%s\"%s\"", i ? ", " : "", words[i]);
}

static void write_range(const struct option *o, const char *kind, char *text, size_t size)
{
    snprintf(text, size, "%s from %" PRId64 " to %" PRId64 "%s%s", kind, o->min, o->max,
             o->unit ? " " : "", o->unit ? o->unit : "");
}

const char *schema_accepts(const struct option *option, char *text, size_t size)
{
    static const char *const forms[] = {
        [TYPE_BOOL] = "true or false",
        [TYPE_TEXT] = "text in quotes, 1 to 31 characters",
        [TYPE_PATH] = "an absolute path in quotes, under 108 characters",
        [TYPE_GLOB] = "a shell pattern in quotes",
        [TYPE_USER] = "a user's name in quotes or a number",
        [TYPE_ENDPOINT] =
            "ADDRESS[/LENGTH][:PORT[-PORT]] in quotes, as in \"10.1.0.0/16:9000-9100\", "
            "\"[fd00::/8]:7000\", \"*:6379\"",
        [TYPE_PORT] = "a port from 1 to 65535, or a range in quotes, as in \"9000-9100\"",
        [TYPE_ADDRESS] = "one address in quotes, as in \"10.1.0.7\", \"[fd00::1]\", or \"*\"",
        [TYPE_PEERS] =
            "an array [ ... ] of up to 256 entries ADDRESS[/LENGTH][:PORT] in quotes, as "
            "in \"10.1.0.0/16\", \"[fd00::/8]:7471\"",
        [TYPE_GROUP] = "a group { ... }",
        [TYPE_RULES] = "a list of groups ( { ... }, { ... } )",
    };

    if (option->type == TYPE_WORD)
        write_words(option->words, "one of ", text, size);
    else if (option->type == TYPE_LANES)
        write_words(option->words, "an array [ ... ] of ", text, size);
    else if (option->type == TYPE_INT)
        write_range(option, "a whole number", text, size);
    else if (option->type == TYPE_POWER)
        write_range(option, "a power of two", text, size);
    else
        snprintf(text, size, "%s", forms[option->type]);
    return text;
}

static void write_lanes(const struct lane_list *list, char *text, size_t size)
{
    size_t n = snprintf(text, size, "[ ");

    for (int i = 0; i < list->n && n < size; i++)
        n += snprintf(text + n, size - n, "%s\"%s\"", i ? ", " : "", lanes[list->lane[i]]);
    if (n < size)
        snprintf(text + n, size - n, " ]");
}

static void write_number(int64_t n, char *text, size_t size)
{
    // libconfig takes a number for 64 bits wide only with an L
    snprintf(text, size, "%" PRId64 "%s", n, n > INT32_MAX ? "L" : "");
}

const char *schema_default(const struct option *option, enum policy_profile profile, char *text,
                           size_t size)
{
    const union value *v = &option->fallback;

    text[0] = '\0';
    if (option->sample || option->type == TYPE_GROUP || option->type == TYPE_RULES)
        return text;
    if (option->by_profile)
        write_number(option->preset[profile], text, size);
    else if (option->type == TYPE_WORD)
        snprintf(text, size, "\"%s\"", option->words[v->num]);
    else if (option->type == TYPE_LANES)
        write_lanes(&v->lanes, text, size);
    else if (option->type == TYPE_BOOL)
        snprintf(text, size, "%s", v->num ? "true" : "false");
    else
        write_number(v->num, text, size);
    return text;
}

const char *policy_action_name(enum policy_action action)
{
    return actions[action];
}

const char *policy_lane_name(enum policy_lane lane)
{
    return lanes[lane];
}

const char *policy_profile_name(enum policy_profile profile)
{
    return profiles[profile];
}

const char *policy_role_name(enum policy_role role)
{
    return roles[role];
}
