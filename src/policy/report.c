// SPDX-License-Identifier: BSD-2-Clause
#include "policy/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Room for one more: the array doubles whenever its length is a power of two.
static bool make_room(struct policy_report *report)
{
    size_t n = report->n_findings;
    struct policy_finding *more;

    if (n & (n - 1))
        return true;
    more = realloc(report->findings, (n ? 2 * n : 1) * sizeof *more);
    if (more)
        report->findings = more;
    return more;
}

void report_add(struct policy_report *report, enum policy_severity severity, const char *file,
                unsigned line, const char *fmt, ...)
{
    struct policy_finding found = {severity, line, strdup(file ? file : ""), NULL};
    va_list ap;

    report->n_errors += severity == POLICY_ERROR;
    va_start(ap, fmt);
    if (vasprintf(&found.text, fmt, ap) < 0)
        found.text = NULL;
    va_end(ap);
    if (!found.file || !found.text || !make_room(report)) {
        free(found.file);
        free(found.text);
        return;
    }
    report->findings[report->n_findings++] = found;
}

static int by_line(const void *a, const void *b)
{
    const struct policy_finding *x = a, *y = b;
    int order = strcmp(x->file, y->file);

    return order ? order : (x->line > y->line) - (x->line < y->line);
}

void report_sort(struct policy_report *report)
{
    // glibc's qsort is a stable merge sort as long as there is memory for it
    if (report->n_findings)
        qsort(report->findings, report->n_findings, sizeof *report->findings, by_line);
}

void policy_report_fini(struct policy_report *report)
{
    for (size_t i = 0; i < report->n_findings; i++) {
        free(report->findings[i].file);
        free(report->findings[i].text);
    }
    free(report->findings);
    *report = (struct policy_report){0};
}
