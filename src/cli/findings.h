// SPDX-License-Identifier: BSD-2-Clause
// The findings of a policy report, as compilers print theirs.
#ifndef SHUNT_CLI_FINDINGS_H
#define SHUNT_CLI_FINDINGS_H

#include <stdio.h>

#include "policy/policy.h"

// One line a finding: "FILE:LINE: error: text".
void findings_print(const struct policy_report *report, FILE *out);

#endif
