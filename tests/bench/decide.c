// SPDX-License-Identifier: BSD-2-Clause
// The time of one policy_decide() among many rules, for a connection that the last rule decides
// (common: its program has few rules) and for one that no rule matches. Prints one JSON line.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "load.h"
#include "policy/policy.h"

#define RULES 10000
#define TURNS 100000

// A file in which every rule has its program and its ports, as a fleet's file has.
static void write_rules(const char *path)
{
    FILE *file = fopen(path, "w");

    if (!file)
        load_die(path);
    fprintf(file, "rules = (\n");
    for (int i = 0; i < RULES; i++)
        fprintf(file,
                "  { name = \"rule %d\"; program = \"service-%d\"; remote = \"10.%d.%d.0/24:%d\"; "
                "}%s\n",
                i, i, i / 250, i % 250, 1024 + i, i + 1 < RULES ? "," : "");
    fprintf(file, ");\n");
    if (fclose(file))
        load_die(path);
}

static struct sockaddr_in address(const char *ip, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

// Nanoseconds a decision; fails where another rule than wanted decides.
static double time_decisions(const struct policy *policy, const struct policy_facts *facts,
                             const char *want)
{
    struct policy_outcome outcome;
    uint64_t start = clock_now_ns();

    for (int i = 0; i < TURNS; i++)
        policy_decide(policy, facts, &outcome);
    if (want ? strcmp(outcome.rule_name, want) != 0 : outcome.rule != -1)
        load_die("decide: the wrong rule decided");
    return (double)(clock_now_ns() - start) / TURNS;
}

int main(void)
{
    char path[] = "/tmp/shunt-decide-XXXXXX";
    struct sockaddr_in local = address("10.0.0.1", 40000), other = address("192.0.2.1", 80);
    struct sockaddr_in last = address("10.39.249.7", 1024 + RULES - 1);
    struct policy_facts hit = {.program = "service-9999",
                               .exe = "/usr/bin/service-9999",
                               .role = POLICY_CLIENT,
                               .local = (struct sockaddr *)&local,
                               .remote = (struct sockaddr *)&last};
    struct policy_facts miss = hit;
    struct policy *policy;
    double unbound_ns, miss_ns, bound_ns;
    int fd = mkstemp(path);

    if (fd < 0)
        load_die(path);
    close(fd);
    write_rules(path);
    errno = -policy_load(path, &policy, NULL);
    unlink(path);
    if (errno)
        load_die("decide: policy_load");
    miss.program = "another";
    miss.exe = "/usr/bin/another";
    miss.remote = (struct sockaddr *)&other;
    unbound_ns = time_decisions(policy, &hit, "rule 9999");
    miss_ns = time_decisions(policy, &miss, NULL);
    if (policy_bind(policy, hit.program, hit.exe))
        load_die("decide: policy_bind");
    bound_ns = time_decisions(policy, &hit, "rule 9999");
    policy_free(policy);
    printf("{\"rules\": %d, \"match_ns\": %.1f, \"no_match_ns\": %.1f, \"match_bound_ns\": %.1f}\n",
           RULES, unbound_ns, miss_ns, bound_ns);
    return 0;
}
