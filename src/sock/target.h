// SPDX-License-Identifier: BSD-2-Clause
// Will a program that is about to be executed run under Shunt, too?
#ifndef SHUNT_SOCK_TARGET_H
#define SHUNT_SOCK_TARGET_H

#include <stdbool.h>

// True when envp preloads Shunt and path (looked up in PATH if search and without a slash; NULL:
// not known) is, or by its #! line leads to, a dynamic program of this machine's kind that gains no
// privileges. Only system calls, and the stack: safe in a child of vfork.
bool target_under_shunt(const char *path, char *const envp[], bool search);

#endif
