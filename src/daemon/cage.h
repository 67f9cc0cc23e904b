// SPDX-License-Identifier: BSD-2-Clause
// Giving up what one does not need: capabilities(7), an identity, system calls.
#ifndef SHUNT_DAEMON_CAGE_H
#define SHUNT_DAEMON_CAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// What shuntd needs: queues and flows (NET_RAW, NET_ADMIN, BPF); also, where RLIMIT_MEMLOCK is not
// unlimited, memory for AF_XDP (IPC_LOCK). Bits as in capabilities(7).
uint64_t cage_needs(void);

// What its aide needs (aide.h): to give a keeper the identity of its user (SETUID, SETGID), and to
// see in /proc that a program has the socket that it names (SYS_PTRACE).
uint64_t cage_aide(void);

// Has this thread any of those?
bool cage_has(uint64_t any);

// Keeps of the calling thread's capabilities those in `keep`, in every set; nothing that it
// executes can gain any. Returns 0 or -errno.
int cage_drop(uint64_t keep);

// Becomes uid and gid for good, without other groups and capabilities, out of reach of the user's
// debuggers. 0 or -errno; on failure the process is to end.
int cage_become(uid_t uid, gid_t gid);

// From now on only the system calls of a keeper: no file is opened for writing, nothing is
// executed, no signal is sent, no socket but pairs is made. Others fail with EPERM. 0, or -errno
// where the kernel cannot do it.
int cage_close(void);

#endif
