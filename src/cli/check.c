// SPDX-License-Identifier: BSD-2-Clause
// `shunt check FILE`
#include <stdio.h>

#include "cli/cli.h"
#include "cli/findings.h"
#include "policy/policy.h"

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static int check(int argc, char **argv)
{
    struct policy_report report = {0};
    size_t n_errors, n_warnings;
    int err;

    if (argc != 2)
        return cli_usage(&cli_check, argc < 2 ? "no FILE" : "more than one FILE");
    err = policy_check(argv[1], &report);
    findings_print(&report, stdout);
    n_errors = report.n_errors;
    n_warnings = report.n_findings - n_errors;
    printf("%s: %zu error%s, %zu warning%s\n", argv[1], n_errors, plural(n_errors), n_warnings,
           plural(n_warnings));
    policy_report_fini(&report);
    return err ? CLI_FAILED : CLI_OK;
}

const struct cli_command cli_check = {
    .name = "check",
    .usage = "FILE",
    .summary = "Reports every mistake in a shunt.conf",
    .details =
        "Each line is FILE:LINE: error: or warning:, what is wrong, and what is accepted. A rule\n"
        "that can never match gets a warning. The exit status is 1 if there are errors, else 0.\n",
    .run = check,
};
