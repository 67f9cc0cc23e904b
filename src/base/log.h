// SPDX-License-Identifier: BSD-2-Clause
// A log for a library that lives inside strangers: silent unless asked, one write(2) a line,
// no allocation, no stdio, errno untouched. Safe in a signal handler.
#ifndef SHUNT_BASE_LOG_H
#define SHUNT_BASE_LOG_H

enum log_level {
    LOG_QUIET = 0, // nothing at all
    LOG_ERROR,     // what the user must know: said even when not verbose
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG,
};

// Sets the level, and the fd that lines go to (default: LOG_ERROR, fd 2). The fd stays the
// caller's. When the number comes to mean another file than it does now, lines are dropped: a
// program may have closed its standard error, and the number may be a socket.
void log_setup(enum log_level level, int fd);

// Reads SHUNT_LOG ("quiet", "error", "warn", "info", "debug", or "LEVEL:/path/to/file").
// Returns 0, or -EINVAL for a word that is no level, or the errno of opening the file.
int log_setup_env(const char *text);

enum log_level log_level(void);

// The fd that lines go to.
int log_fd(void);

// Writes "shunt[pid]: text\n" when level is at or under the set level. Lines over 1000 bytes are
// cut.
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
