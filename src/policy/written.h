// SPDX-License-Identifier: BSD-2-Clause
// Settings as the file has them, for messages.
#ifndef SHUNT_POLICY_WRITTEN_H
#define SHUNT_POLICY_WRITTEN_H

#include <libconfig.h>
#include <stddef.h>

// The setting's value as in the file: 5, "text", true; groups and lists as "{ ... }". Returns text.
const char *written_value(const config_setting_t *setting, char *text, size_t size);

#endif
