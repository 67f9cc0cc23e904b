// SPDX-License-Identifier: BSD-2-Clause
// What is known of a command before it runs.
#ifndef SHUNT_CLI_PROGRAM_H
#define SHUNT_CLI_PROGRAM_H

#include <limits.h>

// Finds command as execvp() would and writes its path. 0, or -errno: -ENOENT (no such command),
// -EACCES (found, but it cannot be run).
int program_find(const char *command, char path[static PATH_MAX]);

// Why the loader will not preload anything into the program at path (or its interpreter, if it is a
// script); NULL: it will, as far as can be seen.
const char *program_obstacle(const char *path);

#endif
