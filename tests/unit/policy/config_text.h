// SPDX-License-Identifier: BSD-2-Clause
// A shunt.conf out of a string, for tests.
#ifndef TESTS_UNIT_POLICY_CONFIG_TEXT_H
#define TESTS_UNIT_POLICY_CONFIG_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/policy.h"

// Writes text to a new file, whose name goes to path; the caller unlinks it.
static inline void config_write_text(const char *text, size_t len, char path[static 32])
{
    int fd;

    strcpy(path, "/tmp/shunt-policy-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

// Loads text as a file would be loaded; returns what policy_load() does.
static inline int config_load(const char *text, struct policy **out, struct policy_report *report)
{
    char path[32];
    int err;

    config_write_text(text, strlen(text), path);
    err = policy_load(path, out, report);
    unlink(path);
    return err;
}

// The same for text that is known to be right.
static inline struct policy *config_policy(const char *text)
{
    struct policy_report report = {0};
    struct policy *policy;

    if (config_load(text, &policy, &report))
        fail_msg("%u: %s", report.findings[0].line, report.findings[0].text);
    policy_report_fini(&report);
    return policy;
}

#endif
