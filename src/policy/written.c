// SPDX-License-Identifier: BSD-2-Clause
#include "policy/written.h"

#include <stdio.h>

static void write_array(const config_setting_t *array, char *text, size_t size)
{
    size_t n = snprintf(text, size, "[");
    char element[64];

    for (int i = 0; i < config_setting_length(array) && n < size; i++)
        n += snprintf(text + n, size - n, "%s%s", i ? ", " : " ",
                      written_value(config_setting_get_elem(array, i), element, sizeof element));
    if (n < size)
        snprintf(text + n, size - n, " ]");
}

const char *written_value(const config_setting_t *setting, char *text, size_t size)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
        snprintf(text, size, "%d", config_setting_get_int(setting));
        break;
    case CONFIG_TYPE_INT64:
        snprintf(text, size, "%lldL", config_setting_get_int64(setting));
        break;
    case CONFIG_TYPE_FLOAT:
        snprintf(text, size, "%g", config_setting_get_float(setting));
        break;
    case CONFIG_TYPE_BOOL:
        snprintf(text, size, "%s", config_setting_get_bool(setting) ? "true" : "false");
        break;
    case CONFIG_TYPE_STRING:
        snprintf(text, size, "\"%.100s\"", config_setting_get_string(setting));
        break;
    case CONFIG_TYPE_ARRAY:
        write_array(setting, text, size);
        break;
    case CONFIG_TYPE_LIST:
        snprintf(text, size, "( ... )");
        break;
    default:
        snprintf(text, size, "{ ... }");
    }
    return text;
}
