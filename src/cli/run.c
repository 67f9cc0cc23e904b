// SPDX-License-Identifier: BSD-2-Clause
// `shunt run`: makes everything ready and becomes the command, in the same process.
#include "cli/cli.h"
#include "cli/private.h"
#include "cli/program.h"
#include "policy/policy.h"

#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY         "libshunt-preload.so"
#define EXIT_BROKEN     125 // as env(1) and timeout(1): our own failure,
#define EXIT_CANNOT_RUN 126 // the command's,
#define EXIT_NO_COMMAND 127 // and its absence

struct run {
    const char *profile, *config;
    bool verbose;
    char **command; // NULL at the end
    char program[PATH_MAX], library[PATH_MAX];
};

static bool is_profile(const char *text)
{
    for (int i = POLICY_LATENCY; i <= POLICY_QUIET; i++)
        if (!strcmp(text, policy_profile_name((enum policy_profile)i)))
            return true;
    return false;
}

// CLI_OK, or the exit status after a complaint.
static int parse(struct run *r, int argc, char **argv)
{
    int c;

    opterr = 0;
    while ((c = getopt(argc, argv, "+p:c:v")) != -1) {
        switch (c) {
        case 'p':
            r->profile = optarg;
            break;
        case 'c':
            r->config = optarg;
            break;
        case 'v':
            r->verbose = true;
            break;
        default:
            return cli_usage(&cli_run, "-%c is not an option, or lacks its argument", optopt);
        }
    }
    r->command = argv + optind;
    if (!r->command[0])
        return cli_usage(&cli_run, "no command");
    if (r->profile && !is_profile(r->profile))
        return cli_usage(&cli_run, "'%s' is not a profile: latency, balanced or quiet", r->profile);
    return CLI_OK;
}

// ---- the library ----

static bool try_library(struct run *r, const char *dir, const char *below)
{
    char path[PATH_MAX + 32 + sizeof LIBRARY];

    snprintf(path, sizeof path, "%s%s/" LIBRARY, dir, below);
    return !access(path, R_OK) && realpath(path, r->library);
}

// Where it was built, next to this executable or above it; else where it is installed: beside our
// own bin directory, if the whole tree was moved, or as configured.
static bool find_library(struct run *r)
{
    static const char *const below[] = {"/.libs", "", "/../../.libs", "/../../../.libs",
                                        "/../lib/shunt"};
    char dir[PATH_MAX] = "";

    if (readlink("/proc/self/exe", dir, sizeof dir - 1) > 0 && strrchr(dir, '/')) {
        *strrchr(dir, '/') = 0;
        for (size_t i = 0; i < sizeof below / sizeof *below; i++)
            if (try_library(r, dir, below[i]))
                return true;
    }
    return try_library(r, SHUNT_LIBDIR, "");
}

static void preload(const char *library)
{
    const char *old = getenv("LD_PRELOAD");
    char *both;

    if (!old || !*old || !strcmp(old, library)) {
        setenv("LD_PRELOAD", library, 1);
        return;
    }
    if (!strncmp(old, library, strlen(library)) && old[strlen(library)] == ':')
        return;
    if (asprintf(&both, "%s:%s", library, old) > 0) {
        setenv("LD_PRELOAD", both, 1);
        free(both);
    }
}

// ---- the config ----

static bool is_quiet(void)
{
    const char *log = getenv("SHUNT_LOG");

    return log && !strncmp(log, "quiet", 5);
}

static void complain_of_config(const char *path, int err, const struct policy_report *report)
{
    const struct policy_finding *f = NULL;

    for (size_t i = 0; i < report->n_findings && !f; i++)
        if (report->findings[i].severity == POLICY_ERROR)
            f = &report->findings[i];
    if (is_quiet())
        return;
    if (f && f->line)
        fprintf(stderr, "shunt: %s:%u: %s (running on kernel TCP; `shunt check %s` tells more)\n",
                f->file, f->line, f->text, path);
    else
        fprintf(stderr, "shunt: %s: %s (running on kernel TCP)\n", path, err_text(err));
}

// Loads the config that the program will load, and says once what is wrong with it. Returns false
// if the program had better run without Shunt. *policy NULL: there is no file, the defaults hold.
static bool load_config(const char *config, struct policy **policy)
{
    const char *path = config ? config : policy_path();
    struct policy_report report = {0};
    int err = path ? policy_load(path, policy, &report) : 0;

    if (err)
        complain_of_config(path, err, &report);
    policy_report_fini(&report);
    return err == 0;
}

// ---- the environment ----

static void find_daemon(const struct run *r, const struct policy *policy)
{
    const char *named = policy ? policy_settings(policy)->daemon_socket : NULL;
    char path[PLACE_MAX] = "", why[ASK_WHY_BYTES];

    if (private_shuntd(named, r->config, path, why) && !is_quiet())
        fprintf(stderr, "shunt: %s (running on kernel TCP)\n", why);
    if (*path)
        setenv("SHUNT_SOCKET", path, 1);
}

static void set_environment(const struct run *r)
{
    char config[PATH_MAX];

    preload(r->library);
    if (r->config && realpath(r->config, config))
        setenv("SHUNT_CONFIG", config, 1);
    if (r->profile)
        setenv("SHUNT_PROFILE", r->profile, 1);
    if (r->verbose)
        setenv("SHUNT_LOG", "info", 1);
}

static int no_command(const struct run *r, int err)
{
    fprintf(stderr, "shunt: %s: %s\n", r->command[0],
            err == -ENOENT ? "command not found" : err_text(err));
    return err == -ENOENT ? EXIT_NO_COMMAND : EXIT_CANNOT_RUN;
}

// Makes Shunt ready for the command. Where it cannot be, says so; the command runs all the same.
static void prepare(struct run *r)
{
    const char *obstacle = program_obstacle(r->program);
    struct policy *policy = NULL;

    if (obstacle && !is_quiet())
        fprintf(stderr, "shunt: %s: %s, so nothing can be preloaded (running on kernel TCP)\n",
                r->program, obstacle);
    if (!load_config(r->config, &policy))
        return;
    find_daemon(r, policy);
    set_environment(r);
    policy_free(policy);
}

static int run(int argc, char **argv)
{
    static struct run r;
    int ret = parse(&r, argc, argv), err;

    if (ret)
        return ret;
    err = program_find(r.command[0], r.program);
    if (err)
        return no_command(&r, err);
    if (!find_library(&r)) {
        fprintf(stderr, "shunt: " LIBRARY " is neither near this program nor in %s\n",
                SHUNT_LIBDIR);
        return EXIT_BROKEN;
    }
    prepare(&r);
    execvp(r.program, r.command); // a script without #! is the shell's
    return no_command(&r, -errno);
}

const struct cli_command cli_run = {
    .name = "run",
    .usage = "[-p PROFILE] [-c FILE] [-v] [--] COMMAND [ARGUMENT...]",
    .summary = "Runs a program with its TCP connections on the fastest lane that works",
    .details =
        "  -p PROFILE  latency, balanced or quiet; overrides the profile of the file\n"
        "  -c FILE     the rules (default: SHUNT_CONFIG, else " POLICY_PATH ")\n"
        "  -v          print on stderr what happens to each connection (SHUNT_LOG=info)\n"
        "\n"
        "If no shuntd answers, starts a private one that exits after its last program. Whatever\n"
        "goes wrong, the program still runs, on kernel TCP. The exit status is the program's, or\n"
        "125 if Shunt is not installed properly, 126 if the program cannot be executed, 127 if it\n"
        "does not exist.\n",
    .run = run,
};
