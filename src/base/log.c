// SPDX-License-Identifier: BSD-2-Clause
#include "base/log.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    enum log_level level;
    int fd;
    bool known; // what file fd was when it was set
    dev_t dev;
    ino_t ino;
} state = {.level = LOG_ERROR, .fd = 2};

void log_setup(enum log_level level, int fd)
{
    struct stat st;

    state.level = level;
    state.fd = fd;
    state.known = fstat(fd, &st) == 0;
    state.dev = state.known ? st.st_dev : 0;
    state.ino = state.known ? st.st_ino : 0;
}

static bool is_another_file(void)
{
    struct stat st;

    return state.known &&
           (fstat(state.fd, &st) || st.st_dev != state.dev || st.st_ino != state.ino);
}

static int level_named(const char *text, size_t len)
{
    static const char *const names[] = {"quiet", "error", "warn", "info", "debug"};

    for (int i = 0; i <= LOG_DEBUG; i++)
        if (strlen(names[i]) == len && !memcmp(names[i], text, len))
            return i;
    return -EINVAL;
}

int log_setup_env(const char *text)
{
    size_t len = strcspn(text, ":");
    int level = level_named(text, len);
    int fd = 2;

    if (level < 0)
        return level;
    if (text[len] == ':') {
        fd = open(text + len + 1, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0)
            return -errno;
    }
    log_setup(level, fd);
    return 0;
}

enum log_level log_level(void)
{
    return state.level;
}

int log_fd(void)
{
    return state.fd;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char line[1024];
    int saved = errno, n, m;
    va_list ap;

    if (level > state.level)
        return;
    if (is_another_file()) {
        errno = saved;
        return;
    }
    n = snprintf(line, sizeof line, "shunt[%d]: ", sys_getpid());
    va_start(ap, fmt);
    m = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
    va_end(ap);
    if (m > 0)
        n += m < (int)sizeof line - n - 1 ? m : (int)sizeof line - n - 2;
    line[n++] = '\n';
    sys_write(state.fd, line, (size_t)n);
    errno = saved;
}
