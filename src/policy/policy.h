// SPDX-License-Identifier: BSD-2-Clause
// The rules of shunt.conf, and the one question that they answer: what may this connection do?
//
// A policy is loaded once, may be narrowed to one program, and is read-only from then on: any
// thread and any signal handler may ask policy_decide(). Nothing here ever talks to the network.
#ifndef SHUNT_POLICY_POLICY_H
#define SHUNT_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/log.h"

enum policy_action {
    POLICY_PREFER,  // use the first lane that works, else stay on kernel TCP
    POLICY_REQUIRE, // no lane, no connection: ECONNREFUSED, or closed at the deadline
    POLICY_FORBID,  // kernel TCP, untouched
};

enum policy_lane {
    POLICY_LANE_SHM,
    POLICY_LANE_RDMA,
    POLICY_LANE_TCP,
    POLICY_LANE_KERNEL, // stay on kernel TCP; never the first lane of a rule that requires one
    POLICY_LANES,
};

enum policy_profile { POLICY_LATENCY, POLICY_BALANCED, POLICY_QUIET };
enum policy_role { POLICY_CLIENT, POLICY_SERVER };

// How shuntd speaks with other hosts. Which ones: policy_peer().
struct policy_agent {
    uint16_t port;
    bool listen_one;      // listens on one address only:
    uint8_t listen[16];   // this, IPv4 in its mapped form
    const char *key_file; // NULL: no key; owned by the policy
    uint32_t found_s;     // an unused link stays open for so long
    uint32_t absent_s;    // a host that does not answer is not asked for so long
    uint32_t lost_ms;     // a link may be lost for so long
};

enum policy_queue { POLICY_QUEUE_AUTO, POLICY_QUEUE_AF_PACKET, POLICY_QUEUE_AF_XDP };

// How shuntd makes the queues of lane tcp.
struct policy_tcp {
    enum policy_queue queue;
    const char *capture; // what the names of the files begin with; NULL: none; owned by the policy
    uint32_t drop_ppm, duplicate_ppm, corrupt_ppm, reorder_ppm, delay_us; // each way
    uint64_t rate_bytes_per_s;                                            // each way; 0: no limit
    uint32_t connections;  // of a stack, with its listeners
    uint64_t memory_bytes; // of a stack, beyond which it takes no new ones
};

// Settings of the whole file, as opposed to those of one connection.
struct policy_settings {
    enum log_level log;         // what goes to the log where SHUNT_LOG and -v say nothing
    const char *daemon_socket;  // where shuntd listens, NULL: the usual places; owned by the policy
    uint64_t ring_budget_bytes; // ring memory that one user's channels may hold together
    uint32_t channel_budget;    // channels that one user may have at a time
    uint64_t pinned_budget_bytes; // of these rings, those that an RDMA device keeps in memory
    uint32_t link_budget;         // queue pairs that one user's channels may go by
    struct policy_agent agent;
    struct policy_tcp tcp;
};

// What is known of one connection. A member that is not known (NULL) matches no rule that asks for
// it.
struct policy_facts {
    const char *program;           // file name of the executable, without directories
    const char *exe;               // its path
    uid_t uid;                     // effective user of this process
    enum policy_role role;         // client: it called connect(); server: it accepted
    const struct sockaddr *local;  // AF_INET or AF_INET6; IPv4 mapped into IPv6 counts as IPv4
    const struct sockaddr *remote; // the same
    const char *interface;         // name of the interface that holds the local address
};

// What the deciding rule says, with every default filled in. The strings belong to the policy.
struct policy_outcome {
    enum policy_action action;
    enum policy_profile profile;
    uint8_t lanes[POLICY_LANES]; // enum policy_lane, best first; none when action is forbid
    uint8_t n_lanes;
    bool cross_user;       // the two ends may belong to different users
    uint32_t spin_us;      // longest spin before sleeping
    uint32_t ring_bytes;   // size of each of the two rings; a power of two
    uint32_t after_ms;     // a connection younger than this stays on its carrier, and
    uint64_t after_bytes;  // so does one that has carried less than this, both ways together
    uint32_t deadline_ms;  // longest that a connection may wait for a lane that is required
    int rule;              // index in the file from 0, or -1: the defaults decided
    const char *rule_name; // never NULL
    const char *file;      // where the rule stands; "" and 0 for the built-in defaults
    unsigned line;
};

enum policy_severity { POLICY_WARNING, POLICY_ERROR };

struct policy_finding {
    enum policy_severity severity;
    unsigned line; // 0: the file as a whole
    char *file;
    char *text; // one line, without file, line and severity
};

// What was found wrong, in the order of the file. Zero it to begin; policy_report_fini() frees.
struct policy_report {
    struct policy_finding *findings;
    size_t n_findings, n_errors;
};

struct policy;

// The system's file.
#define POLICY_PATH SHUNT_SYSCONFDIR "/shunt.conf"

// The file that applies where the command line names none: what SHUNT_CONFIG says, else
// POLICY_PATH, else NULL: there is no file, and policy_default() holds. Owned by the environment,
// or static.
const char *policy_path(void);

// The policy of an empty file, and the one that forbids everything: what a caller goes on with
// where there is no file, and where the file is broken. Static; never freed. In these as in any
// file the profile that SHUNT_PROFILE names takes the place of the file's.
const struct policy *policy_default(void);
const struct policy *policy_forbid_all(void);

// Reads the file at path into *out, which the caller gives to policy_free(). Blocks on file I/O,
// and on the user database where a rule names a user. Every mistake goes into *report, if given;
// the first error among the findings is the one to show where there is room for one. Returns 0
// (there may be warnings), -EINVAL for a mistake in the file, -ENOMEM, or the errno of opening and
// reading it. On failure *out is NULL.
int policy_load(const char *path, struct policy **out, struct policy_report *report);

// Reads the file at path only to report on it: all that policy_load() finds, and the rules that can
// never match. Returns like policy_load().
int policy_check(const char *path, struct policy_report *report);

void policy_free(struct policy *policy);

void policy_report_fini(struct policy_report *report);

// Narrows policy to the rules that one executable can match, so that deciding costs less; from then
// on the facts' program and exe are not looked at. To be done before the policy is shared. exe may
// be NULL. Returns 0, or -ENOMEM with the policy as it was.
int policy_bind(struct policy *policy, const char *program, const char *exe);

const struct policy_settings *policy_settings(const struct policy *policy);

// True when the file lists peers at all.
bool policy_has_peers(const struct policy *policy);

// Whether the file lists the host with that address, AF_INET or AF_INET6, as one whose shuntd may
// move connections here. *port is where its shuntd listens. Pure.
bool policy_peer(const struct policy *policy, const struct sockaddr *host, uint16_t *port);

// True when some rule asks for the interface, for the user: only then need the caller find it out.
bool policy_needs_interface(const struct policy *policy);
bool policy_needs_user(const struct policy *policy);

// Bytes that any connection may carry before there is something to do about it, whatever rule it
// falls under; 0 where some rule requires a lane.
uint32_t policy_patience_bytes(const struct policy *policy);

// True when some rule requires a lane.
bool policy_requires(const struct policy *policy);

// True when some rule, or the defaults, name lane.
bool policy_names_lane(const struct policy *policy, enum policy_lane lane);

// The first rule that matches facts, or the defaults. Pure: no allocation, lock or system call, so
// it is safe in a signal handler.
void policy_decide(const struct policy *policy, const struct policy_facts *facts,
                   struct policy_outcome *out);

// Rules of the policy, after policy_bind() those that are left.
size_t policy_rules(const struct policy *policy);

// Whether the rule that is i-th in the policy matches facts. If not, and text is given, text says
// by which key and value, e.g. `remote = "10.1.0.0/16:9000-9100", but the remote end is
// 127.0.0.1:6379`. *outcome is what the rule would say. For explanations; not for the path of a
// connection.
bool policy_rule_matches(const struct policy *policy, size_t i, const struct policy_facts *facts,
                         struct policy_outcome *outcome, char *text, size_t size);

// The words of shunt.conf for a value; static, never NULL.
const char *policy_action_name(enum policy_action action);
const char *policy_lane_name(enum policy_lane lane);
const char *policy_profile_name(enum policy_profile profile);
const char *policy_role_name(enum policy_role role);

#endif
