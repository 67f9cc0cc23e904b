// SPDX-License-Identifier: BSD-2-Clause
// New processes and new programs. fork() itself needs no row: see pthread_atfork() in fork.c.
#include "shim/shim.h"

#include <alloca.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stdint.h>

// ---- fork ----

SHUNT_EXPORT pid_t _Fork(void)
{
    pid_t pid;

    if (shim_vforked())
        return LIBC(_Fork)();
    sock_before_fork();
    pid = LIBC(_Fork)();
    sock_after_fork(pid == 0);
    return pid;
}

// vfork returns twice on one stack, so its row may leave no frame behind: it marks the thread, then
// jumps to libc's. Called from the stub below only.
void *shim_before_vfork(void);
__attribute__((used, visibility("hidden"))) void *shim_before_vfork(void)
{
    sock_before_vfork();
    return (void *)LIBC(vfork);
}

#if defined(__x86_64__)
__asm__(".pushsection .text\n"
        ".globl vfork, __vfork\n"
        ".type vfork, @function\n"
        ".type __vfork, @function\n"
        "vfork:\n"
        "__vfork:\n"
        "	endbr64\n"
        "	sub $8, %rsp\n"
        "	call shim_before_vfork\n"
        "	add $8, %rsp\n"
        "	jmp *%rax\n"
        ".size vfork, .-vfork\n"
        ".size __vfork, .-__vfork\n"
        ".popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
        ".globl vfork, __vfork\n"
        ".type vfork, %function\n"
        ".type __vfork, %function\n"
        "vfork:\n"
        "__vfork:\n"
        "	stp x29, x30, [sp, #-16]!\n"
        "	bl shim_before_vfork\n"
        "	ldp x29, x30, [sp], #16\n"
        "	br x0\n"
        ".size vfork, .-vfork\n"
        ".size __vfork, .-__vfork\n"
        ".popsection\n");
#else
#error "write the stub of vfork for this machine"
#endif

struct start {
    int (*fn)(void *);
    void *arg;
};

static int start_forked(void *arg)
{
    struct start s = *(struct start *)arg;

    sock_after_fork(true);
    return s.fn(s.arg);
}

SHUNT_EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
    struct start s = {fn, arg};
    void *parent_tid, *tls, *child_tid;
    va_list ap;
    int pid;

    va_start(ap, arg);
    parent_tid = va_arg(ap, void *);
    tls = va_arg(ap, void *);
    child_tid = va_arg(ap, void *);
    va_end(ap);
    if (flags & CLONE_VM) {
        if (!(flags & CLONE_THREAD))
            sock_before_vfork();
        return LIBC(clone)(fn, stack, flags, arg, parent_tid, tls, child_tid);
    }
    if (shim_vforked())
        return LIBC(clone)(fn, stack, flags, arg, parent_tid, tls, child_tid);
    sock_before_fork();
    pid = LIBC(clone)(start_forked, stack, flags, &s, parent_tid, tls, child_tid);
    sock_after_fork(false);
    return pid;
}
SHIM_ALIAS(__clone, clone);

// ---- the end ----

SHUNT_EXPORT void _exit(int status)
{
    if (!shim_vforked())
        sock_before_exit();
    LIBC(_exit)(status);
    __builtin_unreachable();
}
SHIM_ALIAS(_Exit, _exit);

// ---- exec ----

SHUNT_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    sock_before_exec(path, envp, false);
    return LIBC(execve)(path, argv, envp);
}

SHUNT_EXPORT int execv(const char *path, char *const argv[])
{
    sock_before_exec(path, environ, false);
    return LIBC(execv)(path, argv);
}

SHUNT_EXPORT int execvp(const char *file, char *const argv[])
{
    sock_before_exec(file, environ, true);
    return LIBC(execvp)(file, argv);
}

SHUNT_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    sock_before_exec(file, envp, true);
    return LIBC(execvpe)(file, argv, envp);
}

SHUNT_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    sock_before_exec(path, envp, false);
    return LIBC(fexecve)(fd, argv, envp);
}

// A path under a directory is not followed: what survives goes back to the twin, which is always
// right.
SHUNT_EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[],
                          int flags)
{
    sock_before_exec(dir == AT_FDCWD || *path == '/' ? path : NULL, envp, false);
    return LIBC(execveat)(dir, path, argv, envp, flags);
}

// The size of the argument vector that begins with first and goes on with those of ap, up to NULL.
static size_t argv_bytes(const char *first, va_list ap)
{
    size_t n = 1;
    va_list rest;

    va_copy(rest, ap);
    for (; first; first = va_arg(rest, char *))
        n++;
    va_end(rest);
    return n * sizeof(char *);
}

// Fills argv, and leaves ap behind its NULL.
static void take_args(char **argv, const char *first, va_list *ap)
{
    *argv = (char *)first;
    while (*argv)
        *++argv = va_arg(*ap, char *);
}

// The three with a list of arguments. On the stack, because a child of vfork may not use malloc.
SHUNT_EXPORT int execl(const char *path, const char *arg, ...)
{
    char **argv;
    va_list ap;

    va_start(ap, arg);
    argv = alloca(argv_bytes(arg, ap));
    take_args(argv, arg, &ap);
    va_end(ap);
    return execv(path, argv);
}

SHUNT_EXPORT int execlp(const char *file, const char *arg, ...)
{
    char **argv;
    va_list ap;

    va_start(ap, arg);
    argv = alloca(argv_bytes(arg, ap));
    take_args(argv, arg, &ap);
    va_end(ap);
    return execvp(file, argv);
}

SHUNT_EXPORT int execle(const char *path, const char *arg, ...)
{
    char **argv, **envp;
    va_list ap;

    va_start(ap, arg);
    argv = alloca(argv_bytes(arg, ap));
    take_args(argv, arg, &ap);
    envp = va_arg(ap, char **);
    va_end(ap);
    return execve(path, argv, envp);
}

// ---- spawn ----

// What file actions will give to a child. They go back to the twin when a child is made, as the
// actions of many are never used. Without a lock: a fork may come at any time.
static struct {
    _Atomic uintptr_t actions; // 0: free; 1: being filled in
    int fd;
} given[64];

// False: there is no room to note it.
static bool give(const posix_spawn_file_actions_t *actions, int fd)
{
    for (size_t i = 0; i < ARRAY_LEN(given); i++) {
        uintptr_t none = 0;

        if (!atomic_compare_exchange_strong(&given[i].actions, &none, 1))
            continue;
        given[i].fd = fd;
        atomic_store(&given[i].actions, (uintptr_t)actions);
        return true;
    }
    return false;
}

static void give_nothing(const posix_spawn_file_actions_t *actions)
{
    for (size_t i = 0; i < ARRAY_LEN(given); i++)
        if (atomic_load(&given[i].actions) == (uintptr_t)actions)
            atomic_store(&given[i].actions, 0);
}

static void before_spawn(const posix_spawn_file_actions_t *actions, const char *path,
                         char *const envp[], bool search_path)
{
    for (size_t i = 0; actions && i < ARRAY_LEN(given); i++)
        if (atomic_load(&given[i].actions) == (uintptr_t)actions)
            shim_hand_over(given[i].fd, "handed to a program that was spawned");
    sock_before_spawn(path, envp, search_path);
}

SHUNT_EXPORT int posix_spawn(pid_t *pid, const char *path,
                             const posix_spawn_file_actions_t *actions,
                             const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    before_spawn(actions, path, envp, false);
    return LIBC(posix_spawn)(pid, path, actions, attr, argv, envp);
}

SHUNT_EXPORT int posix_spawnp(pid_t *pid, const char *file,
                              const posix_spawn_file_actions_t *actions,
                              const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    before_spawn(actions, file, envp, true);
    return LIBC(posix_spawnp)(pid, file, actions, attr, argv, envp);
}

SHUNT_EXPORT int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd,
                                                  int newfd)
{
    if ((fdtab_word(fd) & 15) == FD_CONN && !give(actions, fd))
        shim_hand_over(fd, "handed to a program that was spawned");
    return LIBC(posix_spawn_file_actions_adddup2)(actions, fd, newfd);
}

SHUNT_EXPORT int posix_spawn_file_actions_init(posix_spawn_file_actions_t *actions)
{
    give_nothing(actions); // of the same address, and never destroyed
    return LIBC(posix_spawn_file_actions_init)(actions);
}

SHUNT_EXPORT int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *actions)
{
    give_nothing(actions);
    return LIBC(posix_spawn_file_actions_destroy)(actions);
}

// ---- system calls forbidden ----

// A child of vfork seals itself for the program that it becomes; that one knows nothing of it.
void shim_before_seccomp(bool filter, const void *program)
{
    if ((!filter || program) && !shim_vforked() && shim_init())
        sock_seal();
}

SHUNT_EXPORT int prctl(int option, ...)
{
    unsigned long a, b, c, d;
    va_list ap;

    va_start(ap, option);
    a = va_arg(ap, unsigned long);
    b = va_arg(ap, unsigned long);
    c = va_arg(ap, unsigned long);
    d = va_arg(ap, unsigned long);
    va_end(ap);
    if (option == PR_SET_SECCOMP && (a == SECCOMP_MODE_STRICT || a == SECCOMP_MODE_FILTER))
        shim_before_seccomp(a == SECCOMP_MODE_FILTER, (const void *)b);
    return LIBC(prctl)(option, a, b, c, d);
}

// ---- by way of the shell ----

static const char shell[] = "/bin/sh";

SHUNT_EXPORT int system(const char *command)
{
    if (command)
        sock_before_spawn(shell, environ, false);
    return LIBC(system)(command);
}

SHUNT_EXPORT FILE *popen(const char *command, const char *type)
{
    sock_before_spawn(shell, environ, false);
    return LIBC(popen)(command, type);
}
SHIM_ALIAS(_IO_popen, popen);
