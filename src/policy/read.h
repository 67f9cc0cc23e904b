// SPDX-License-Identifier: BSD-2-Clause
// Reads one group of a parsed file against the schema, and reports every mistake in it.
#ifndef SHUNT_POLICY_READ_H
#define SHUNT_POLICY_READ_H

#include <libconfig.h>

#include "policy/report.h"
#include "policy/resolve.h"

struct reader {
    const char *path; // of the main file
    const char *text; // all of it, NUL-terminated
    struct policy_report *report;
};

// The name that messages give the file that setting stands in.
const char *read_file_of(const struct reader *reader, const config_setting_t *setting);

// Adds a finding about setting.
#define read_error(reader, setting, ...)                                                           \
    report_add((reader)->report, POLICY_ERROR, read_file_of(reader, setting),                      \
               config_setting_source_line(setting), __VA_ARGS__)
#define read_warning(reader, setting, ...)                                                         \
    report_add((reader)->report, POLICY_WARNING, read_file_of(reader, setting),                    \
               config_setting_source_line(setting), __VA_ARGS__)

// Sets in *out what group sets and what is right. Strings stay the config's. May ask the user
// database.
void read_group(const struct reader *reader, const config_setting_t *group, enum option_scope scope,
                struct value_set *out);

#endif
