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
        fprintf(out, "%s# Preset by the profile:", indent);
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
    "# Every option is here, commented out. It shows its default, or an example where it has "
    "none.\n"
    "# `shunt check FILE` finds mistakes, `shunt explain` tells which rule decides; see also\n"
    "# shunt.conf(5).\n\n";

static const char conf_examples[] =
    "  # A few rules, to take up or to change. Between two rules stands a comma.\n"
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
         "Beside the keys below a rule may have a profile, and all that stands in defaults.");
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
    "The file holds settings of the form\n"
    ".IR \"key \" = \" value\" ;\n"
    "in the language of libconfig: text stands in \"quotes\", groups in { braces }, lists of "
    "groups\n"
    "in ( parentheses ), arrays in [ brackets ]; a comment begins with # or // and ends with the\n"
    "line. A number above 2147483647 takes an L behind it. An\n"
    ".B @include \"FILE\"\n"
    "takes in another file, which is looked for beside this one.\n"
    ".PP\n"
    "For each connection the rules are tried in their order, and the first one that matches\n"
    "decides. A rule matches when every match key that it has does; a rule without any matches\n"
    "everything. What the deciding rule leaves out comes, in this order, from the profile that it\n"
    "names, from the\n"
    ".B defaults\n"
    "section, from the profile of the file, and from the defaults given below. No rule means that\n"
    "the\n"
    ".B defaults\n"
    "section decides.\n"
    ".PP\n"
    "A program reads the file when it starts. A file with a mistake is not used at all: the "
    "program\n"
    "runs on kernel TCP and says so once on standard error, unless\n"
    ".B SHUNT_LOG=quiet\n"
    "is set.\n"
    ".B shunt check\n"
    "lists every mistake.\n";

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
    ".BR shunt (1)\n";

void render_man(FILE *out)
{
    fputs(man_head, out);
    man_section(out, "SETTINGS OF THE FILE", OPT_PROFILE, OPT_RULES);
    man_section(out, "MATCH KEYS OF A RULE", OPT_NAME, OPT_INTERFACE);
    man_section(out, "WHAT A RULE OR THE DEFAULTS SAY", OPT_ACTION, OPT_CROSS_USER);
    man_section(out, "WHAT THE AGENT SECTION SAYS", OPT_AGENT_PEERS, OPT_AGENT_LOST);
    man_section(out, "WHAT THE TCP SECTION SAYS", OPT_TCP_QUEUE, OPT_TCP_DELAY);
    fputs(man_tail, out);
}
