// SPDX-License-Identifier: BSD-2-Clause
#include "config.h"

#include "policy/read.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/written.h"

enum {
    MAX_NAME = 31,
    MAX_PATH = 108
}; // as the schema says; the first is what a record holds, 108 is sun_path's

const char *read_file_of(const struct reader *reader, const config_setting_t *setting)
{
    const char *file = config_setting_source_file(setting);

    return file ? file : reader->path;
}

// A setting to be read, and what comes of it. The functions below return NULL, or what is wrong;
// "" when there is nothing to say but what is accepted.
struct reading {
    const struct reader *reader;
    const config_setting_t *setting;
    const struct option *option;
    union value value;
    const char *nearest;             // of a word that is none: the one it was probably meant to be
    const config_setting_t *element; // of an array: the one that is read, or was last
    bool refused;                    // at least one of them
};

static int word_place(struct reading *r, const char *word)
{
    const char *const *words = r->option->words;

    for (int i = 0; word && words[i]; i++)
        if (!strcmp(words[i], word))
            return i;
    r->nearest = word ? schema_nearest(word, words) : NULL;
    return -1;
}

static const char *read_word(struct reading *r)
{
    r->value.num = word_place(r, config_setting_get_string(r->setting));
    return r->value.num < 0 ? "" : NULL;
}

static void refuse(const struct reading *r, const char *wrong)
{
    const config_setting_t *at = r->element ? r->element : r->setting;
    const char *name = r->option->name, *nearest = r->nearest;
    char value[256], accepts[256];

    written_value(at, value, sizeof value);
    read_error(r->reader, at, "%s%s%s: %s%saccepted is %s%s%s%s", r->element ? value : name,
               r->element ? " in " : " = ", r->element ? name : value, wrong, *wrong ? "; " : "",
               schema_accepts(r->option, accepts, sizeof accepts),
               nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

// Reads each element of an array with read(), and refuses each that is wrong.
static const char *read_elements(struct reading *r, const char *(*read)(struct reading *r))
{
    int n = config_setting_length(r->setting);

    for (int i = 0; i < n; i++) {
        const char *wrong;

        r->element = config_setting_get_elem(r->setting, i);
        r->nearest = NULL;
        wrong = read(r);
        if (wrong)
            refuse(r, wrong);
        r->refused |= wrong != NULL;
    }
    return NULL;
}

static const char *read_lane(struct reading *r)
{
    struct lane_list *lanes = &r->value.lanes;
    int lane = word_place(r, config_setting_get_string(r->element));

    if (lane < 0)
        return "";
    if (memchr(lanes->lane, lane, lanes->n))
        return "it is there twice";
    lanes->lane[lanes->n++] = lane;
    return NULL;
}

static bool is_array(const config_setting_t *setting)
{
    return config_setting_is_array(setting) || config_setting_is_list(setting);
}

static const char *read_lanes(struct reading *r)
{
    if (!is_array(r->setting))
        return "";
    if (!config_setting_length(r->setting))
        return "there is no lane in it; action = \"forbid\" leaves a connection to the kernel";
    return read_elements(r, read_lane);
}

// The beginning of the line that setting stands on; NULL: it is in another file.
static const char *line_of(const struct reading *r)
{
    const char *p = r->reader->text;

    if (config_setting_source_file(r->setting))
        return NULL;
    for (unsigned line = 1; p && line < config_setting_source_line(r->setting); line++) {
        p = strchr(p, '\n');
        p = p ? p + 1 : NULL;
    }
    return p;
}

// True when libconfig has cut a number that does not fit 32 bits and has no L, which it does
// without a word up to 1.5 at least: then the line has, behind the key, another number than the one
// we got.
static bool was_cut(const struct reading *r)
{
    const char *name = r->option->name, *p = line_of(r), *end = p ? strchrnul(p, '\n') : NULL;
    long long written;
    char *rest;

    while (p && (p = strstr(p, name)) && p < end) {
        p += strlen(name);
        p += strspn(p, " \t=:");
        errno = 0;
        written = strtoll(p, &rest, strncasecmp(p, "0x", 2) ? 10 : 16);
        if (rest > p && *rest != 'L' && (written > INT32_MAX || written < INT32_MIN) &&
            (errno == ERANGE || (int)written == config_setting_get_int(r->setting)))
            return true;
    }
    return false;
}

static const char *read_int(struct reading *r)
{
    int type = config_setting_type(r->setting);

    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
        return "";
    if (type == CONFIG_TYPE_INT && was_cut(r))
        return "this is what is left of a number above 2147483647; such a one needs an L behind it";
    r->value.num = config_setting_get_int64(r->setting);
    return r->value.num < r->option->min || r->value.num > r->option->max ? "" : NULL;
}

static const char *read_power(struct reading *r)
{
    const char *wrong = read_int(r);

    if (!wrong && r->value.num & (r->value.num - 1))
        wrong = "";
    return wrong;
}

static const char *read_bool(struct reading *r)
{
    r->value.num = config_setting_get_bool(r->setting);
    return config_setting_type(r->setting) == CONFIG_TYPE_BOOL ? NULL : "";
}

static const char *read_text(struct reading *r)
{
    r->value.text = config_setting_get_string(r->setting);
    return r->value.text && *r->value.text && strlen(r->value.text) <= MAX_NAME ? NULL : "";
}

static const char *read_path(struct reading *r)
{
    const char *path = r->value.text = config_setting_get_string(r->setting);

    return path && *path == '/' && strlen(path) < MAX_PATH ? NULL : "";
}

static const char *read_glob(struct reading *r)
{
    r->value.text = config_setting_get_string(r->setting);
    return r->value.text ? value_glob_check(r->value.text) : "";
}

static const char *read_endpoint(struct reading *r)
{
    const char *text = config_setting_get_string(r->setting);

    return text ? value_read_endpoint(text, &r->value.end) : "";
}

static const char *read_address(struct reading *r)
{
    const char *wrong = read_endpoint(r);

    if (wrong)
        return wrong;
    if (r->value.end.prefix.family && r->value.end.prefix.len != 128)
        return "this is more than one address";
    return value_port_is_any(&r->value.end.port) ? NULL : "the port stands in port";
}

static const char *read_peer(struct reading *r)
{
    const char *text = config_setting_get_string(r->element);
    struct endpoint end;
    const char *wrong = text ? value_read_endpoint(text, &end) : "";

    if (!wrong && !value_port_is_any(&end.port) && end.port.low != end.port.high)
        wrong = "a shuntd listens on one port";
    return wrong;
}

static const char *read_peers(struct reading *r)
{
    if (!is_array(r->setting))
        return "";
    if (config_setting_length(r->setting) > VALUE_PEERS_MAX)
        return "these are too many";
    r->value.written = r->setting;
    return read_elements(r, read_peer);
}

static const char *read_port(struct reading *r)
{
    const char *text = config_setting_get_string(r->setting), *wrong;

    if (text)
        return value_read_port(text, &r->value.port);
    wrong = read_int(r);
    if (!wrong)
        r->value.port = (struct port_range){r->value.num, r->value.num};
    return wrong;
}

static const char *read_user(struct reading *r)
{
    const char *name = config_setting_get_string(r->setting);
    struct passwd entry, *found = NULL;
    char buffer[4096];

    if (!name)
        return read_int(r);
    if (!*name)
        return "";
    if (getpwnam_r(name, &entry, buffer, sizeof buffer, &found) || !found)
        r->value.num = UNKNOWN_UID;
    else
        r->value.num = entry.pw_uid;
    return NULL;
}

// Groups and lists are read by who knows what is in them.
static const char *read_group_type(struct reading *r)
{
    return config_setting_is_group(r->setting) ? NULL : "";
}

static const char *read_rules_type(struct reading *r)
{
    return config_setting_is_list(r->setting) ? NULL : "";
}

static const char *(*const readers[])(struct reading *r) = {
    [TYPE_WORD] = read_word,         [TYPE_LANES] = read_lanes,     [TYPE_INT] = read_int,
    [TYPE_POWER] = read_power,       [TYPE_BOOL] = read_bool,       [TYPE_TEXT] = read_text,
    [TYPE_PATH] = read_path,         [TYPE_GLOB] = read_glob,       [TYPE_USER] = read_user,
    [TYPE_ENDPOINT] = read_endpoint, [TYPE_PORT] = read_port,       [TYPE_GROUP] = read_group_type,
    [TYPE_RULES] = read_rules_type,  [TYPE_ADDRESS] = read_address, [TYPE_PEERS] = read_peers,
};

// Right, but hardly what the author meant.
static void warn_of_value(const struct reading *r)
{
    char value[256];

    written_value(r->setting, value, sizeof value);
    if (r->option->type == TYPE_USER && r->value.num == UNKNOWN_UID)
        read_warning(r->reader, r->setting,
                     "user = %s: this host has no such user, so the rule "
                     "never matches here",
                     value);
    if (r->option->type == TYPE_ENDPOINT && value_prefix_has_host_bits(&r->value.end.prefix))
        read_warning(r->reader, r->setting,
                     "%s = %s: the address has bits set after its first %d, "
                     "which are not looked at",
                     r->option->name, value,
                     r->value.end.prefix.len - (r->value.end.prefix.family == AF_INET ? 96 : 0));
}

// What needs something that this build lacks.
static void refuse_what_is_not_built(const struct reader *reader, const config_setting_t *setting,
                                     enum option_id id)
{
#ifndef HAVE_SODIUM
    if (id == OPT_AGENT_KEY_FILE)
        read_error(reader, setting, "key_file: this Shunt was built without libsodium");
#endif
}

static void refuse_key(const struct reader *reader, const config_setting_t *setting,
                       enum option_scope scope)
{
    const char *name = config_setting_name(setting), *where = schema_scope_name(scope);
    const char *nearest = schema_nearest_option(name, scope);
    char keys[512];
    enum option_id id;

    for (enum option_scope other = IN_FILE; other <= IN_TCP; other <<= 1) {
        id = schema_find(name, other);
        if (id < OPT_COUNT) {
            read_error(reader, setting, "'%s' is no key of %s, but one of %s", name, where,
                       schema_scope_name(other));
            return;
        }
    }
    if (nearest)
        read_error(reader, setting, "'%s' is no key of %s; did you mean '%s'?", name, where,
                   nearest);
    else
        read_error(reader, setting, "'%s' is no key of %s; the keys are %s", name, where,
                   schema_keys(scope, keys, sizeof keys));
}

void read_group(const struct reader *reader, const config_setting_t *group, enum option_scope scope,
                struct value_set *out)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        struct reading r = {.reader = reader, .setting = config_setting_get_elem(group, i)};
        enum option_id id = schema_find(config_setting_name(r.setting), scope);
        const char *wrong;

        if (id == OPT_COUNT) {
            refuse_key(reader, r.setting, scope);
            continue;
        }
        r.option = &policy_schema[id];
        wrong = readers[r.option->type](&r);
        if (wrong)
            refuse(&r, wrong);
        if (wrong || r.refused)
            continue;
        warn_of_value(&r);
        refuse_what_is_not_built(reader, r.setting, id);
        out->set[id] = true;
        out->value[id] = r.value;
    }
}
