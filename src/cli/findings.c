// SPDX-License-Identifier: BSD-2-Clause
#include "cli/findings.h"

void findings_print(const struct policy_report *report, FILE *out)
{
    for (size_t i = 0; i < report->n_findings; i++) {
        const struct policy_finding *f = &report->findings[i];

        fprintf(out, "%s:", f->file);
        if (f->line)
            fprintf(out, "%u:", f->line);
        fprintf(out, " %s: %s\n", f->severity == POLICY_ERROR ? "error" : "warning", f->text);
    }
}
