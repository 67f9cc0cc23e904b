// SPDX-License-Identifier: BSD-2-Clause
// The subcommands of `shunt`. A new one is a file with its struct, a line here and a row in main.c.
#ifndef SHUNT_CLI_CLI_H
#define SHUNT_CLI_CLI_H

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, // the answer is no
    CLI_USAGE = 2,  // the command line makes no sense
};

struct cli_command {
    const char *name;
    const char *usage;   // what follows the name
    const char *summary; // one line
    const char *details; // for `shunt NAME --help`: whole lines
    // argv[0] is the name; a first argument --help has been dealt with. Returns the exit status.
    int (*run)(int argc, char **argv);
};

extern const struct cli_command cli_run, cli_stat;
extern const struct cli_command cli_check;
extern const struct cli_command cli_explain;

// Says on stderr what is wrong with a command line. Returns CLI_USAGE.
int cli_usage(const struct cli_command *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
