// SPDX-License-Identifier: BSD-2-Clause
// Calls every row of the table on fds that Shunt has no part in, and prints what came of it:
// result, errno, bytes. Run with the library and without, the output must be the same.
#include "passthrough.h"

#include <errno.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

static char buf[64] = "0123456789abcdef";
static struct iovec iov = {buf, 8};

extern const struct row_case *const __start_row_cases[], *const __stop_row_cases[];

// ---- on one fd --------------------------------------------------------------------------------

static struct msghdr *message(void)
{
    static struct msghdr msg;

    msg = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
    return &msg;
}

static struct mmsghdr *messages(void)
{
    static struct mmsghdr msg;

    msg = (struct mmsghdr){.msg_hdr = *message()};
    return &msg;
}

static struct sockaddr *nowhere(void)
{
    static struct sockaddr_in addr;

    addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(1)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return (struct sockaddr *)&addr;
}

static long print(int fd, int (*f)(int, int, const char *, va_list), ...)
{
    va_list ap;
    int r;

    va_start(ap, f);
    r = f(fd, 1, "%d and %s\n", ap);
    va_end(ap);
    return r;
}

static int plain_vdprintf(int fd, int flag, const char *fmt, va_list ap)
{
    return vdprintf(fd, fmt, ap);
}

// A double's number differs between runs; that it works and what it means does not.
static long is_fd(int fd)
{
    return fd < 0 ? -1 : fcntl(fd, F_GETFD);
}

static long optval(int fd)
{
    int type = -1;
    socklen_t n = sizeof type;
    int r = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n);

    return r < 0 ? r : type;
}

static long name_len(int fd, int peer)
{
    struct sockaddr_storage name;
    socklen_t n = sizeof name;
    struct sockaddr *at = (struct sockaddr *)&name;
    int r = peer ? getpeername(fd, at, &n) : getsockname(fd, at, &n);

    return r < 0 ? r : (long)n;
}

static long fionread(int fd)
{
    int n = -1;
    int r = ioctl(fd, FIONREAD, &n);

    return r < 0 ? r : n;
}

static struct pollfd *watched(int fd)
{
    static struct pollfd p;

    p = (struct pollfd){fd, POLLIN | POLLOUT, 0};
    return &p;
}

static long polled(int fd, int how)
{
    struct pollfd *p = watched(fd);
    const struct timespec now = {0};
    int r = -1;

    switch (how) {
    case 0:
        r = poll(p, 1, 0);
        break;
    case 1:
        r = __poll(p, 1, 0);
        break;
    case 2:
        r = __poll_chk(p, 1, 0, sizeof *p);
        break;
    case 3:
        r = ppoll(p, 1, &now, NULL);
        break;
    case 4:
        r = __ppoll_chk(p, 1, &now, NULL, sizeof *p);
        break;
    }
    return r < 0 ? r : r * 1000 + p->revents;
}

static long selected(int fd, int how)
{
    struct timeval tv = {0};
    const struct timespec ts = {0};
    fd_set r, w;
    int n = -1;

    if (fd < 0 || fd >= FD_SETSIZE)
        return -2;
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(fd, &r);
    FD_SET(fd, &w);
    if (how == 0)
        n = select(fd + 1, &r, &w, NULL, &tv);
    else if (how == 1)
        n = __select(fd + 1, &r, &w, NULL, &tv);
    else
        n = pselect(fd + 1, &r, &w, NULL, &ts, NULL);
    return n < 0 ? n : n * 10 + (FD_ISSET(fd, &r) != 0) * 2 + (FD_ISSET(fd, &w) != 0);
}

static long in_set(int fd, int how)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.u32 = 7}, out = {0};
    const struct timespec now = {0};
    int set = how ? epoll_create1(EPOLL_CLOEXEC) : epoll_create(1);
    int r = epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev);

    if (!r && how == 1)
        r = epoll_wait(set, &out, 1, 0);
    else if (!r && how == 2)
        r = epoll_pwait(set, &out, 1, 0, NULL);
    else if (!r)
        r = epoll_pwait2(set, &out, 1, &now, NULL);
    close(set);
    return r < 0 ? r : r * 1000 + (long)out.events;
}

static long aio(int fd, int (*f)(struct aiocb *))
{
    struct aiocb cb = {.aio_fildes = fd, .aio_buf = buf, .aio_nbytes = 0};
    const struct aiocb *list[] = {&cb};
    const struct timespec limit = {1, 0};
    int r = f(&cb);

    if (r < 0)
        return r;
    aio_suspend(list, 1, &limit);
    return aio_error(&cb) * 1000 + aio_return(&cb);
}

static int list_aio(struct aiocb *cb)
{
    struct aiocb *list[] = {cb};

    cb->aio_lio_opcode = LIO_NOP;
    return lio_listio(LIO_WAIT, list, 1, NULL);
}

static int list_aio64(struct aiocb *cb)
{
    return lio_listio64(LIO_WAIT, (struct aiocb64 *[]){(void *)cb}, 1, NULL);
}

static int aio_read64_(struct aiocb *cb)
{
    return aio_read64((struct aiocb64 *)cb);
}

static int aio_write64_(struct aiocb *cb)
{
    return aio_write64((struct aiocb64 *)cb);
}

static long stream(int fd, FILE *(*open_it)(int, const char *), int (*close_it)(FILE *))
{
    FILE *f = open_it(fd, "w");

    if (!f)
        return -1;
    fputs("stream", f);
    return close_it(f);
}

static long reopened(int fd, FILE *(*f)(const char *, const char *, FILE *))
{
    FILE *was = fdopen(dup(fd), "w"), *now = was ? f("/dev/null", "w", was) : NULL;

    return now ? fputs("x", now) >= 0 : -1;
}

static long spliced(int fd)
{
    int p[2];

    return pipe(p) ? -1 : splice(fd, NULL, p[1], NULL, 4, SPLICE_F_NONBLOCK);
}

static long sent_file(int fd, ssize_t (*f)(int, int, off_t *, size_t))
{
    off_t off = 0;
    int in = open("/proc/self/exe", O_RDONLY);
    ssize_t r = f(fd, in, &off, 16);

    return r < 0 ? r : r * 1000 + off;
}

static long by_pidfd(int fd)
{
    int self = pidfd_open(getpid(), 0);

    return is_fd(pidfd_getfd(self, fd, 0));
}

ON_FD(accept, is_fd(accept(fd, NULL, NULL)))
ON_FD(accept4, is_fd(accept4(fd, NULL, NULL, SOCK_CLOEXEC)))
ON_FD(listen, listen(fd, 1))
ON_FD(connect, connect(fd, nowhere(), sizeof(struct sockaddr_in)))
ON_FD(__connect, __connect(fd, nowhere(), sizeof(struct sockaddr_in)))
ON_FD(shutdown, shutdown(fd, SHUT_WR))
ON_FD(close, close(fd))
ON_FD(__close, __close(fd))
ON_FD(close_range, close_range((unsigned)fd, (unsigned)fd, 0) * 10L + (fcntl(fd, F_GETFD) < 0))
ON_FD(dup, is_fd(dup(fd)))
ON_FD(dup2, is_fd(dup2(fd, 300)))
ON_FD(__dup2, is_fd(__dup2(fd, 300)))
ON_FD(dup3, is_fd(dup3(fd, 300, O_CLOEXEC)))
ON_FD(fcntl, fcntl(fd, F_GETFL))
ON_FD(__fcntl, __fcntl(fd, F_SETFD, FD_CLOEXEC))
ON_FD(fcntl64, is_fd(fcntl64(fd, F_DUPFD_CLOEXEC, 200)))
ON_FD(ioctl, fionread(fd))
ON_FD(getsockopt, optval(fd))
ON_FD(getsockname, name_len(fd, 0))
ON_FD(getpeername, name_len(fd, 1))
ON_FD(setsockopt, setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &(int){1}, sizeof(int)))
ON_FD(pidfd_getfd, by_pidfd(fd))
ON_FD(syscall, syscall(SYS_write, fd, buf, 3L) * 100 + syscall(SYS_close, fd))
ON_FD(read, read(fd, buf, 4))
ON_FD(__read, __read(fd, buf, 4))
ON_FD(__read_chk, __read_chk(fd, buf, 4, sizeof buf))
ON_FD(readv, readv(fd, &iov, 1))
ON_FD(preadv2, preadv2(fd, &iov, 1, -1, 0))
ON_FD(preadv64v2, preadv64v2(fd, &iov, 1, 0, 0))
ON_FD(write, write(fd, buf, 4))
ON_FD(__write, __write(fd, buf, 4))
ON_FD(writev, writev(fd, &iov, 1))
ON_FD(pwritev2, pwritev2(fd, &iov, 1, -1, 0))
ON_FD(pwritev64v2, pwritev64v2(fd, &iov, 1, 0, 0))
ON_FD(recv, recv(fd, buf, 4, MSG_DONTWAIT))
ON_FD(__recv_chk, __recv_chk(fd, buf, 4, sizeof buf, MSG_DONTWAIT))
ON_FD(recvfrom, recvfrom(fd, buf, 4, MSG_DONTWAIT, NULL, NULL))
ON_FD(__recvfrom_chk, __recvfrom_chk(fd, buf, 4, sizeof buf, MSG_DONTWAIT, NULL, NULL))
ON_FD(recvmsg, recvmsg(fd, message(), MSG_DONTWAIT))
ON_FD(recvmmsg, recvmmsg(fd, messages(), 1, MSG_DONTWAIT, NULL))
ON_FD(send, send(fd, buf, 4, MSG_NOSIGNAL))
ON_FD(__send, __send(fd, buf, 4, MSG_NOSIGNAL))
ON_FD(sendto, sendto(fd, buf, 4, MSG_NOSIGNAL, NULL, 0))
ON_FD(sendmsg, sendmsg(fd, message(), MSG_NOSIGNAL))
ON_FD(sendmmsg, sendmmsg(fd, messages(), 1, MSG_NOSIGNAL))
ON_FD(sendfile, sent_file(fd, sendfile))
ON_FD(sendfile64, sent_file(fd, sendfile64))
ON_FD(splice, spliced(fd))
ON_FD(dprintf, dprintf(fd, "%d and %s\n", 5, "more"))
ON_FD(vdprintf, print(fd, plain_vdprintf, 5, "more"))
ON_FD(__dprintf_chk, __dprintf_chk(fd, 1, "%d and %s\n", 5, "more"))
ON_FD(__vdprintf_chk, print(fd, __vdprintf_chk, 5, "more"))
ON_FD(aio_read, aio(fd, aio_read))
ON_FD(aio_read64, aio(fd, aio_read64_))
ON_FD(aio_write, aio(fd, aio_write))
ON_FD(aio_write64, aio(fd, aio_write64_))
ON_FD(lio_listio, aio(fd, list_aio))
ON_FD(lio_listio64, aio(fd, list_aio64))
ON_FD(poll, polled(fd, 0))
ON_FD(__poll, polled(fd, 1))
ON_FD(__poll_chk, polled(fd, 2))
ON_FD(ppoll, polled(fd, 3))
ON_FD(__ppoll_chk, polled(fd, 4))
ON_FD(select, selected(fd, 0))
ON_FD(__select, selected(fd, 1))
ON_FD(pselect, selected(fd, 2))
ON_FD(epoll_create, in_set(fd, 0))
ON_FD(epoll_create1, in_set(fd, 1))
ON_FD(epoll_ctl, epoll_ctl(fd, EPOLL_CTL_DEL, 0, NULL))
ON_FD(epoll_wait, in_set(fd, 1))
ON_FD(epoll_pwait, in_set(fd, 2))
ON_FD(epoll_pwait2, in_set(fd, 3))
ON_FD(fdopen, stream(fd, fdopen, fclose))
ON_FD(_IO_fdopen, stream(fd, _IO_fdopen, fclose))
ON_FD(fclose, stream(fd, fdopen, fclose))
ON_FD(_IO_fclose, stream(fd, fdopen, _IO_fclose))
ON_FD(freopen, reopened(fd, freopen))
ON_FD(freopen64, reopened(fd, freopen64))

// ---- without an fd ----------------------------------------------------------------------------

static long made_socket(void)
{
    return is_fd(socket(AF_UNIX, SOCK_STREAM, 0)) * 100 +
           is_fd(socket(AF_INET, SOCK_DGRAM, 0)) * 10 + socket(77, 1, 0);
}

static long closed_from(void)
{
    int low = dup2(1, 120), high = dup2(1, 170);

    closefrom(150);
    return is_fd(low) * 10 + is_fd(high);
}

static long status_of(pid_t pid)
{
    int status = -1;

    return pid <= 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
}

static long forked(pid_t (*f)(void))
{
    pid_t pid = f();

    if (pid == 0)
        _exit(17 + (getppid() > 1));
    return status_of(pid);
}

static long ended_by(void (*f)(int))
{
    pid_t pid = fork();

    if (pid == 0)
        f(23);
    return status_of(pid);
}

// vfork's child runs in its parent's memory and frame.
static long vforked(void)
{
    static volatile int mark;
    pid_t pid = vfork();

    if (pid == 0) {
        mark = close(dup(1)) == 0;
        _exit(5);
    }
    return status_of(pid) * 10 + mark;
}

static long vforked_by_alias(void)
{
    pid_t pid = __vfork();

    if (pid == 0)
        execl("/bin/sh", "sh", "-c", "exit 6", NULL);
    return status_of(pid);
}

static int cloned(void *arg)
{
    return *(int *)arg + 1;
}

static long by_clone(int (*f)(int (*)(void *), void *, int, void *, ...), int flags)
{
    static char stack[65536] __attribute__((aligned(16)));
    int seven = 7;

    return status_of(f(cloned, stack + sizeof stack, flags | SIGCHLD, &seven));
}

static char *argv_exit[] = {(char *)"sh", (char *)"-c", (char *)"exit $((3 + X))", NULL};
static char *env_x[] = {(char *)"X=4", NULL};

// In a child of fork: what the program that takes its place exits with.
static long executed(int how)
{
    pid_t pid = fork();

    if (pid)
        return status_of(pid);
    setenv("X", "1", 1);
    switch (how) {
    case 0:
        execl("/bin/sh", "sh", "-c", "exit $((3 + X))", NULL);
        break;
    case 1:
        execle("/bin/sh", "sh", "-c", "exit $((3 + X))", NULL, env_x);
        break;
    case 2:
        execlp("sh", "sh", "-c", "exit $((3 + X))", NULL);
        break;
    case 3:
        execv("/bin/sh", argv_exit);
        break;
    case 4:
        execve("/bin/sh", argv_exit, env_x);
        break;
    case 5:
        execvp("sh", argv_exit);
        break;
    case 6:
        execvpe("sh", argv_exit, env_x);
        break;
    case 7:
        execveat(AT_FDCWD, "/bin/sh", argv_exit, env_x, 0);
        break;
    case 8:
        fexecve(open("/bin/sh", O_RDONLY), argv_exit, env_x);
        break;
    }
    _exit(99);
}

static long spawned(bool search, bool with_fd)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    int r;

    posix_spawn_file_actions_init(&actions);
    if (with_fd)
        posix_spawn_file_actions_adddup2(&actions, 1, 9);
    r = search ? posix_spawnp(&pid, "sh", &actions, NULL, argv_exit, env_x)
               : posix_spawn(&pid, "/bin/sh", &actions, NULL, argv_exit, env_x);
    posix_spawn_file_actions_destroy(&actions);
    return r ? -r : status_of(pid);
}

static long piped(FILE *(*f)(const char *, const char *))
{
    FILE *p = f("echo 42", "r");
    int n = -1;

    return p && fscanf(p, "%d", &n) == 1 ? n * 1000 + pclose(p) : -1;
}

// ---- signals ----------------------------------------------------------------------------------

static volatile sig_atomic_t came, how_often;
static sigjmp_buf back;

static void note(int sig)
{
    came = sig;
    how_often++;
}

static void note_info(int sig, siginfo_t *info, void *context)
{
    came = sig * 100 + (info->si_pid == getpid()) * 10 + (context != NULL);
    how_often++;
}

static void jump(int sig)
{
    siglongjmp(back, sig);
}

static bool is_blocked(int sig)
{
    sigset_t now;

    sigprocmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, sig);
}

static void note_mask(int sig)
{
    came = is_blocked(SIGUSR1) * 100 + is_blocked(SIGUSR2) * 10 + is_blocked(SIGTERM);
}

static long by_sigaction(int (*f)(int, const struct sigaction *, struct sigaction *))
{
    struct sigaction act = {.sa_sigaction = note_info, .sa_flags = SA_SIGINFO}, old = {0};
    long r = f(SIGUSR1, &act, &old);

    r = r * 10 + (old.sa_handler == SIG_DFL);
    kill(getpid(), SIGUSR1);
    r = r * 10000 + came;
    act = (struct sigaction){.sa_handler = note_mask, .sa_flags = (int)SA_RESETHAND};
    sigaddset(&act.sa_mask, SIGUSR2);
    r = r * 10 + f(SIGUSR1, &act, &old) + (old.sa_sigaction == note_info);
    raise(SIGUSR1);
    f(SIGUSR1, NULL, &old);
    r = r * 1000 + came + (old.sa_handler == SIG_DFL) * 5;
    if (f(SIGKILL, &act, NULL) == 0 || f(0, NULL, NULL) == 0)
        r = -1;
    return r;
}

static long by_signal(sighandler_t (*f)(int, sighandler_t))
{
    sighandler_t first = f(SIGUSR2, note), second;
    struct sigaction now;
    int sig;

    raise(SIGUSR2);
    sigaction(SIGUSR2, NULL, &now);
    if (now.sa_handler == SIG_DFL)
        f(SIGUSR2, note);
    second = f(SIGUSR2, jump);
    sig = sigsetjmp(back, 1);
    if (!sig)
        raise(SIGUSR2);
    return sig * 100000 + how_often * 10000 + came * 100 + (first == SIG_DFL) * 10 +
           (second == note) + (now.sa_flags & SA_RESTART ? 50 : 0) +
           (f(SIGUSR2, SIG_IGN) == jump ? 5 : 0) + is_blocked(SIGUSR2);
}

// Does a read that a handler interrupts go on? The pipe gets its byte from the handler's second
// call.
static int wakes[2];

static void feed(int sig)
{
    if (++how_often == 2)
        came = (int)write(wakes[1], "x", 1);
    else
        alarm(1);
}

static long interrupted(void)
{
    long r = 0;

    signal(SIGALRM, feed);
    r = siginterrupt(SIGALRM, 1);
    if (pipe(wakes))
        return -1;
    alarm(1);
    return r * 100 + read(wakes[0], buf, 1) * 10 + how_often;
}

static long by_sigset(void)
{
    sighandler_t first = sigset(SIGUSR1, note), second = sigset(SIGUSR1, SIG_HOLD), third;

    raise(SIGUSR1);
    third = sigset(SIGUSR1, note);
    return (first == SIG_DFL) * 1000 + (second == note) * 100 + (third == SIG_HOLD) * 10 +
           how_often;
}

ALONE(socket, made_socket())
ALONE(closefrom, closed_from())
ALONE(_Fork, forked(_Fork))
ALONE(vfork, vforked())
ALONE(__vfork, vforked_by_alias())
ALONE(clone, by_clone(clone, 0) * 100000 + by_clone(clone, CLONE_VM | CLONE_VFORK))
ALONE(__clone, by_clone(__clone, 0))
ALONE(_exit, ended_by(_exit))
ALONE(_Exit, ended_by(_Exit))
ALONE(execl, executed(0))
ALONE(execle, executed(1))
ALONE(execlp, executed(2))
ALONE(execv, executed(3))
ALONE(execve, executed(4))
ALONE(execvp, executed(5))
ALONE(execvpe, executed(6))
ALONE(execveat, executed(7))
ALONE(fexecve, executed(8))
ALONE(prctl, prctl(PR_SET_SECCOMP, 2, NULL) * 10 + prctl(PR_GET_DUMPABLE))
ALONE(posix_spawn, spawned(false, false))
ALONE(posix_spawnp, spawned(true, false))
ALONE(posix_spawn_file_actions_adddup2, spawned(false, true))
ALONE(system, system("exit 9") * 10L + (system(NULL) != 0))
ALONE(popen, piped(popen))
ALONE(_IO_popen, piped(_IO_popen))
ALONE(sigaction, by_sigaction(sigaction))
ALONE(__sigaction, by_sigaction(__sigaction))
ALONE(signal, by_signal(signal))
ALONE(ssignal, by_signal(ssignal))
ALONE(bsd_signal, by_signal(bsd_signal))
ALONE(sysv_signal, by_signal(sysv_signal))
ALONE(__sysv_signal, by_signal(__sysv_signal))
ALONE(sigset, by_sigset())
ALONE(siginterrupt, interrupted())

// ---- the fds ----------------------------------------------------------------------------------

static int bad(void)
{
    return -1;
}

static int closed(void)
{
    return 222;
}

static int pipe_end(int end)
{
    int p[2];

    if (pipe(p) || (end == 0 && write(p[1], buf, 8) != 8))
        return -1;
    return p[end];
}

static int pipe_out(void)
{
    return pipe_end(0);
}

static int pipe_in(void)
{
    return pipe_end(1);
}

static int file(void)
{
    char name[] = "/tmp/shunt-passthrough.XXXXXX";
    int fd = mkstemp(name);

    unlink(name);
    return write(fd, buf, 8) == 8 && lseek(fd, 0, SEEK_SET) == 0 ? fd : -1;
}

static int unix_stream(void)
{
    int p[2];

    return socketpair(AF_UNIX, SOCK_STREAM, 0, p) || write(p[1], buf, 8) != 8 ? -1 : p[0];
}

static int udp(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
}

static int event(void)
{
    return eventfd(5, 0);
}

static int tcp(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static const struct {
    const char *name;
    int (*make)(void);
} fds[] = {{"no fd", bad},
           {"closed", closed},
           {"pipe, to read", pipe_out},
           {"pipe, to write", pipe_in},
           {"file", file},
           {"unix stream", unix_stream},
           {"udp", udp},
           {"eventfd", event},
           {"tcp, not connected", tcp}};

// ---- running ----------------------------------------------------------------------------------

static const char *const rows[] = {
#define ROW(symbol, text) #symbol,
#define PASS(symbol, text)
    SHIM_TABLE(ROW, PASS)
#undef ROW
#undef PASS
};

// In a child of its own, whose end is part of what came.
static void run_one(const struct row_case *rc, int kind)
{
    const char *on = rc->alone ? "" : fds[kind].name;
    pid_t pid;
    int status, fd;
    long r;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        alarm(10);
        fd = rc->alone ? -1 : fds[kind].make();
        errno = 0;
        r = rc->run(fd);
        printf("%s(%s) = %ld %s\n", rc->symbol, on, r, r < 0 ? strerrorname_np(errno) : "");
        fflush(stdout);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || status)
        printf("%s(%s) ended with status %d\n", rc->symbol, on, status);
}

static const struct row_case *case_of(const char *symbol)
{
    for (const struct row_case *const *rc = __start_row_cases; rc < __stop_row_cases; rc++)
        if (!strcmp((*rc)->symbol, symbol))
            return *rc;
    return NULL;
}

int main(void)
{
    int missing = 0;

    signal(SIGPIPE, SIG_DFL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row_case *rc = case_of(rows[i]);

        if (!rc) {
            fprintf(stderr, "%s has no case here\n", rows[i]);
            missing++;
            continue;
        }
        for (int kind = 0; kind < (rc->alone ? 1 : (int)(sizeof fds / sizeof fds[0])); kind++)
            run_one(rc, kind);
    }
    return missing != 0;
}
