// SPDX-License-Identifier: BSD-2-Clause
// `shunt stat`: what shuntd knows of all connections.
#include "cli/cli.h"
#include "cli/snapshot.h"

#include "base/clock.h"
#include "base/err.h"
#include "cm/ask.h"
#include "policy/policy.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ANSWER_NS (5 * NS_PER_S)
#define WATCH_S   1

struct options {
    bool json, watch;
};

static int parse(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'}, {"watch", no_argument, NULL, 'w'}, {NULL, 0, NULL, 0}};
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'j')
            o->json = true;
        else if (c == 'w')
            o->watch = true;
        else
            return cli_usage(&cli_stat, "'%s' is not an option", argv[optind - 1]);
    }
    return optind < argc ? cli_usage(&cli_stat, "unexpected argument '%s'", argv[optind]) : CLI_OK;
}

// The terminal's width; 0: there is no terminal, and no limit.
static size_t terminal_width(void)
{
    struct winsize ws;

    if (!isatty(STDOUT_FILENO))
        return 0;
    return !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_col ? ws.ws_col : 80;
}

static void show(const struct snapshot *s, const struct options *o)
{
    if (o->json) {
        snapshot_print_json(s, stdout, o->watch);
    } else {
        if (o->watch && isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout);
        snapshot_print(s, stdout, terminal_width());
    }
    fflush(stdout);
}

// Connects to shuntd where programs do, if they have the same shunt.conf. As ask_open_any().
static int open_shuntd(char why[ASK_WHY_BYTES])
{
    const char *conf = policy_path(), *named = NULL;
    struct policy_report report = {0};
    struct policy *policy = NULL;
    int sock;

    if (conf && !policy_load(conf, &policy, &report))
        named = policy_settings(policy)->daemon_socket;
    sock = ask_open_any(named, clock_now_ns() + ANSWER_NS, why);
    policy_report_fini(&report);
    policy_free(policy);
    return sock;
}

static int stat(int argc, char **argv)
{
    struct options o = {0};
    struct snapshot s = {0};
    char why[ASK_WHY_BYTES];
    int ret = parse(&o, argc, argv), sock, err;

    if (ret)
        return ret;
    sock = open_shuntd(why);
    if (sock < 0) {
        fprintf(stderr, "shunt stat: %s\n", why);
        return CLI_FAILED;
    }
    do {
        err = snapshot_take(&s, sock, clock_now_ns() + ANSWER_NS);
        if (!err)
            show(&s, &o);
    } while (!err && o.watch && !ferror(stdout) && !sleep(WATCH_S));
    if (err)
        fprintf(stderr, "shunt stat: shuntd is gone: %s\n", err_text(err));
    snapshot_free(&s);
    close(sock);
    return err || ferror(stdout) ? CLI_FAILED : CLI_OK;
}

const struct cli_command cli_stat = {
    .name = "stat",
    .usage = "[--json] [--watch]",
    .summary = "Shows every connection: lane each way, rule, reason, bytes, waits",
    .details =
        "  --json   print one JSON object: {\"connections\": [...], \"shuntd\": {...}}\n"
        "  --watch  repeat every second; with --json, one object a line\n"
        "\n"
        "Root sees the connections of all users, others their own. shunt(1) explains the names.\n"
        "The exit status is 1 if no shuntd is running.\n",
    .run = stat,
};
