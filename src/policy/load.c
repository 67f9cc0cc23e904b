// SPDX-License-Identifier: BSD-2-Clause
// From a file to a policy.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/sys.h"
#include "policy/lint.h"
#include "policy/read.h"
#include "policy/rules.h"
#include "policy/written.h"

struct loader {
    struct reader reader;
    struct policy *policy;
    struct value_set file, defaults, sections; // sections: agent and tcp
};

const char *policy_path(void)
{
    const char *named = secure_getenv("SHUNT_CONFIG");

    if (named && *named)
        return named;
    return access(POLICY_PATH, F_OK) ? NULL : POLICY_PATH;
}

static int read_all(int fd, char *text, size_t size)
{
    size_t got = 0;
    ssize_t n;

    while (got < size) {
        n = sys_read(fd, text + got, size - got);
        if (n < 0 && n != -EINTR)
            return (int)n;
        if (n == 0)
            break;
        got += n > 0 ? n : 0;
    }
    text[got] = '\0';
    return strlen(text) == got ? 0 : -EINVAL;
}

// The file at path as text of the caller's. -EINVAL: it is not a text file.
static int slurp(const char *path, char **text)
{
    // a FIFO would block a program that never asked for Shunt
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = -EINVAL;
    struct stat st;

    *text = NULL;
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        err = -errno;
    } else if (S_ISDIR(st.st_mode)) {
        err = -EISDIR;
    } else if (S_ISREG(st.st_mode)) {
        *text = malloc(st.st_size + 1);
        err = *text ? read_all(fd, *text, st.st_size) : -ENOMEM;
    }
    sys_close(fd);
    return err;
}

// What line number `line` of text says, without blanks in front, cut to size.
static void quote_line(const char *text, int line, char *out, size_t size)
{
    for (; line > 1 && (text = strchr(text, '\n')); line--)
        text++;
    text = text ? text + strspn(text, " \t") : "";
    snprintf(out, size, "%.*s", (int)strcspn(text, "\r\n"), text);
}

static void report_syntax(const struct reader *reader, const config_t *source)
{
    const char *file = config_error_file(source), *what = config_error_text(source);
    bool syntax = !what || !strcmp(what, "syntax error");
    int line = config_error_line(source);
    char quoted[80] = "";

    if (!file)
        quote_line(reader->text, line, quoted, sizeof quoted);
    report_add(reader->report, POLICY_ERROR, file ? file : reader->path, line,
               "%s %s%s%s%s; %swhat comes after was not read", what ? what : "syntax error",
               file || *quoted ? "here or shortly before" : "before the end of the file",
               *quoted ? ": `" : "", quoted, *quoted ? "`" : "",
               syntax
                   ? "accepted is KEY = VALUE; with text in \"quotes\", groups as { ... }, lists "
                     "of groups as ( { ... }, { ... } ), arrays as [ \"a\", \"b\" ]; "
                   : "");
}

static int parse(struct loader *loader)
{
    config_t *source = &loader->policy->source;
    const char *slash = strrchr(loader->reader.path, '/');
    char *dir;

    // an @include is looked for beside the file
    dir = slash ? strndup(loader->reader.path, slash - loader->reader.path + 1) : strdup(".");
    if (!dir)
        return -ENOMEM;
    config_set_include_dir(source, dir);
    free(dir);
    if (config_read_string(source, loader->reader.text))
        return 0;
    report_syntax(&loader->reader, source);
    return -EINVAL;
}

// Gives a rule without a name one by its place. The string is the config's, like all others.
static const char *name_rule(config_setting_t *group, int i)
{
    config_setting_t *name = config_setting_add(group, "name", CONFIG_TYPE_STRING);
    char text[32];

    snprintf(text, sizeof text, "rule %d", i + 1);
    return name && config_setting_set_string(name, text) ? config_setting_get_string(name)
                                                         : "unnamed";
}

static void load_rule(struct loader *loader, config_setting_t *group, int i)
{
    struct rule *rule = &loader->policy->rules[loader->policy->n_rules++];
    struct value_set set = {0};

    read_group(&loader->reader, group, IN_RULE, &set);
    resolve_match(&set, &rule->match);
    resolve_outcome(&set, &loader->defaults, &loader->file, &rule->outcome);
    rule->outcome.rule = i;
    rule->outcome.file = read_file_of(&loader->reader, group);
    rule->outcome.line = config_setting_source_line(group);
    rule->outcome.rule_name = set.set[OPT_NAME] ? set.value[OPT_NAME].text : name_rule(group, i);
    rule->written = group;
}

static int load_rules(struct loader *loader)
{
    config_setting_t *list = config_lookup(&loader->policy->source, policy_schema[OPT_RULES].name);
    int n = list && loader->file.set[OPT_RULES] ? config_setting_length(list) : 0;
    char value[256];

    loader->policy->rules = calloc(n + 1, sizeof *loader->policy->rules);
    if (!loader->policy->rules)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        config_setting_t *group = config_setting_get_elem(list, i);

        if (config_setting_is_group(group))
            load_rule(loader, group, i);
        else
            read_error(&loader->reader, group,
                       "element %d of rules is %s; accepted is a group { ... }", i + 1,
                       written_value(group, value, sizeof value));
    }
    return 0;
}

static int load_settings(struct loader *loader)
{
    config_t *source = &loader->policy->source;
    const config_setting_t *group = NULL;

    read_group(&loader->reader, config_root_setting(source), IN_FILE, &loader->file);
    resolve_environment(&loader->file);
    if (loader->file.set[OPT_DEFAULTS]) {
        group = config_lookup(source, policy_schema[OPT_DEFAULTS].name);
        read_group(&loader->reader, group, IN_DEFAULTS, &loader->defaults);
    }
    if (loader->file.set[OPT_AGENT])
        read_group(&loader->reader, config_lookup(source, policy_schema[OPT_AGENT].name), IN_AGENT,
                   &loader->sections);
    if (loader->file.set[OPT_TCP])
        read_group(&loader->reader, config_lookup(source, policy_schema[OPT_TCP].name), IN_TCP,
                   &loader->sections);
    rules_init(loader->policy, &loader->file, &loader->defaults, &loader->sections);
    if (resolve_peers(&loader->sections, &loader->policy->peers, &loader->policy->n_peers))
        return -ENOMEM;
    if (loader->file.set[OPT_DEFAULTS]) {
        loader->policy->defaults.file = read_file_of(&loader->reader, group);
        loader->policy->defaults.line = config_setting_source_line(group);
    }
    return load_rules(loader);
}

// Fills policy from the text of the file at path.
static int load_text(struct policy *policy, const char *text, struct policy_report *report)
{
    struct loader loader = {
        .reader = {.path = policy->path, .text = text, .report = report},
        .policy = policy,
    };
    int err = parse(&loader);

    if (!err)
        err = load_settings(&loader);
    if (!err && report->n_errors)
        err = -EINVAL;
    if (!err)
        err = rules_file(policy);
    return err;
}

static int load_file(const char *path, struct policy *policy, struct policy_report *report)
{
    char *text;
    int err = slurp(path, &text);

    if (err)
        report_add(report, POLICY_ERROR, path, 0, "cannot be read: %s",
                   err == -EINVAL ? "not a text file" : err_text(err));
    else
        err = load_text(policy, text, report);
    free(text);
    return err;
}

static int load(const char *path, struct policy **out, struct policy_report *report)
{
    struct policy *policy = calloc(1, sizeof *policy);
    int err = -ENOMEM;

    *out = NULL;
    if (!policy)
        return err;
    config_init(&policy->source);
    policy->path = strdup(path);
    if (policy->path)
        err = load_file(path, policy, report);
    if (err)
        policy_free(policy);
    else
        *out = policy;
    return err;
}

int policy_load(const char *path, struct policy **out, struct policy_report *report)
{
    struct policy_report unread = {0};
    int err = load(path, out, report ? report : &unread);

    if (report)
        report_sort(report);
    policy_report_fini(&unread);
    return err;
}

int policy_check(const char *path, struct policy_report *report)
{
    struct policy *policy;
    int err = load(path, &policy, report);

    if (!err)
        lint_rules(policy, report);
    report_sort(report);
    policy_free(policy);
    return err;
}
