/* Names and texts of statuses, from the one list in cairn/status.h, and the library's version. */
#include <cairn/status.h>

#ifndef CAIRN_VERSION_STRING /* the build gives it */
#define CAIRN_VERSION_STRING "0.0.0"
#endif

const char *cairn_status_name(cairn_status status)
{
    switch (status) {
#define STATUS_NAME(name, value, text) \
    case CAIRN_##name:                 \
        return #name;
        CAIRN_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    }
    return "UNKNOWN";
}

const char *cairn_status_text(cairn_status status)
{
    switch (status) {
#define STATUS_TEXT(name, value, text) \
    case CAIRN_##name:                 \
        return text;
        CAIRN_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "a status this version of Cairn does not know";
}

const char *cairn_version(void)
{
    return CAIRN_VERSION_STRING;
}
