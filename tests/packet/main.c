// SPDX-License-Identifier: BSD-2-Clause
// Runs packet scripts, each in a process of its own, and says in TAP how they did:
//   runner [SCRIPT...]
// Without arguments it runs all TOPIC/CASE.pkt of $top_srcdir/tests/packet.
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"
#include "script.h"

#define SECONDS_MAX 20 // of real time for one script: virtual time costs nothing

static char *read_whole(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;

    if (!f)
        return NULL;
    if (getdelim(&text, &size, 0, f) < 0) {
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

// Runs the script at path, and writes to report what is wrong.
static bool run_file(const char *path, FILE *report)
{
    char error[256] = "out of memory", *text = read_whole(path);
    struct script *s;
    bool passed;

    if (!text) {
        fprintf(report, "%s\n", strerror(errno));
        return false;
    }
    s = script_parse(text, error, sizeof(error));
    free(text);
    if (!s) {
        fprintf(report, "%s\n", error);
        return false;
    }
    passed = run_script(s, report);
    script_free(s);
    return passed;
}

// Copies the report as TAP comments.
static void print_report(FILE *report)
{
    char *line = NULL;
    size_t size = 0;

    rewind(report);
    while (getline(&line, &size, report) > 0)
        printf("# %s", line);
    free(line);
}

// Returns true when the script passed.
static bool run_apart(const char *path, FILE *report)
{
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        bool passed;

        alarm(SECONDS_MAX);
        passed = run_file(path, report);
        fflush(report);
        exit(passed ? 0 : 1); // not _exit(): coverage is written at exit
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        fprintf(report, "no process: %s\n", strerror(errno));
        return false;
    }
    fseek(report, 0, SEEK_END);
    if (WIFSIGNALED(status))
        fprintf(report, "died: %s\n", strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// "TOPIC/CASE" of ".../TOPIC/CASE.pkt".
static void print_name(const char *path)
{
    size_t len = strlen(path), slashes = 0, start = len;

    while (start && (slashes += path[start - 1] == '/') < 2)
        start--;
    printf("%.*s\n", (int)(len - start - strlen(".pkt")), path + start);
}

static int run_all(char **paths, int count)
{
    int failed = 0;

    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        FILE *report = tmpfile();
        bool passed = report && run_apart(paths[i], report);

        failed += !passed;
        printf("%sok %d - ", passed ? "" : "not ", i + 1);
        print_name(paths[i]);
        if (!passed && report)
            print_report(report);
        if (report)
            fclose(report);
    }
    return failed != 0;
}

int main(int argc, char **argv)
{
    const char *top = getenv("top_srcdir");
    char pattern[1024];
    glob_t found;
    int status;

    if (argc > 1)
        return run_all(argv + 1, argc - 1);
    snprintf(pattern, sizeof(pattern), "%s/tests/packet/*/*.pkt", top ? top : ".");
    if (glob(pattern, 0, NULL, &found)) {
        fprintf(stderr, "no scripts: %s\n", pattern);
        return 1;
    }
    status = run_all(found.gl_pathv, (int)found.gl_pathc);
    globfree(&found);
    return status;
}
