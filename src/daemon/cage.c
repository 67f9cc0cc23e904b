// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/cage.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CAP_BPF
#define CAP_BPF 39
#endif

// ---- capabilities ----

#define CAP(name) (UINT64_C(1) << (name))

// AF_XDP counts packet memory as locked.
static bool may_lock_memory(void)
{
    struct rlimit lim;

    return !getrlimit(RLIMIT_MEMLOCK, &lim) && lim.rlim_cur == RLIM_INFINITY;
}

uint64_t cage_needs(void)
{
    return (may_lock_memory() ? 0 : CAP(CAP_IPC_LOCK)) | CAP(CAP_NET_RAW) | CAP(CAP_NET_ADMIN) |
           CAP(CAP_BPF);
}

uint64_t cage_aide(void)
{
    return CAP(CAP_SETUID) | CAP(CAP_SETGID) | CAP(CAP_SYS_PTRACE);
}

bool cage_has(uint64_t any)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};

    return !syscall(SYS_capget, &head, data) &&
           any & (data[0].effective | (uint64_t)data[1].effective << 32);
}

// Dropping from the bounding set takes CAP_SETPCAP. Who has it not can gain nothing either: see
// PR_SET_NO_NEW_PRIVS.
static void bound(uint64_t keep)
{
    for (int i = 0; i < 64 && prctl(PR_CAPBSET_READ, i) >= 0; i++)
        if (!(keep >> i & 1))
            prctl(PR_CAPBSET_DROP, i);
}

int cage_drop(uint64_t keep)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -errno;
    bound(keep);
    if (syscall(SYS_capget, &head, data))
        return -errno;
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(keep >> 32 * i);
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &head, data) ? -errno : 0;
}

int cage_become(uid_t uid, gid_t gid)
{
    if (geteuid() != uid &&
        (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)))
        return -errno;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        return -errno;
    return cage_drop(0);
}

// ---- system calls ----

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define ARG(i)       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]))
#define IS(value)    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1)
#define HAS(bits)    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1)
#define GIVE(what)   BPF_STMT(BPF_RET | BPF_K, what)
#define DENY         GIVE(SECCOMP_RET_ERRNO | EPERM)
// each of these two takes two instructions
#define ALLOW(call) IS(SYS_##call), GIVE(SECCOMP_RET_ALLOW)
// call may be made where `test`, of two instructions, holds of argument i
#define WHERE(call, i, test)                                                                       \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 4), ARG(i), test, GIVE(SECCOMP_RET_ALLOW),  \
        DENY

#ifdef ARCH
static const struct sock_filter filter[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
    GIVE(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
    // each turn
    ALLOW(read),
    ALLOW(write),
    ALLOW(sendmsg),
    ALLOW(sendmmsg),
    ALLOW(recvmsg),
    ALLOW(sendto),
    ALLOW(recvfrom),
    ALLOW(epoll_pwait),
    ALLOW(clock_gettime),
    ALLOW(clock_nanosleep),
    ALLOW(nanosleep),
    ALLOW(futex),
    // life of connections
    ALLOW(close),
    ALLOW(epoll_ctl),
    ALLOW(eventfd2),
    ALLOW(ppoll),
    ALLOW(getsockopt),
    ALLOW(setsockopt),
    ALLOW(shutdown),
    ALLOW(madvise),
    // memory, and the C library
    ALLOW(mmap),
    ALLOW(munmap),
    ALLOW(mremap),
    ALLOW(brk),
    ALLOW(getpid),
    ALLOW(gettid),
    ALLOW(writev),
    ALLOW(newfstatat),
    ALLOW(fstat),
    ALLOW(sched_yield),
    ALLOW(sigaltstack),
    ALLOW(rt_sigprocmask),
    ALLOW(rt_sigreturn),
    ALLOW(restart_syscall),
    ALLOW(exit_group),
    ALLOW(exit),
#ifdef __x86_64__
    ALLOW(epoll_wait),
    ALLOW(poll),
#endif
    WHERE(socketpair, 0, IS(AF_UNIX)),
    WHERE(ioctl, 1, IS(SIOCATMARK)),
    // does a thread live? proc(5), and signal 0
    WHERE(kill, 1, IS(0)),
    WHERE(tgkill, 2, IS(0)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 4),
    ARG(2),
    HAS(O_ACCMODE | O_CREAT | O_TRUNC),
    DENY,
    GIVE(SECCOMP_RET_ALLOW),
    DENY,
};

int cage_close(void)
{
    const struct sock_fprog program = {ARRAY_LEN(filter), (struct sock_filter *)(uintptr_t)filter};

    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ? -errno : 0;
}
#else
int cage_close(void)
{
    return -EOPNOTSUPP;
}
#endif
