// SPDX-License-Identifier: BSD-2-Clause
#include "policy/render.h"

#include <string.h>

#include "policy/schema.h"

enum { WIDTH = 92 };

// Prints text as lines of at most WIDTH characters that begin with prefix.
static void wrap(FILE *out, const char *prefix, const char *text)
{
    size_t column = 0, len;

    while (*text) {
        len = strcspn(text, " ");
        if (column && column + 1 + len > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (!column)
            column = fprintf(out, "%s", prefix);
        column += fprintf(out, " %.*s", (int)len, text);
        text += len;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

// One option, commented out: what it means, what it takes, and the line to uncomment.
static void conf_option(FILE *out, const struct option *option, const char *indent)
{
    char accepts[256], value[128], prefix[16];

    snprintf(prefix, sizeof prefix, "%s#", indent);
    wrap(out, prefix, option->text);
    fprintf(out, "%s# Accepted: %s.\n", indent, schema_accepts(option, accepts, sizeof accepts));
    if (option->by_profile) {
        fprintf(out, "%s# Default by profile:", indent);
        for (enum policy_profile p = POLICY_LATENCY; p <= POLICY_QUIET; p++)
            fprintf(out, " %s %s%s", policy_profile_name(p),
                    schema_default(option, p, value, sizeof value), p < POLICY_QUIET ? "," : ".\n");
    }
    schema_default(option, POLICY_BALANCED, value, sizeof value);
    fprintf(out, "%s#%s = %s;\n\n", indent, option->name, *value ? value : option->sample);
}

static const char conf_head[] =
    "# SPDX-License-Identifier: BSD-2-Clause\n"
    "# shunt.conf: which TCP connections leave kernel TCP for a faster lane, and how.\n"
    "# Every option is listed, commented out, with its default, or with an example if it has no\n"
    "# default. `shunt check FILE` finds mistakes, `shunt explain` tells which rule decides, and\n"
    "# shunt.conf(5) is the manual.\n\n";

static const char conf_examples[] =
    "  # A few rules to start from. Rules are separated by commas.\n"
    "  #{ name = \"ssh stays out\"; port = 22; action = \"forbid\"; },\n"
    "  #{ name = \"cache\"; program = \"redis-*\"; role = \"server\"; local = \"*:6379\"; },\n"
    "  #{ name = \"engine\"; role = \"client\"; remote = \"10.1.0.0/16:9000-9100\";\n"
    "  #  lanes = [ \"rdma\" ]; action = \"require\"; spin_us = 200; after_bytes = 0; },\n"
    "  #{ name = \"v6 feed\"; remote = \"[fd00::/8]:7000\"; user = \"trade\"; lanes = [ \"tcp\" ]; "
    "}\n"
    ");\n";

static void conf_group(FILE *out, enum option_id group, enum option_scope scope)
{
    wrap(out, "#", policy_schema[group].text);
    fprintf(out, "%s = {\n", policy_schema[group].name);
    for (enum option_id id = 0; id < OPT_COUNT; id++)
        if (policy_schema[id].scopes & scope)
            conf_option(out, &policy_schema[id], "  ");
    fputs("};\n\n", out);
}

void render_conf(FILE *out)
{
    fputs(conf_head, out);
    for (enum option_id id = 0; id < OPT_AGENT; id++)
        conf_option(out, &policy_schema[id], "");
    conf_group(out, OPT_AGENT, IN_AGENT);
    conf_group(out, OPT_TCP, IN_TCP);
    conf_group(out, OPT_DEFAULTS, IN_DEFAULTS);
    wrap(out, "#", policy_schema[OPT_RULES].text);
    wrap(out, "#",
         "Beside the match keys below, a rule may set a profile and every option of defaults.");
    fputs("rules = (\n", out);
    for (enum option_id id = OPT_NAME; id <= OPT_INTERFACE; id++)
        conf_option(out, &policy_schema[id], "  ");
    fputs(conf_examples, out);
}

// Text with what troff would take for its own made plain.
static void man_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\'')
            fputs("\\(aq", out);
        else if (*text == '`')
            fputs("\\(ga", out);
        else
            fputc(*text, out);
    }
}

static void man_option(FILE *out, const struct option *option)
{
    char accepts[256], value[128];

    fprintf(out, ".TP\n.B %s\n", option->name);
    man_text(out, option->text);
    fputs("\n.br\nAccepted: ", out);
    man_text(out, schema_accepts(option, accepts, sizeof accepts));
    fputs(".\n", out);
    if (option->by_profile) {
        fputs(".br\nDefault by profile:", out);
        for (enum policy_profile p = POLICY_LATENCY; p <= POLICY_QUIET; p++)
            fprintf(out, " %s %s%s", policy_profile_name(p),
                    schema_default(option, p, value, sizeof value), p < POLICY_QUIET ? "," : ".\n");
    } else if (*schema_default(option, POLICY_BALANCED, value, sizeof value)) {
        fputs(".br\nDefault: ", out);
        man_text(out, value);
        fputs(".\n", out);
    } else if (option->sample) {
        fputs(".br\nExample: ", out);
        man_text(out, option->sample);
        fputs(".\n", out);
    }
}

static void man_section(FILE *out, const char *title, enum option_id first, enum option_id last)
{
    fprintf(out, ".SH %s\n", title);
    for (enum option_id id = first; id <= last; id++)
        man_option(out, &policy_schema[id]);
}

static const char man_head[] =
    ".\\\" SPDX-License-Identifier: BSD-2-Clause\n"
    ".\\\" Written by `make docs-policy` from the table in src/policy/schema.c.\n"
    ".TH SHUNT.CONF 5 \"\" \"Shunt\" \"File Formats\"\n"
    ".SH NAME\n"
    "shunt.conf \\- which TCP connections leave kernel TCP for a faster lane\n"
    ".SH DESCRIPTION\n"
    "A\n"
    ".I lane\n"
    "is a faster path for the bytes of a TCP connection: shared memory, RDMA, or user-space TCP; "
    "see\n"
    ".BR shunt (1).\n"
    "This file says which connections may use which lane.\n"
    ".PP\n"
    "It consists of settings of the form\n"
    ".IR \"key \" = \" value\" ;\n"
    "in the syntax of libconfig: strings in \"quotes\", groups in { braces }, lists of groups in\n"
    "( parentheses ), arrays in [ brackets ]; comments start with # or // and extend to the end of "
    "the\n"
    "line. Numbers above 2147483647 need the suffix L.\n"
    ".B @include \\(dqFILE\\(dq\n"
    "includes another file, relative to the directory of this one.\n"
    ".PP\n"
    "The rules are tried in order for each connection, and the first one that matches decides. A "
    "rule\n"
    "matches if all of its match keys do; a rule without match keys matches everything. A value "
    "that\n"
    "the deciding rule leaves out is taken from the first of these that has it: the profile named "
    "in\n"
    "the rule, the\n"
    ".B defaults\n"
    "section, the profile of the file, and the built-in default given below. If no rule matches, "
    "the\n"
    ".B defaults\n"
    "section decides.\n"
    ".PP\n"
    "A program reads the file when it starts. If the file has a mistake, it is ignored as a whole: "
    "the\n"
    "program runs on kernel TCP and prints one line on standard error, unless\n"
    ".B SHUNT_LOG=quiet\n"
    "is set.\n"
    ".B shunt check\n"
    "reports every mistake.\n";

static const char man_tail[] =
    ".SH EXAMPLE\n"
    ".nf\n"
    "profile = \"balanced\";\n"
    "rules = (\n"
    "  { name = \"ssh stays out\"; port = 22; action = \"forbid\"; },\n"
    "  { name = \"cache\"; program = \"redis\\-*\"; role = \"server\"; local = \"*:6379\"; }\n"
    ");\n"
    ".fi\n"
    ".SH SEE ALSO\n"
    ".BR shunt (1),\n"
    ".BR shuntd (8)\n";

void render_man(FILE *out)
{
    fputs(man_head, out);
    man_section(out, "GLOBAL SETTINGS", OPT_PROFILE, OPT_RULES);
    man_section(out, "RULES: MATCH KEYS", OPT_NAME, OPT_INTERFACE);
    man_section(out, "RULES AND DEFAULTS: OUTCOME", OPT_ACTION, OPT_CROSS_USER);
    man_section(out, "AGENT SECTION", OPT_AGENT_PEERS, OPT_AGENT_LOST);
    man_section(out, "TCP SECTION", OPT_TCP_QUEUE, OPT_TCP_MEMORY);
    fputs(man_tail, out);
}
