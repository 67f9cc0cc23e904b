// SPDX-License-Identifier: BSD-2-Clause
// The schema as documents: the example file, and the man page's lists of options.
#ifndef SHUNT_POLICY_RENDER_H
#define SHUNT_POLICY_RENDER_H

#include <stdio.h>

// A shunt.conf that holds every option, commented out, at its default.
void render_conf(FILE *out);

// shunt.conf(5).
void render_man(FILE *out);

#endif
