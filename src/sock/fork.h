// SPDX-License-Identifier: BSD-2-Clause
// What init.c, fork.c and signal.c owe each other.
#ifndef SHUNT_SOCK_FORK_H
#define SHUNT_SOCK_FORK_H

// Once, before the program can fork: from now on connections are shared with children.
void fork_setup(void);

// In a forked child, where no other thread is left that could hold the table of handlers.
void signal_after_fork(void);

#endif
