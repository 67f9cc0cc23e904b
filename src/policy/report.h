// SPDX-License-Identifier: BSD-2-Clause
// Collects what is wrong with a configuration file.
#ifndef SHUNT_POLICY_REPORT_H
#define SHUNT_POLICY_REPORT_H

#include "policy/policy.h"

// Adds a finding; file may be NULL for none. Out of memory loses the text, never the count.
void report_add(struct policy_report *report, enum policy_severity severity, const char *file,
                unsigned line, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

// Puts the findings into the order of the file.
void report_sort(struct policy_report *report);

#endif
