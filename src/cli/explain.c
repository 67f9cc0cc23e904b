// SPDX-License-Identifier: BSD-2-Clause
// `shunt explain`: what the policy says of one connection, and why.
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addrtext.h"
#include "cli/cli.h"
#include "cli/findings.h"
#include "cli/lanes.h"
#include "cm/iface.h"
#include "policy/value.h"

// A connection that is only imagined.
struct question {
    const char *conf; // NULL: the defaults
    struct policy_facts facts;
    struct sockaddr_storage local, remote;
    char interface[IF_NAMESIZE];
};

static bool read_user(const char *text, uid_t *uid)
{
    const struct passwd *entry = getpwnam(text);
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (entry)
        *uid = entry->pw_uid;
    else
        *uid = n;
    return entry || (*text >= '0' && *text <= '9' && !*end && n < UINT32_MAX);
}

// Reads ADDRESS:PORT, in the notation of the rules. The port may be missing if it is optional.
static const char *read_end(const char *text, bool port_optional, struct sockaddr_storage *out)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct endpoint end;
    const char *wrong = value_read_endpoint(text, &end);

    if (wrong)
        return wrong;
    if (!end.prefix.family || end.prefix.len != 128)
        return "one address is needed, as in 10.0.0.1:80 or [fd00::1]:80";
    if (value_port_is_any(&end.port) && port_optional)
        end.port.low = end.port.high = 0;
    if (end.port.low != end.port.high)
        return "one port is needed, as in 10.0.0.1:80 or [fd00::1]:80";
    in.sin_port = in6.sin6_port = htons(end.port.low);
    memcpy(&in.sin_addr, end.prefix.addr + 12, sizeof in.sin_addr);
    memcpy(&in6.sin6_addr, end.prefix.addr, sizeof in6.sin6_addr);
    if (end.prefix.family == AF_INET)
        memcpy(out, &in, sizeof in);
    else
        memcpy(out, &in6, sizeof in6);
    return NULL;
}

static socklen_t end_len(const struct sockaddr_storage *end)
{
    return end->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

// The address that the kernel would connect from. Sends nothing: the socket is UDP.
static void guess_local(struct question *q)
{
    int sock = socket(q->remote.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof q->local;

    if (sock < 0)
        return;
    if (!connect(sock, (struct sockaddr *)&q->remote, end_len(&q->remote)) &&
        !getsockname(sock, (struct sockaddr *)&q->local, &len)) {
        // the port would be another one; both families have it at the same place
        ((struct sockaddr_in *)&q->local)->sin_port = 0;
        q->facts.local = (struct sockaddr *)&q->local;
    }
    close(sock);
}

static void guess_interface(struct question *q)
{
    if (q->facts.local && !iface_of(q->facts.local, q->interface))
        q->facts.interface = q->interface;
}

static const char *address_text(const struct sockaddr *addr, char text[static ADDR_TEXT_BYTES])
{
    return addr ? addr_text(addr, text) : "an address not given";
}

static void print_question(const struct question *q)
{
    const struct policy_facts *f = &q->facts;
    bool client = f->role == POLICY_CLIENT;
    char local[ADDR_TEXT_BYTES], remote[ADDR_TEXT_BYTES];

    printf("%s, user %u, %s %s at %s, interface %s\n", f->program, (unsigned)f->uid,
           client ? "connects to" : "accepts from", address_text(f->remote, remote),
           address_text(f->local, local), f->interface ? f->interface : "not known");
    printf("policy: %s\n\n", q->conf ? q->conf : "no file; the defaults");
}

static void print_outcome(const struct policy_outcome *o)
{
    printf("  action = \"%s\", profile = \"%s\", spin_us = %u, ring_bytes = %u,\n"
           "  after_bytes = %" PRIu64 ", after_ms = %u, deadline_ms = %u, cross_user = %s\n\n",
           policy_action_name(o->action), policy_profile_name(o->profile), o->spin_us,
           o->ring_bytes, o->after_bytes, o->after_ms, o->deadline_ms,
           o->cross_user ? "true" : "false");
}

// Goes through the rules up to the one that decides, which *o is of.
static void print_rules(const struct policy *policy, const struct policy_facts *facts,
                        const struct policy_outcome *o)
{
    struct policy_outcome other;
    char why[512];

    for (size_t i = 0; i < policy_rules(policy); i++) {
        if (policy_rule_matches(policy, i, facts, &other, why, sizeof why))
            break;
        printf("rule \"%s\" (%s:%u) does not match: %s\n", other.rule_name, other.file, other.line,
               why);
    }
    if (o->rule >= 0)
        printf("rule \"%s\" (%s:%u) decides:\n", o->rule_name, o->file, o->line);
    else
        printf("no rule matches, so the defaults decide:\n");
    print_outcome(o);
}

static void print_lanes(const struct policy *policy, const struct policy_facts *facts,
                        const struct policy_outcome *o)
{
    char text[512];

    for (int i = 0; i < o->n_lanes; i++) {
        bool usable = lanes_usable(o->lanes[i], policy, facts, text, sizeof text);

        printf("lane %d: %-6s %s now: %s\n", i + 1, policy_lane_name(o->lanes[i]),
               usable ? "can be used" : "cannot be used", text);
    }
    if (o->action == POLICY_FORBID)
        puts("no lanes: the connection is left to the kernel");
    else if (o->action == POLICY_PREFER)
        puts("else:   kernel TCP");
    else if (facts->role == POLICY_CLIENT)
        puts("else:   connect() fails with ECONNREFUSED");
    else
        puts("else:   the connection is closed after deadline_ms");
}

static int explain_under(const struct policy *policy, const struct question *q)
{
    struct policy_outcome outcome;

    print_question(q);
    policy_decide(policy, &q->facts, &outcome);
    print_rules(policy, &q->facts, &outcome);
    print_lanes(policy, &q->facts, &outcome);
    return CLI_OK;
}

static int answer(const struct question *q)
{
    struct policy_report report = {0};
    struct policy *policy;
    int status = CLI_FAILED;

    if (!q->conf)
        return explain_under(policy_default(), q);
    if (policy_load(q->conf, &policy, &report)) {
        findings_print(&report, stderr);
        fprintf(stderr, "shunt explain: this file is not used; programs stay on kernel TCP\n");
    } else {
        status = explain_under(policy, q);
        policy_free(policy);
    }
    policy_report_fini(&report);
    return status;
}

static void set_program(struct question *q, const char *text)
{
    const char *slash = strrchr(text, '/');

    q->facts.program = slash ? slash + 1 : text;
    q->facts.exe = slash ? text : NULL;
}

// Takes one option. Returns NULL or what is wrong with its argument.
static const char *take_option(struct question *q, int option, const char *arg)
{
    const char *wrong = NULL;

    switch (option) {
    case 'p':
        set_program(q, arg);
        break;
    case 'u':
        wrong = read_user(arg, &q->facts.uid) ? NULL : "no such user";
        break;
    case 'l':
        wrong = read_end(arg, true, &q->local);
        q->facts.local = (struct sockaddr *)&q->local;
        break;
    case 'r':
        wrong = read_end(arg, false, &q->remote);
        q->facts.remote = (struct sockaddr *)&q->remote;
        break;
    case 'i':
        q->facts.interface = arg;
        break;
    case 'c':
        q->conf = arg;
        break;
    }
    return wrong;
}

// Reads the command line into *q. Returns CLI_OK or CLI_USAGE.
static int read_question(int argc, char **argv, struct question *q)
{
    static const struct option options[] = {
        {"program", required_argument, NULL, 'p'},   {"user", required_argument, NULL, 'u'},
        {"local", required_argument, NULL, 'l'},     {"remote", required_argument, NULL, 'r'},
        {"interface", required_argument, NULL, 'i'}, {0},
    };
    const char *wrong;
    int option;

    if (argc < 2 || (strcmp(argv[1], "connect") && strcmp(argv[1], "accept")))
        return cli_usage(&cli_explain, "the first argument must be connect or accept");
    q->facts.role = strcmp(argv[1], "connect") ? POLICY_SERVER : POLICY_CLIENT;
    argc--, argv++;
    while ((option = getopt_long(argc, argv, "+c:", options, NULL)) != -1) {
        if (option == '?')
            return cli_usage(&cli_explain, "bad option");
        wrong = take_option(q, option, optarg);
        if (wrong)
            return cli_usage(&cli_explain, "'%s': %s", optarg, wrong);
    }
    if (optind < argc)
        return cli_usage(&cli_explain, "unexpected argument '%s'", argv[optind]);
    if (!q->facts.program || !q->facts.remote)
        return cli_usage(&cli_explain, "--program and --remote are needed");
    return CLI_OK;
}

static int explain(int argc, char **argv)
{
    struct question q = {.conf = policy_path(), .facts.uid = geteuid()};
    int status = read_question(argc, argv, &q);

    if (status)
        return status;
    if (!q.facts.local && q.facts.role == POLICY_CLIENT)
        guess_local(&q);
    if (!q.facts.interface)
        guess_interface(&q);
    return answer(&q);
}

const struct cli_command cli_explain = {
    .name = "explain",
    .usage = "connect|accept --program PROGRAM --remote ADDRESS:PORT [--local ADDRESS[:PORT]]\n"
             "                     [--user USER] [--interface NAME] [-c FILE]",
    .summary = "Tells which rule would decide about a connection, and why",
    .details =
        "For each lane of the rule it also tells whether this host could use it now. No "
        "connection\n"
        "is made. PROGRAM is a file name or a path; rules with a path match only a path. --local\n"
        "defaults, for connect, to the address that the kernel would choose; -c to SHUNT_CONFIG,\n"
        "else the system's file.\n",
    .run = explain,
};
