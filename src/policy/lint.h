// SPDX-License-Identifier: BSD-2-Clause
// Rules that are right each by itself, and make no sense.
#ifndef SHUNT_POLICY_LINT_H
#define SHUNT_POLICY_LINT_H

#include "policy/report.h"
#include "policy/rules.h"

// Adds a warning for every rule that can never match, and for what a rule says in vain. Takes time
// with the square of the number of rules: half a second at 10,000.
void lint_rules(const struct policy *policy, struct policy_report *report);

#endif
