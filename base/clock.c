/* Time. The parser takes RFC 3339's date-time and full-date: Gregorian in all years 0 to 9999. */
#include "base/clock.h"

#include <time.h>

int64_t crn_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t crn_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct cursor {
    const char *at, *end;
};

static bool read_char(struct cursor *in, char wanted)
{
    if (in->at == in->end || *in->at != wanted) return false;
    in->at++;
    return true;
}

/* Exactly `digits` decimal digits, of a value from min to max. */
static bool read_number(struct cursor *in, int digits, int min, int max, int *out)
{
    int value = 0;

    for (; digits > 0; digits--, in->at++) {
        if (in->at == in->end || *in->at < '0' || *in->at > '9') return false;
        value = value * 10 + (*in->at - '0');
    }
    *out = value;
    return value >= min && value <= max;
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01. Years are counted from March, so that the leap day is the last of its year. */
static int64_t days_since_1970(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t months_from_march = (month + 9) % 12;
    int64_t day_of_year = (153 * months_from_march + 2) / 5 + day - 1;

    y += 400; /* a whole cycle of the calendar, so that year -1 (January of year 0) divides well */
    return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - (719468 + 146097);
}

static bool read_date(struct cursor *in, int64_t *out_days)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;

    if (!read_number(in, 4, 0, 9999, &year) || !read_char(in, '-') || !read_number(in, 2, 1, 12, &month) ||
        !read_char(in, '-') || !read_number(in, 2, 1, 31, &day)) {
        return false;
    }
    if (day > month_days[month - 1] + (month == 2 && is_leap(year))) return false;
    *out_days = days_since_1970(year, month, day);
    return true;
}

/* HH:MM:SS and a fraction, of which milliseconds are kept. Second 60 is a leap second. */
static bool read_time(struct cursor *in, int *out_minutes, int *out_ms)
{
    int hour, minute, second, ms = 0, unit = 100;

    if (!read_number(in, 2, 0, 23, &hour) || !read_char(in, ':') || !read_number(in, 2, 0, 59, &minute) ||
        !read_char(in, ':') || !read_number(in, 2, 0, 60, &second)) {
        return false;
    }
    if (read_char(in, '.')) {
        int digit;
        if (!read_number(in, 1, 0, 9, &digit)) return false;
        do {
            ms += digit * unit;
            unit /= 10;
        } while (read_number(in, 1, 0, 9, &digit));
    }
    *out_minutes = hour * 60 + minute;
    *out_ms = second * 1000 + ms;
    return true;
}

/* "Z" or +HH:MM or -HH:MM. */
static bool read_offset(struct cursor *in, int *out_minutes)
{
    int hour, minute;

    *out_minutes = 0;
    if (read_char(in, 'Z') || read_char(in, 'z')) return true;
    int sign = read_char(in, '+') ? 1 : read_char(in, '-') ? -1 : 0;
    if (sign == 0) return false;
    if (!read_number(in, 2, 0, 23, &hour) || !read_char(in, ':') || !read_number(in, 2, 0, 59, &minute)) {
        return false;
    }
    *out_minutes = sign * (hour * 60 + minute);
    return true;
}

bool crn_clock_parse(const char *text, size_t len, int64_t *out_ms)
{
    struct cursor in = {text, text + len};
    int64_t days;
    int minutes = 0, ms = 0, offset = 0;

    if (!read_date(&in, &days)) return false;
    if (in.at != in.end) {
        if (!read_char(&in, 'T') && !read_char(&in, 't') && !read_char(&in, ' ')) return false;
        if (!read_time(&in, &minutes, &ms) || !read_offset(&in, &offset) || in.at != in.end) return false;
    }

    int64_t utc_minutes = days * 1440 + minutes - offset;
    /* A leap second ends a UTC day. Like POSIX time, ours has no place for it: it is the next day's first. */
    if (ms >= 60000 && (utc_minutes + 1) % 1440 != 0) return false;
    *out_ms = utc_minutes * 60000 + ms;
    return true;
}
