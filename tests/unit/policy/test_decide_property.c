// SPDX-License-Identifier: BSD-2-Clause
// Random rules and random connections: policy_decide() against a reference that knows nothing of
// prefixes of bits, blocks of ports and indexes; and no rule that policy_check() calls dead
// decides. The environment's SEED takes another run.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fnmatch.h>

#include "base/util.h"
#include "config_text.h"

enum { ROUNDS = 400, MAX_RULES = 80, FLOWS = 300, PORTS = 40, NONE = -1 };

// The pools are small, so that rules overlap and connections hit.
static const char *const patterns[] = {"redis-*",    "*",         "nginx",  "n?inx",
                                       "/usr/bin/*", "*/redis-*", "[a-n]*", "/opt/trade/feed"};
static const char *const exes[] = {"/usr/bin/redis-server", "/usr/sbin/nginx", "/opt/trade/feed",
                                   "/usr/bin/redis-cli"};
static const char *const interfaces[] = {"lo", "eth0", "eth1", "wlan0"};
static const char *const interface_patterns[] = {"lo", "eth*", "*", "wlan?"};

struct ref_end {
    bool any_addr, v6;
    uint8_t addr[16];   // the first 4 for IPv4
    int len, low, high; // low NONE: any port
};

struct ref_rule {
    int pattern, interface, uid, role; // NONE: not asked for
    int low, high;                     // low NONE: no port
    bool has_local, has_remote;
    struct ref_end local, remote;
};

struct ref_flow {
    struct policy_facts facts;
    struct sockaddr_storage local, remote;
};

static uint64_t seed;

static unsigned pick(unsigned n)
{
    // xorshift64*
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (unsigned)((seed * UINT64_C(2685821657736338717)) >> 33) % n;
}

static void pick_addr(bool v6, uint8_t addr[16])
{
    memset(addr, 0, 16);
    addr[0] = v6 ? 0xfd : 10;
    addr[1] = pick(2) << 7 | pick(2);
    addr[v6 ? 14 : 2] = pick(4) << 6;
    addr[v6 ? 15 : 3] = pick(4) << 6 | pick(4);
}

static void pick_ports(int *low, int *high)
{
    *low = 1 + pick(PORTS);
    *high = pick(2) ? *low : *low + (int)pick(PORTS);
}

static void pick_end(struct ref_end *end)
{
    static const int v4_lens[] = {0, 8, 9, 16, 25, 26, 31, 32},
                     v6_lens[] = {0, 8, 9, 63, 64, 65, 122, 128};

    *end = (struct ref_end){.any_addr = pick(3) == 0, .v6 = pick(3) == 0, .low = NONE};
    pick_addr(end->v6, end->addr);
    end->len = (end->v6 ? v6_lens : v4_lens)[pick(8)];
    if (pick(2) || end->any_addr)
        pick_ports(&end->low, &end->high);
}

static void pick_rule(struct ref_rule *rule)
{
    *rule = (struct ref_rule){
        .pattern = pick(3) ? NONE : (int)pick(ARRAY_LEN(patterns)),
        .interface = pick(6) ? NONE : (int)pick(ARRAY_LEN(interface_patterns)),
        .uid = pick(4) ? NONE : (int)pick(3),
        .role = pick(3) ? NONE : (int)pick(2),
        .low = NONE,
        .has_local = pick(3) == 0,
        .has_remote = pick(2) == 0,
    };
    if (pick(3) == 0)
        pick_ports(&rule->low, &rule->high);
    if (rule->has_local)
        pick_end(&rule->local);
    if (rule->has_remote)
        pick_end(&rule->remote);
}

static void write_end(FILE *out, const char *key, const struct ref_end *end)
{
    char addr[INET6_ADDRSTRLEN];

    fprintf(out, "%s = \"", key);
    inet_ntop(end->v6 ? AF_INET6 : AF_INET, end->addr, addr, sizeof addr);
    if (end->any_addr)
        fprintf(out, "*");
    else
        fprintf(out, end->v6 ? "[%s/%d]" : "%s/%d", addr, end->len);
    if (end->low != NONE)
        fprintf(out, ":%d-%d", end->low, end->high);
    fprintf(out, "\"; ");
}

static void write_rule(FILE *out, const struct ref_rule *rule)
{
    fprintf(out, "{ ");
    if (rule->pattern != NONE)
        fprintf(out, "program = \"%s\"; ", patterns[rule->pattern]);
    if (rule->interface != NONE)
        fprintf(out, "interface = \"%s\"; ", interface_patterns[rule->interface]);
    if (rule->uid != NONE)
        fprintf(out, "user = %d; ", rule->uid);
    if (rule->role != NONE)
        fprintf(out, "role = \"%s\"; ", policy_role_name(rule->role));
    if (rule->low != NONE)
        fprintf(out, "port = \"%d-%d\"; ", rule->low, rule->high);
    if (rule->has_local)
        write_end(out, "local", &rule->local);
    if (rule->has_remote)
        write_end(out, "remote", &rule->remote);
    fprintf(out, "}");
}

// The rules as a file; the caller frees it.
static char *text_of(const struct ref_rule *rules, int n)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    fprintf(out, "rules = ( ");
    for (int i = 0; i < n; i++) {
        fprintf(out, "%s", i ? ", " : "");
        write_rule(out, &rules[i]);
    }
    fprintf(out, " );\n");
    fclose(out);
    return text;
}

// Sets dead[i] of each rule i that a warning says can never match.
static void find_dead(const char *text, bool dead[MAX_RULES])
{
    struct policy_report report = {0};
    char path[32];
    int i;

    memset(dead, 0, MAX_RULES);
    config_write_text(text, strlen(text), path);
    assert_int_equal(policy_check(path, &report), 0);
    unlink(path);
    for (size_t j = 0; j < report.n_findings; j++)
        if (strstr(report.findings[j].text, "can never match") &&
            sscanf(report.findings[j].text, "rule \"rule %d\"", &i) == 1)
            dead[i - 1] = true;
    policy_report_fini(&report);
}

static const struct sockaddr *pick_sockaddr(struct sockaddr_storage *out, bool v6)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(1 + pick(2 * PORTS))};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(1 + pick(2 * PORTS))};
    uint8_t addr[16];

    if (pick(20) == 0)
        return NULL;
    pick_addr(v6, addr);
    memcpy(&in.sin_addr, addr, 4);
    memcpy(&in6.sin6_addr, addr, 16);
    if (!v6 && pick(2)) { // the same address, mapped
        in6.sin6_addr = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
        memcpy(in6.sin6_addr.s6_addr + 12, addr, 4);
        v6 = true;
    }
    *out = (struct sockaddr_storage){0};
    if (v6)
        memcpy(out, &in6, sizeof in6);
    else
        memcpy(out, &in, sizeof in);
    return (struct sockaddr *)out;
}

static void pick_flow(struct ref_flow *flow)
{
    bool v6 = pick(3) == 0;
    const char *exe = exes[pick(ARRAY_LEN(exes))];

    flow->facts = (struct policy_facts){
        .program = strrchr(exe, '/') + 1,
        .exe = exe,
        .uid = pick(3),
        .role = pick(2),
        .local = pick_sockaddr(&flow->local, v6),
        .remote = pick_sockaddr(&flow->remote, v6),
        .interface = pick(8) ? interfaces[pick(ARRAY_LEN(interfaces))] : NULL,
    };
}

// Takes a socket address apart: 4 or 16 bytes, and whether it is really IPv6.
static int ref_port(const struct sockaddr *addr, uint8_t bytes[16], bool *v6)
{
    struct sockaddr_in6 in6;
    struct sockaddr_in in;

    if (addr->sa_family == AF_INET) {
        memcpy(&in, addr, sizeof in);
        memcpy(bytes, &in.sin_addr, 4);
        *v6 = false;
        return ntohs(in.sin_port);
    }
    memcpy(&in6, addr, sizeof in6);
    *v6 = !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
    memcpy(bytes, in6.sin6_addr.s6_addr + (*v6 ? 0 : 12), *v6 ? 16 : 4);
    return ntohs(in6.sin6_port);
}

static bool ref_port_in(int low, int high, const struct sockaddr *addr)
{
    uint8_t bytes[16];
    bool v6;
    int port = addr ? ref_port(addr, bytes, &v6) : NONE;

    return low <= port && port <= high;
}

static bool ref_end_takes(const struct ref_end *end, const struct sockaddr *addr)
{
    uint8_t bytes[16];
    bool v6;

    if (!addr)
        return end->any_addr && end->low == NONE;
    if (end->low != NONE && !ref_port_in(end->low, end->high, addr))
        return false;
    ref_port(addr, bytes, &v6);
    if (end->any_addr)
        return true;
    for (int i = 0; i < end->len; i++) // bit by bit
        if ((bytes[i / 8] ^ end->addr[i / 8]) >> (7 - i % 8) & 1)
            return false;
    return end->v6 == v6;
}

static bool ref_pattern_takes(const char *pattern, const struct policy_facts *facts)
{
    return !fnmatch(pattern, strchr(pattern, '/') ? facts->exe : facts->program, 0);
}

static bool ref_matches(const struct ref_rule *rule, const struct policy_facts *f)
{
    if (rule->pattern != NONE && !ref_pattern_takes(patterns[rule->pattern], f))
        return false;
    if (rule->interface != NONE &&
        !(f->interface && !fnmatch(interface_patterns[rule->interface], f->interface, 0)))
        return false;
    if (rule->uid != NONE && rule->uid != (int)f->uid)
        return false;
    if (rule->role != NONE && rule->role != (int)f->role)
        return false;
    if (rule->low != NONE && !ref_port_in(rule->low, rule->high, f->local) &&
        !ref_port_in(rule->low, rule->high, f->remote))
        return false;
    if (rule->has_local && !ref_end_takes(&rule->local, f->local))
        return false;
    return !rule->has_remote || ref_end_takes(&rule->remote, f->remote);
}

static int ref_decide(const struct ref_rule *rules, int n, const struct policy_facts *facts)
{
    for (int i = 0; i < n; i++)
        if (ref_matches(&rules[i], facts))
            return i;
    return -1;
}

// One policy, asked about FLOWS connections.
static void try_rules(const struct ref_rule *rules, int n, int round, unsigned *hits)
{
    char *text = text_of(rules, n);
    struct policy *policy = config_policy(text), *bound = config_policy(text);
    const char *exe = exes[pick(ARRAY_LEN(exes))];
    bool dead[MAX_RULES];
    struct policy_outcome out;
    struct ref_flow flow;

    find_dead(text, dead);
    free(text);
    assert_int_equal(policy_bind(bound, strrchr(exe, '/') + 1, exe), 0);
    for (int i = 0; i < FLOWS; i++) {
        int want;

        pick_flow(&flow);
        want = ref_decide(rules, n, &flow.facts);
        policy_decide(policy, &flow.facts, &out);
        if (out.rule != want)
            fail_msg("round %d, flow %d: rule %d, not %d", round, i, out.rule, want);
        if (want >= 0 && dead[want])
            fail_msg("round %d, flow %d: rule %d was said to match nothing", round, i, want);
        *hits += want >= 0;
        if (strcmp(flow.facts.exe, exe))
            continue;
        flow.facts.exe = flow.facts.program = NULL;
        policy_decide(bound, &flow.facts, &out);
        if (out.rule != want)
            fail_msg("round %d, flow %d, bound: rule %d, not %d", round, i, out.rule, want);
    }
    policy_free(policy);
    policy_free(bound);
}

static void test_decide_agrees_with_reference(void **state)
{
    const char *given = getenv("SEED");
    struct ref_rule rules[MAX_RULES];
    unsigned hits = 0;

    seed = given ? strtoull(given, NULL, 0) : 20261123;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < ROUNDS; round++) {
        int n = pick(MAX_RULES);

        for (int i = 0; i < n; i++)
            pick_rule(&rules[i]);
        try_rules(rules, n, round, &hits);
    }
    // else the pools are wrong and the test says nothing
    assert_in_range(hits, ROUNDS * FLOWS / 4, ROUNDS * FLOWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decide_agrees_with_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
