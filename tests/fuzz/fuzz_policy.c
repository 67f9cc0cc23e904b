// SPDX-License-Identifier: BSD-2-Clause
// Any bytes as a shunt.conf: loading ends in a policy or in a reported error, and what was loaded
// decides the same before and after it is bound to a program.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

// libconfig 1.5 itself loses the text of a string that has no end.
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so";
}

static void decide(struct policy *policy)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(6379)}, remote = local;
    struct policy_facts facts = {
        .program = "redis-server",
        .exe = "/usr/bin/redis-server",
        .role = POLICY_SERVER,
        .local = (struct sockaddr *)&local,
        .remote = (struct sockaddr *)&remote,
        .interface = "lo",
    };
    struct policy_outcome before, after;
    char why[512];

    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    remote.sin_addr.s_addr = htonl(0x0a010203);
    policy_decide(policy, &facts, &before);
    for (size_t i = 0; i < policy_rules(policy); i++)
        policy_rule_matches(policy, i, &facts, &after, why, sizeof why);
    if (policy_bind(policy, facts.program, facts.exe))
        return;
    policy_decide(policy, &facts, &after);
    if (before.rule != after.rule)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_report report = {0};
    struct policy *policy;
    char path[64];
    int fd = memfd_create("shunt.conf", MFD_CLOEXEC), err;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    err = policy_check(path, &report);
    if (!err != !report.n_errors)
        abort();
    policy_report_fini(&report);
    if (policy_load(path, &policy, NULL) != err)
        abort();
    if (policy)
        decide(policy);
    policy_free(policy);
    close(fd);
    return 0;
}
