// SPDX-License-Identifier: BSD-2-Clause
// The shuntd that a program is to use: one that runs, or a private one made for it.
#ifndef SHUNT_CLI_PRIVATE_H
#define SHUNT_CLI_PRIVATE_H

#include "cm/ask.h"
#include "cm/place.h"

// Finds a shuntd that answers and asks it to stay while this process lives. See cm/place.h
// for named. Where none answers, starts one, which reads the budgets from
// config if that is not NULL, and waits for it, 2 s at most. Always writes the path of where it is,
// or would be. 0 or -errno with a sentence in why.
int private_shuntd(const char *named, const char *config, char path[static PLACE_MAX],
                   char why[ASK_WHY_BYTES]);

#endif
