// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/aide.h"

#include "base/err.h"
#include "base/log.h"
#include "daemon/cage.h"
#include "daemon/proof.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS 5000 // the machine is very busy, or the aide was stopped

enum { ASK_KEEPER, ASK_CAN_LOOK, ASK_INODE };

struct ask {
    uint32_t what;
    pid_t pid;
    int32_t fd; // a number in that process
};

static int to_aide = -1; // shuntd's end of the pair; -1: there is none
static pid_t aide;
static bool lost; // there was one

// ---- the work, by whoever may do it ----

// In the child: we are executed anew, as what `how` says. Only its end of the pair stays open, and
// nothing of our memory. The signals that end shuntd stay blocked: it ends when the pair hangs up.
static _Noreturn void become(const char *how, int sock)
{
    char number[12];
    char *argv[] = {(char[]){"shuntd"}, (char *)(uintptr_t)how, number, NULL};

    snprintf(number, sizeof number, "%d", sock);
    if (sock > STDERR_FILENO + 1)
        close_range(STDERR_FILENO + 1, (unsigned)sock - 1, 0);
    close_range((unsigned)sock + 1, ~0U, 0);
    if (!fcntl(sock, F_SETFD, 0))
        execv("/proc/self/exe", argv);
    _exit(127);
}

static pid_t start_keeper(int sock)
{
    pid_t child = fork();

    if (child == 0)
        become("--keep", sock);
    return child < 0 ? -errno : child;
}

static int64_t work(const struct ask *ask, int sock)
{
    switch (ask->what) {
    case ASK_KEEPER:
        return sock < 0 ? -EBADF : start_keeper(sock);
    case ASK_CAN_LOOK:
        return proof_can_look(ask->pid);
    case ASK_INODE:
        return proof_inode(ask->pid, ask->fd);
    default:
        return -EPROTO;
    }
}

// ---- what is said ----

// fd: passed along; -1: none. As sendmsg(2) and recvmsg(2).
static ssize_t say(int to, const struct ask *ask, int fd)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec iov = {(void *)(uintptr_t)ask, sizeof *ask};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *h = (void *)control;

    if (fd >= 0) {
        *h = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(h), &fd, sizeof fd);
        msg.msg_control = control;
        msg.msg_controllen = sizeof control;
    }
    return sendmsg(to, &msg, MSG_NOSIGNAL);
}

static ssize_t hear(int from, struct ask *ask, int *fd)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof *fd)];
    struct iovec iov = {ask, sizeof *ask};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

    *fd = -1;
    if (h && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof *fd))
        memcpy(fd, CMSG_DATA(h), sizeof *fd);
    return n;
}

// ---- the aide ----

int aide_main(int shuntd)
{
    int fd, err = fcntl(shuntd, F_SETFD, FD_CLOEXEC) ? -errno : cage_drop(cage_aide());
    struct ask ask;
    int64_t answer;
    sigset_t all;

    prctl(PR_SET_NAME, "shuntd-aide");
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    signal(SIGCHLD, SIG_IGN);
    if (err) {
        log_error("shuntd's aide cannot begin: %s", err_text(err));
        return EXIT_FAILURE;
    }
    while (hear(shuntd, &ask, &fd) == sizeof ask) {
        answer = work(&ask, fd);
        if (fd >= 0)
            close(fd);
        if (send(shuntd, &answer, sizeof answer, MSG_NOSIGNAL) < 0)
            break;
    }
    return EXIT_SUCCESS;
}

int aide_begin(void)
{
    int pair[2];
    pid_t child;

    if (!cage_has(cage_aide()))
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return -errno;
    child = fork();
    if (child == 0)
        become("--aide", pair[1]);
    close(pair[1]);
    if (child < 0) {
        close(pair[0]);
        return -errno;
    }
    to_aide = pair[0];
    aide = child;
    return 0;
}

void aide_end(void)
{
    if (to_aide < 0)
        return;
    close(to_aide);
    to_aide = -1;
    waitpid(aide, NULL, 0);
}

// ---- shuntd ----

// An answer that comes later would be taken for the next one.
static int64_t lose(void)
{
    log_error("shuntd's aide is gone: no keepers can be started");
    close(to_aide);
    to_aide = -1;
    lost = true;
    return -EPIPE;
}

static int64_t question(const struct ask *ask, int fd)
{
    struct pollfd p = {to_aide, POLLIN, 0};
    int64_t answer;

    if (lost)
        return -EPIPE;
    if (to_aide < 0)
        return work(ask, fd);
    if (say(to_aide, ask, fd) < 0 || poll(&p, 1, ANSWER_MS) <= 0 ||
        recv(to_aide, &answer, sizeof answer, MSG_DONTWAIT) != sizeof answer)
        return lose();
    return answer;
}

pid_t aide_start_keeper(int sock)
{
    return (pid_t)question(&(struct ask){.what = ASK_KEEPER}, sock);
}

bool aide_can_look(pid_t pid)
{
    return question(&(struct ask){.what = ASK_CAN_LOOK, .pid = pid}, -1) > 0;
}

uint32_t aide_inode(pid_t pid, int fd)
{
    int64_t inode = question(&(struct ask){.what = ASK_INODE, .pid = pid, .fd = fd}, -1);

    return inode > 0 ? (uint32_t)inode : 0;
}
