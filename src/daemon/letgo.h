// SPDX-License-Identifier: BSD-2-Clause
// Closing a file descriptor that a stranger has passed.
#ifndef SHUNT_DAEMON_LETGO_H
#define SHUNT_DAEMON_LETGO_H

// Closes fd without ever waiting for it. A last close can wait: for a socket that lingers, for a
// file of somebody's own file system. Such ones are closed by a process made for it.
void letgo(int fd);

#endif
