// SPDX-License-Identifier: BSD-2-Clause
#include "cli/private.h"

#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS (2 * NS_PER_S)
#define NAP_US   2000

static bool greet(const char *path, uint64_t deadline_ns, char why[ASK_WHY_BYTES], int *err)
{
    int sock = ask_open(path, deadline_ns, why);

    *err = sock < 0 ? sock : ask_stay(sock);
    if (sock >= 0)
        close(sock);
    return !*err;
}

// In the grandchild: nothing of the program's stays open, and nobody waits for it.
static void become_shuntd(char *path, const char *config)
{
    char exe[PATH_MAX] = "", file[PATH_MAX];
    char *argv[7] = {(char[]){"shuntd"}, (char[]){"--private"}, (char[]){"--socket"}, path};
    int null = open("/dev/null", O_RDWR);
    sigset_t none;

    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    close_range(3, ~0U, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    unsetenv("LD_PRELOAD");
    if (config && realpath(config, file)) {
        argv[4] = (char[]){"-c"};
        argv[5] = file;
    }
    if (chdir("/") || readlink("/proc/self/exe", exe, sizeof exe - 1) < 0)
        _exit(1);
    execv(exe, argv);
    _exit(127);
}

static int start(char *path, const char *config)
{
    int status = 0;
    pid_t child = fork();

    if (child < 0)
        return -errno;
    if (child == 0) {
        setsid();
        child = fork();
        if (child == 0)
            become_shuntd(path, config);
        _exit(child < 0 ? errno : 0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}

static bool nobody_there(int err)
{
    return err == -ENOENT || err == -ECONNREFUSED || err == -EPIPE;
}

// Two of us may start one each: the loser of the lock ends, and both find the winner. One that was
// about to end as we came is replaced.
static int start_and_greet(char path[static PLACE_MAX], const char *config, char why[ASK_WHY_BYTES])
{
    uint64_t deadline_ns = clock_now_ns() + START_NS, again_ns = 0;
    int err = -ENOENT;

    while (nobody_there(err) && clock_now_ns() < deadline_ns) {
        if (clock_now_ns() >= again_ns) {
            if ((err = start(path, config))) {
                snprintf(why, ASK_WHY_BYTES, "shuntd cannot be started: %s", err_text(err));
                return err;
            }
            again_ns = clock_now_ns() + START_NS / 4;
        }
        if (greet(path, deadline_ns, why, &err))
            return 0;
        usleep(NAP_US);
    }
    if (nobody_there(err))
        snprintf(why, ASK_WHY_BYTES, "shuntd could not be started at %.80s", path);
    return err;
}

int private_shuntd(const char *named, const char *config, char path[static PLACE_MAX],
                   char why[ASK_WHY_BYTES])
{
    int err;

    snprintf(why, ASK_WHY_BYTES, "its path is too long");
    for (int i = 0; (err = place_nth(i, named, geteuid(), path)) != -ENOENT; i++)
        if (!err && greet(path, clock_now_ns() + START_NS, why, &err))
            return 0;
    if (place_own(named, geteuid(), path))
        return -ENAMETOOLONG;
    return start_and_greet(path, config, why);
}
