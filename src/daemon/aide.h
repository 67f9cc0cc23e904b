// SPDX-License-Identifier: BSD-2-Clause
// The aide: a process that keeps the capabilities which shuntd needs only for two narrow things, so
// that shuntd, which listens to everybody, has them no more. It starts keepers, which take the
// identity of their user (CAP_SETUID, CAP_SETGID), and looks up in /proc which socket a program has
// (CAP_SYS_PTRACE). It hears nobody but shuntd, and ends with it.
//
// A question is waited for: an answer takes some microseconds. Where there is no aide, because
// shuntd never had those capabilities, it does the same things itself, as far as it may. An aide
// that is gone is not replaced: no keeper can be started then, and programs pass their sockets.
#ifndef SHUNT_DAEMON_AIDE_H
#define SHUNT_DAEMON_AIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Starts the aide, if there is anything for it to keep. To be called before capabilities are
// dropped. 0 or -errno.
int aide_begin(void);

// The whole life of an aide; shuntd: its end of the pair. Returns its exit status.
int aide_main(int shuntd);

// Ends it, and waits for that. Legal where there is none.
void aide_end(void);

// Executes a keeper that speaks by sock, one end of a socket pair; it stays the caller's. Its pid,
// or -errno.
pid_t aide_start_keeper(int sock);

// As proof_can_look() and proof_inode().
bool aide_can_look(pid_t pid);
uint32_t aide_inode(pid_t pid, int fd);

#endif
