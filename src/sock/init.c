// SPDX-License-Identifier: BSD-2-Clause
// How the library comes to life in a program: environment, policy, what was inherited.
#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "sock/epoll.h"
#include "sock/fork.h"
#include "sock/self.h"
#include "sock/sock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

enum state { NOT_YET, BUSY, ON, OFF };

static _Atomic int state;

// A file that we log to gets a number out of the program's way.
static void setup_log(enum log_level level)
{
    const char *text = getenv("SHUNT_LOG");
    int fd;

    log_setup(level, 2);
    if (text && log_setup_env(text) == -EINVAL)
        log_error("SHUNT_LOG: \"%s\" is no level: quiet, error, warn, info or debug", text);
    fd = log_fd();
    if (fd > 2) {
        fd = cm_fd_up(fd);
        fdtab_set(fd, FD_OWN, NULL);
        log_setup(log_level(), fd);
    }
}

// The name is what the program was started as: Debian's redis-server is a link to redis-check-rdb.
static void name_self(void)
{
    ssize_t n = readlink("/proc/self/exe", self.exe, sizeof self.exe - 1);

    self.exe[n > 0 ? n : 0] = '\0';
    snprintf(self.program, sizeof self.program, "%.*s", (int)sizeof self.program - 1,
             program_invocation_short_name);
}

static void say_mistakes(const char *path, const struct policy_report *report)
{
    for (size_t i = 0; i < report->n_findings; i++) {
        const struct policy_finding *f = &report->findings[i];

        if (f->severity != POLICY_ERROR)
            continue;
        if (f->line)
            log_error("%s:%u: %s; everything stays on kernel TCP", f->file ? f->file : path,
                      f->line, f->text);
        else
            log_error("%s: %s; everything stays on kernel TCP", path, f->text);
        return;
    }
}

// A file that the user named must be there; the usual one may be missing.
static const struct policy *load_policy(void)
{
    const char *named = getenv("SHUNT_CONFIG"), *path = named ? named : POLICY_PATH;
    struct policy_report report = {0};
    struct policy *policy;
    int err = policy_load(path, &policy, &report);

    if (err == -ENOENT && !named)
        return policy_default();
    if (err) {
        if (report.n_errors)
            say_mistakes(path, &report);
        else
            log_error("%s: %s; everything stays on kernel TCP", path, strerror(-err));
        policy_report_fini(&report);
        return policy_forbid_all();
    }
    policy_report_fini(&report);
    policy_bind(policy, self.program, self.exe);
    return policy;
}

static bool start(void)
{
    const struct policy *policy;

    sock_real_init();
    if (getauxval(AT_SECURE) || getenv(SOCK_SEALED))
        return false;
    clock_ticks_of_ns(1);
    name_self();
    setup_log(LOG_ERROR);
    policy = load_policy();
    if (!getenv("SHUNT_LOG"))
        log_setup(policy_settings(policy)->log, log_fd());
    self_start(policy);
    fork_setup();
    return true;
}

bool sock_init(void)
{
    int expected = NOT_YET;

    if (likely(atomic_load_explicit(&state, memory_order_acquire) >= ON))
        return !self.off;
    // whoever comes while it is under way (a thread, or libconfig's own calls) goes without
    if (!atomic_compare_exchange_strong(&state, &expected, BUSY))
        return false;
    self.off = !start();
    atomic_store_explicit(&state, self.off ? OFF : ON, memory_order_release);
    if (!self.off) {
        sock_each_open_fd(conn_adopt);
        sock_each_open_fd(epoll_adopt); // these name connections
    }
    return !self.off;
}
