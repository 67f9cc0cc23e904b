// SPDX-License-Identifier: BSD-2-Clause
// The time of one policy_decide() among 10,000 rules. match_ns is the common match: a fleet's file
// in which every rule has its program, network and port, asked about connections that its rules
// decide; match_bound_ns the same once the policy is bound to the program, as a process has it;
// no_match_ns where no rule decides. The others are files of other shapes, asked likewise.
// Prints one JSON line.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "load.h"
#include "policy/policy.h"

#define RULES 10000
#define FLOWS 1000
#define TURNS 100000
#define STEP  7919 // a prime: the rules are met out of their order

struct shape {
    const char *name;
    const char
        *rule; // printf: 1$ the rule's number, 2$ and 3$ its two halves, 4$ a number of its own
    const char *remote;   // likewise: an address that the rule takes
    uint16_t remote_port; // 0: 4$
};

static const struct shape shapes[] = {
    {"match", "program = \"service-%1$d\"; remote = \"10.%2$d.%3$d.0/24:%4$d\";", "10.%2$d.%3$d.7",
     0},
    {"networks", "remote = \"10.%2$d.%3$d.0/24\";", "10.%2$d.%3$d.7", 0},
    {"networks_one_port", "remote = \"10.%2$d.%3$d.0/24:443\";", "10.%2$d.%3$d.7", 443},
    {"network_pairs", "local = \"172.16.%2$d.0/24\"; remote = \"10.0.%3$d.0/24\";", "10.0.%3$d.7",
     0},
    {"ports", "port = %4$d;", "10.%2$d.%3$d.7", 0},
    {"users", "user = %4$d; role = \"client\";", "10.%2$d.%3$d.7", 0},
};

// A connection, and the rule that decides it.
struct flow {
    struct policy_facts facts;
    struct sockaddr_in local, remote;
    char program[32];
    int rule;
};

static int own_number(int rule)
{
    return 1024 + rule;
}

static void write_rule(FILE *file, const char *format, int i)
{
    fputs(i ? ",\n{ " : "{ ", file);
    fprintf(file, format, i, i / 100, i % 100, own_number(i));
    fputs(" }", file);
}

static struct policy *load_shape(const struct shape *shape)
{
    char path[] = "/tmp/shunt-decide-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    struct policy *policy;

    if (!file)
        load_die(path);
    fputs("rules = (\n", file);
    for (int i = 0; i < RULES; i++)
        write_rule(file, shape->rule, i);
    fputs(");\n", file);
    if (fclose(file))
        load_die(path);
    errno = -policy_load(path, &policy, NULL);
    unlink(path);
    if (errno)
        load_die(shape->name);
    return policy;
}

static struct sockaddr_in address(const char *format, int rule, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    char ip[32];

    snprintf(ip, sizeof ip, format, rule, rule / 100, rule % 100, own_number(rule));
    if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
        load_die(ip);
    return a;
}

static void make_flow(struct flow *flow, const struct shape *shape, int rule)
{
    uint16_t port = own_number(rule);

    flow->rule = rule;
    flow->local = address("172.16.%2$d.9", rule, port);
    flow->remote = address(shape->remote, rule, shape->remote_port ? shape->remote_port : port);
    snprintf(flow->program, sizeof flow->program, "service-%d", rule);
    flow->facts = (struct policy_facts){
        .program = flow->program,
        .uid = own_number(rule),
        .role = POLICY_CLIENT,
        .local = (struct sockaddr *)&flow->local,
        .remote = (struct sockaddr *)&flow->remote,
    };
}

// Nanoseconds a decision, over all flows in turn; fails where another rule decides.
static double time_flows(const struct policy *policy, const struct flow *flows, int n)
{
    struct policy_outcome outcome;
    uint64_t start = clock_now_ns();

    for (int turn = 0, i = 0; turn < TURNS; turn++, i = i + 1 < n ? i + 1 : 0) {
        policy_decide(policy, &flows[i].facts, &outcome);
        if (outcome.rule != flows[i].rule)
            load_die("decide: the wrong rule decided");
    }
    return (double)(clock_now_ns() - start) / TURNS;
}

static double time_shape(const struct shape *shape, struct flow *flows)
{
    struct policy *policy = load_shape(shape);
    double ns;

    for (int i = 0; i < FLOWS; i++)
        make_flow(&flows[i], shape, i * STEP % RULES);
    ns = time_flows(policy, flows, FLOWS);
    policy_free(policy);
    return ns;
}

// The first shape for one program of its own, as a process has it; and when no rule matches.
static void time_bound(struct flow *flow, double *bound_ns, double *miss_ns)
{
    struct policy *policy = load_shape(&shapes[0]);

    make_flow(flow, &shapes[0], RULES - 1);
    flow->remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    flow->rule = -1;
    *miss_ns = time_flows(policy, flow, 1);
    make_flow(flow, &shapes[0], RULES - 1);
    errno = -policy_bind(policy, flow->program, NULL);
    if (errno)
        load_die("policy_bind");
    *bound_ns = time_flows(policy, flow, 1);
    policy_free(policy);
}

int main(void)
{
    static struct flow flows[FLOWS];
    double bound_ns, miss_ns;

    time_bound(&flows[0], &bound_ns, &miss_ns);
    printf("{\"rules\": %d, \"no_match_ns\": %.1f, \"match_bound_ns\": %.1f", RULES, miss_ns,
           bound_ns);
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        printf(", \"%s_ns\": %.1f", shapes[i].name, time_shape(&shapes[i], flows));
    printf("}\n");
    return 0;
}
