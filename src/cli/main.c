// SPDX-License-Identifier: BSD-2-Clause
// `shunt COMMAND ...`: finds the subcommand in the table and runs it.
#include "cli/cli.h"
#include "daemon/daemon.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config.h"

static const struct cli_command *const commands[] = {
    &cli_run, &cli_stat, &cli_check, &cli_explain, NULL,
};

static const struct cli_command *command_named(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

int cli_usage(const struct cli_command *command, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "shunt %s: ", command->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: shunt %s %s\n", command->name, command->usage);
    return CLI_USAGE;
}

static int help(void)
{
    puts(
        "usage: shunt COMMAND [ARGUMENTS]\n"
        "\n"
        "Moves the TCP connections of unmodified programs onto faster lanes: shared memory, RDMA,\n"
        "user-space TCP.\n");
    for (size_t i = 0; commands[i]; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    puts("\nSee `shunt COMMAND --help`, shunt(1), and shunt.conf(5) for the rules.");
    return CLI_OK;
}

static int command_help(const struct cli_command *command)
{
    printf("usage: shunt %s %s\n\n%s.\n\n%s", command->name, command->usage, command->summary,
           command->details);
    return CLI_OK;
}

int main(int argc, char **argv)
{
    const struct cli_command *command;

    if (argc > 0 && !strcmp(argv[0], "shuntd")) // as `shunt run` starts its private one
        return daemon_main(argc, argv);
    if (argc < 2) {
        fputs("shunt: no command; see `shunt --help`\n", stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return help();
    if (!strcmp(argv[1], "--version")) {
        puts(PACKAGE_STRING);
        return CLI_OK;
    }
    command = command_named(argv[1]);
    if (!command) {
        fprintf(stderr, "shunt: '%s' is not a command; see `shunt --help`\n", argv[1]);
        return CLI_USAGE;
    }
    if (argc > 2 && !strcmp(argv[2], "--help"))
        return command_help(command);
    return command->run(argc - 1, argv + 1);
}
