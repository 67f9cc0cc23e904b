// SPDX-License-Identifier: BSD-2-Clause
// From the text of a file to what it says.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>

#include "base/util.h"
#include "config_text.h"

static struct sockaddr_storage ends[2];

// Fills slot i with "ADDR PORT"; IPv6 when there is a colon.
static const struct sockaddr *end(int i, const char *addr, uint16_t port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

    if (strchr(addr, ':')) {
        assert_int_equal(inet_pton(AF_INET6, addr, &in6.sin6_addr), 1);
        memcpy(&ends[i], &in6, sizeof in6);
    } else {
        assert_int_equal(inet_pton(AF_INET, addr, &in.sin_addr), 1);
        memcpy(&ends[i], &in, sizeof in);
    }
    return (struct sockaddr *)&ends[i];
}

// A redis server of user 1000 that 10.1.2.3:40000 has connected to.
static struct policy_facts redis(void)
{
    return (struct policy_facts){
        .program = "redis-server",
        .exe = "/usr/bin/redis-server",
        .uid = 1000,
        .role = POLICY_SERVER,
        .local = end(0, "10.1.0.1", 6379),
        .remote = end(1, "10.1.2.3", 40000),
        .interface = "eth0",
    };
}

// Whether a rule of nothing but key = value matches the facts.
static bool matches(const char *key_value, struct policy_facts facts)
{
    struct policy_outcome out;
    struct policy *policy;
    char text[256];

    snprintf(text, sizeof text, "rules = ( { %s; } );", key_value);
    policy = config_policy(text);
    policy_decide(policy, &facts, &out);
    policy_free(policy);
    return out.rule == 0;
}

static void test_each_key_matches(void **state)
{
    static const char *const yes[] = {
        "program = \"redis-*\"",
        "program = \"/usr/bin/*\"",
        "program = \"redis-server\"",
        "user = 1000",
        "role = \"server\"",
        "local = \"*:6379\"",
        "local = \"10.1.0.0/16\"",
        "local = \"10.1.0.1:6000-6379\"",
        "remote = \"10.1.2.3\"",
        "remote = \"*:40000\"",
        "port = 6379",
        "port = 40000",
        "port = \"6379-6380\"",
        "interface = \"eth*\"",
    };
    static const char *const no[] = {
        "program = \"nginx\"",
        "program = \"/opt/*\"",
        "program = \"bin/redis-*\"",
        "user = 0",
        "role = \"client\"",
        "local = \"*:6380\"",
        "local = \"10.2.0.0/16\"",
        "local = \"[::/0]\"",
        "remote = \"10.1.2.4\"",
        "remote = \"*:6379\"",
        "port = 22",
        "port = \"6380-39999\"",
        "interface = \"lo\"",
        "user = \"nobody-of-this-name\"",
    };

    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (!matches(yes[i], redis()))
            fail_msg("does not match: %s", yes[i]);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (matches(no[i], redis()))
            fail_msg("matches: %s", no[i]);
}

static void test_user_by_name(void **state)
{
    struct policy_facts facts = redis();

    facts.uid = 0;
    assert_true(matches("user = \"root\"", facts));
    facts.uid = 1;
    assert_false(matches("user = \"root\"", facts));
}

static void test_ipv6(void **state)
{
    struct policy_facts facts = redis();

    facts.remote = end(1, "fd00::17", 7000);
    assert_true(matches("remote = \"[fd00::/8]:7000\"", facts));
    assert_true(matches("remote = \"*:7000\"", facts));
    assert_false(matches("remote = \"[fe80::/10]\"", facts));
    facts.remote = end(1, "::ffff:10.1.2.3", 7000);
    assert_true(matches("remote = \"10.1.0.0/16\"", facts));
    assert_false(matches("remote = \"[::/0]\"", facts));
}

static void test_what_is_not_known_matches_nothing(void **state)
{
    struct policy_facts facts = redis();

    facts.local = facts.remote = NULL;
    facts.interface = facts.exe = NULL;
    assert_false(matches("remote = \"*:1-65535\"", facts));
    assert_false(matches("local = \"0.0.0.0/0\"", facts));
    assert_false(matches("port = \"1-65535\"", facts));
    assert_false(matches("interface = \"*\"", facts));
    assert_false(matches("program = \"/*\"", facts));
    assert_true(matches("remote = \"*\"", facts));
}

static void test_first_match_wins(void **state)
{
    struct policy *policy = config_policy("rules = ( { name = \"a\"; port = 1; },\n"
                                          "{ name = \"b\"; port = 6379; },\n"
                                          "{ name = \"c\"; role = \"server\"; } );");
    struct policy_facts facts = redis();
    struct policy_outcome out;

    policy_decide(policy, &facts, &out);
    assert_int_equal(out.rule, 1);
    assert_string_equal(out.rule_name, "b");
    assert_int_equal(out.line, 2);
    assert_non_null(strstr(out.file, "/tmp/shunt-policy-"));
    policy_free(policy);
}

// The outcome of the only rule in text, which has no match keys, or of the defaults.
static struct policy_outcome outcome_of(const char *text)
{
    struct policy *policy = config_policy(text);
    struct policy_facts facts = redis();
    struct policy_outcome out;

    policy_decide(policy, &facts, &out);
    policy_free(policy); // with it go the strings, which nobody looks at
    return out;
}

static void test_defaults(void **state)
{
    struct policy_outcome out = outcome_of("");

    assert_int_equal(out.rule, -1);
    assert_int_equal(out.action, POLICY_PREFER);
    assert_int_equal(out.profile, POLICY_BALANCED);
    assert_int_equal(out.n_lanes, 2);
    assert_int_equal(out.lanes[0], POLICY_LANE_SHM);
    assert_int_equal(out.lanes[1], POLICY_LANE_RDMA);
    assert_int_equal(out.spin_us, 50);
    assert_int_equal(out.ring_bytes, 262144);
    assert_int_equal(out.after_bytes, 16384);
    assert_int_equal(out.after_ms, 0);
    assert_int_equal(out.deadline_ms, 1000);
    assert_false(out.cross_user);
}

static void test_profile_presets(void **state)
{
    assert_int_equal(outcome_of("profile = \"latency\";").spin_us, 1000000);
    assert_int_equal(outcome_of("profile = \"latency\";").after_bytes, 1);
    assert_int_equal(outcome_of("profile = \"quiet\";").spin_us, 0);
    assert_int_equal(outcome_of("rules = ( { profile = \"latency\"; } );").spin_us, 1000000);
    assert_int_equal(outcome_of("rules = ( { profile = \"latency\"; } );").profile, POLICY_LATENCY);
}

static void test_who_sets_a_value(void **state)
{
    // the rule, its profile, defaults, the file's profile, the schema
    assert_int_equal(outcome_of("profile = \"quiet\"; defaults = { spin_us = 7; };"
                                "rules = ( { profile = \"latency\"; spin_us = 9; } );")
                         .spin_us,
                     9);
    assert_int_equal(outcome_of("profile = \"quiet\"; defaults = { spin_us = 7; };"
                                "rules = ( { profile = \"balanced\"; } );")
                         .spin_us,
                     50);
    assert_int_equal(outcome_of("profile = \"quiet\"; defaults = { spin_us = 7; };"
                                "rules = ( { } );")
                         .spin_us,
                     7);
    assert_int_equal(outcome_of("profile = \"quiet\"; rules = ( { } );").spin_us, 0);
    assert_int_equal(outcome_of("defaults = { ring_bytes = 4096; };"
                                "rules = ( { profile = \"latency\"; } );")
                         .ring_bytes,
                     4096);
}

static void test_environment_goes_before_the_files_profile(void **state)
{
    setenv("SHUNT_PROFILE", "latency", 1);
    assert_int_equal(outcome_of("profile = \"quiet\";").profile, POLICY_LATENCY);
    assert_int_equal(outcome_of("").after_bytes, 1);
    assert_int_equal(outcome_of("rules = ( { profile = \"quiet\"; } );").profile, POLICY_QUIET);
    setenv("SHUNT_PROFILE", "swift", 1);
    assert_int_equal(outcome_of("profile = \"quiet\";").profile, POLICY_QUIET);
    unsetenv("SHUNT_PROFILE");
}

static void test_forbid_has_no_lanes(void **state)
{
    assert_int_equal(
        outcome_of("rules = ( { action = \"forbid\"; lanes = [ \"shm\" ]; } );").n_lanes, 0);
}

static void test_lanes_keep_their_order(void **state)
{
    struct policy_outcome out =
        outcome_of("rules = ( { lanes = [ \"tcp\", \"shm\", \"kernel\" ]; } );");

    assert_int_equal(out.n_lanes, 3);
    assert_int_equal(out.lanes[0], POLICY_LANE_TCP);
    assert_int_equal(out.lanes[1], POLICY_LANE_SHM);
    assert_int_equal(out.lanes[2], POLICY_LANE_KERNEL);
}

static void test_settings(void **state)
{
    struct policy *policy = config_policy("log = \"info\"; daemon_socket = \"/run/x\";"
                                          "ring_budget_bytes = 8589934592L; channel_budget = 3;"
                                          "pinned_budget_bytes = 4096; link_budget = 7;");
    const struct policy_settings *s = policy_settings(policy);

    assert_int_equal(s->log, LOG_INFO);
    assert_string_equal(s->daemon_socket, "/run/x");
    assert_int_equal(s->ring_budget_bytes, UINT64_C(8589934592));
    assert_int_equal(s->channel_budget, 3);
    assert_int_equal(s->pinned_budget_bytes, 4096);
    assert_int_equal(s->link_budget, 7);
    policy_free(policy);
    assert_null(policy_settings(policy_default())->daemon_socket);
}

static void test_built_in_policies(void **state)
{
    struct policy_facts facts = redis();
    struct policy_outcome out;

    policy_decide(policy_default(), &facts, &out);
    assert_int_equal(out.action, POLICY_PREFER);
    assert_string_equal(out.file, "");
    policy_decide(policy_forbid_all(), &facts, &out);
    assert_int_equal(out.action, POLICY_FORBID);
    assert_int_equal(out.n_lanes, 0);
}

static void patience_is(const char *text, uint32_t bytes)
{
    struct policy *policy = config_policy(text);

    assert_int_equal(policy_patience_bytes(policy), bytes);
    policy_free(policy);
}

#define D "defaults = { after_bytes = 5000; }; "
static void test_patience_is_that_of_the_least_patient_rule(void **state)
{
    assert_int_equal(policy_patience_bytes(policy_default()), 16384); // without a file
    assert_true(policy_names_lane(policy_default(), POLICY_LANE_SHM));
    patience_is(D, 5000);
    patience_is(D "rules = ( { port = 1; after_bytes = 70; } );", 70);
    patience_is(D "rules = ( { port = 1; after_bytes = 9000; } );", 5000);
    patience_is(D "rules = ( { action = \"forbid\"; after_bytes = 0; } );", 5000);
    patience_is(D "rules = ( { port = 1; action = \"require\"; "
                  "after_bytes = 6000; lanes = [ \"shm\" ]; } );",
                0);
}

#undef D

static void test_bind_keeps_the_rules_of_one_program(void **state)
{
    struct policy *policy =
        config_policy("rules = ( { program = \"nginx\"; interface = \"eth0\"; user = \"root\"; },"
                      "{ program = \"redis-*\"; name = \"mine\"; }, { } );");
    struct policy_facts facts = redis();
    struct policy_outcome out;

    assert_true(policy_needs_interface(policy));
    assert_true(policy_needs_user(policy));
    assert_int_equal(policy_bind(policy, "redis-server", NULL), 0);
    assert_int_equal(policy_rules(policy), 2);
    assert_false(policy_needs_interface(policy));
    assert_false(policy_needs_user(policy));
    facts.program = NULL;
    policy_decide(policy, &facts, &out);
    assert_int_equal(out.rule, 1);
    assert_string_equal(out.rule_name, "mine");
    policy_free(policy);
}

static void test_why_a_rule_does_not_match(void **state)
{
    struct policy *policy = config_policy("rules = ( { remote = \"10.9.0.0/16:80\"; },"
                                          "{ program = \"/opt/*\"; }, { port = 22; }, { } );");
    struct policy_facts facts = redis();
    struct policy_outcome out;
    char why[256];

    assert_false(policy_rule_matches(policy, 0, &facts, &out, why, sizeof why));
    assert_string_equal(why, "remote = \"10.9.0.0/16:80\", but the remote end is 10.1.2.3:40000");
    assert_string_equal(out.rule_name, "rule 1");
    assert_false(policy_rule_matches(policy, 1, &facts, &out, why, sizeof why));
    assert_string_equal(why, "program = \"/opt/*\", but the path is /usr/bin/redis-server");
    assert_false(policy_rule_matches(policy, 2, &facts, &out, why, sizeof why));
    assert_string_equal(
        why, "port = 22, but the ends are 10.1.0.1:6379 (local) and 10.1.2.3:40000 (remote)");
    assert_true(policy_rule_matches(policy, 3, &facts, &out, why, sizeof why));
    policy_free(policy);
}

static void test_a_mistake_refuses_the_file(void **state)
{
    struct policy_report report = {0};
    struct policy *policy;

    assert_int_equal(
        config_load("rules = ( { },\n { port = 0; }, { rolle = 1; } );", &policy, &report),
        -EINVAL);
    assert_null(policy);
    assert_int_equal(report.n_errors, 2);
    assert_int_equal(report.findings[0].line, 2);
    policy_report_fini(&report);
    assert_int_equal(config_load("rules = (", &policy, NULL), -EINVAL);
    assert_null(policy);
}

static void test_a_file_that_is_none(void **state)
{
    struct policy_report report = {0};
    struct policy *policy;
    char path[32];

    assert_int_equal(policy_load("/nowhere/shunt.conf", &policy, &report), -ENOENT);
    assert_int_equal(policy_load("/tmp", &policy, &report), -EISDIR);
    assert_int_equal(policy_load("/dev/zero", &policy, &report), -EINVAL);
    config_write_text("log = \"info\";\0log = 5;", 22, path);
    assert_int_equal(policy_load(path, &policy, &report), -EINVAL);
    unlink(path);
    assert_int_equal(report.n_errors, 4);
    policy_report_fini(&report);
}

static void test_a_cut_number_is_refused(void **state)
{
    struct policy *policy;

    assert_int_equal(config_load("ring_budget_bytes = 4294967296;", &policy, NULL), -EINVAL);
    assert_int_equal(config_load("ring_budget_bytes = 0x100001000;", &policy, NULL), -EINVAL);
    assert_int_equal(config_load("ring_budget_bytes = 4294967296L;", &policy, NULL), 0);
    policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_key_matches),
        cmocka_unit_test(test_user_by_name),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_what_is_not_known_matches_nothing),
        cmocka_unit_test(test_first_match_wins),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_profile_presets),
        cmocka_unit_test(test_who_sets_a_value),
        cmocka_unit_test(test_environment_goes_before_the_files_profile),
        cmocka_unit_test(test_forbid_has_no_lanes),
        cmocka_unit_test(test_lanes_keep_their_order),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_built_in_policies),
        cmocka_unit_test(test_patience_is_that_of_the_least_patient_rule),
        cmocka_unit_test(test_bind_keeps_the_rules_of_one_program),
        cmocka_unit_test(test_why_a_rule_does_not_match),
        cmocka_unit_test(test_a_mistake_refuses_the_file),
        cmocka_unit_test(test_a_file_that_is_none),
        cmocka_unit_test(test_a_cut_number_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
