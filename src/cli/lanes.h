// SPDX-License-Identifier: BSD-2-Clause
// Which lanes this host could use for a connection now.
#ifndef SHUNT_CLI_LANES_H
#define SHUNT_CLI_LANES_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"

// Looks whether lane could carry the connection, by trying the host and never the network. *text
// says how it is in either case. May block for as long as connecting to shuntd takes.
bool lanes_usable(enum policy_lane lane, const struct policy *policy,
                  const struct policy_facts *facts, char *text, size_t size);

#endif
