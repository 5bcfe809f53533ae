/* Parsing of the command line by a command's tables. */
#include "cli/args.h"

#include "base/error.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SLIP_WORD_MAX 40 /* bytes of a word that is compared with others */

struct parse {
    const struct crn_cli_command *command;
    int argc, at;
    const char **argv;
    int operands; /* moved to argv[0..operands) */
    bool help;
    cairn_error *err;
};

/* Edits (insert, remove, replace) from a to b, by the usual table, one row of it at a time. */
static size_t edits(const char *a, const char *b)
{
    size_t row[SLIP_WORD_MAX + 1];
    size_t len = strlen(b);

    if (len > SLIP_WORD_MAX || strlen(a) > SLIP_WORD_MAX) return SLIP_WORD_MAX;
    for (size_t j = 0; j <= len; j++) row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[len];
}

const char *crn_cli_args_nearest(const char *word, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t limit = strlen(word) / 3 + 1; /* a third of the letters may be wrong */

    for (size_t i = 0; i < count; i++) {
        size_t distance = edits(word, words[i]);
        if (distance > limit) continue;
        limit = distance - (distance > 0);
        nearest = words[i];
        if (distance == 0) break;
    }
    return nearest;
}

static const struct crn_cli_option *find_option(const struct crn_cli_command *command, const char *name,
                                                size_t len)
{
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++) {
        for (const struct crn_cli_option *o = command->groups[g]->options; o->name != NULL; o++) {
            if (strncmp(o->name, name, len) == 0 && o->name[len] == '\0') return o;
        }
    }
    return NULL;
}

static const struct crn_cli_option *find_letter(const struct crn_cli_command *command, char letter)
{
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++) {
        for (const struct crn_cli_option *o = command->groups[g]->options; o->name != NULL; o++) {
            if (o->letter == letter) return o;
        }
    }
    return NULL;
}

static cairn_status unknown_option(const struct parse *p, const char *arg)
{
    const char *names[64];
    size_t count = 0;
    const struct crn_cli_group *const *groups = p->command->groups;

    for (size_t g = 0; groups != NULL && groups[g] != NULL; g++) {
        for (const struct crn_cli_option *o = groups[g]->options; o->name != NULL && count < 64; o++) {
            names[count++] = o->name;
        }
    }

    char word[SLIP_WORD_MAX + 1] = "";
    size_t len = strncmp(arg, "--", 2) == 0 ? strcspn(arg + 2, "=") : 0;
    if (len <= SLIP_WORD_MAX) memcpy(word, arg + 2, len);
    const char *nearest = word[0] != '\0' ? crn_cli_args_nearest(word, names, count) : NULL;
    if (nearest != NULL) {
        return crn_error_set(p->err, CAIRN_INVALID_ARGUMENT, "unknown option %s; did you mean --%s?", arg,
                             nearest);
    }
    return crn_error_set(p->err, CAIRN_INVALID_ARGUMENT, "unknown option %s", arg);
}

static cairn_status set_count(const struct crn_cli_option *option, const char *value, cairn_error *err)
{
    char *end;

    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number < option->min ||
        number > option->max) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--%s wants an integer from %llu to %llu, not '%s'",
                             option->name, (unsigned long long)option->min, (unsigned long long)option->max,
                             value);
    }
    *option->to.count = number;
    return CAIRN_OK;
}

static cairn_status set_number(const struct crn_cli_option *option, const char *value, cairn_error *err)
{
    char *end;
    double number = strtod(value, &end);

    if (end == value || *end != '\0' || !isfinite(number)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--%s wants a number, not '%s'", option->name,
                             value);
    }
    *option->to.number = number;
    return CAIRN_OK;
}

static cairn_status set_choice(const struct crn_cli_option *option, const char *value, cairn_error *err)
{
    unsigned place = 1;

    for (const char *word = option->value; word != NULL; place++) {
        size_t len = strcspn(word, "|");
        if (strlen(value) == len && memcmp(word, value, len) == 0) {
            *option->to.choice = place;
            return CAIRN_OK;
        }
        word = word[len] == '|' ? word + len + 1 : NULL;
    }
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "--%s wants one of %s, not '%s'", option->name,
                         option->value, value);
}

static cairn_status set_option(const struct crn_cli_option *option, const char *value, cairn_error *err)
{
    switch (option->kind) {
    case CRN_CLI_FLAG:
        *option->to.flag = true;
        return CAIRN_OK;
    case CRN_CLI_TEXT:
        *option->to.text = value;
        return CAIRN_OK;
    case CRN_CLI_COUNT:
        return set_count(option, value, err);
    case CRN_CLI_NUMBER:
        return set_number(option, value, err);
    case CRN_CLI_CHOICE:
        return set_choice(option, value, err);
    }
    return CAIRN_OK;
}

/* Takes the option at p->at, and its value from the same argument or the next. */
static cairn_status take_option(struct parse *p)
{
    const char *arg = p->argv[p->at++];
    const char *value = NULL;
    const struct crn_cli_option *option;

    if (arg[1] == '-') {
        size_t len = strcspn(arg + 2, "=");
        if (arg[2 + len] == '=') value = arg + 3 + len;
        option = len > 0 ? find_option(p->command, arg + 2, len) : NULL;
    } else {
        option = find_letter(p->command, arg[1]);
        if (arg[2] != '\0') value = arg + 2;
    }
    if (option == NULL) return unknown_option(p, arg);

    if (option->kind == CRN_CLI_FLAG) {
        if (value == NULL) return set_option(option, NULL, p->err);
        return crn_error_set(p->err, CAIRN_INVALID_ARGUMENT, "--%s takes no value", option->name);
    }
    if (value == NULL) {
        if (p->at == p->argc) {
            return crn_error_set(p->err, CAIRN_INVALID_ARGUMENT, "--%s wants a value: --%s %s", option->name,
                                 option->name, option->value);
        }
        value = p->argv[p->at++];
    }
    return set_option(option, value, p->err);
}

/* Gives argv[0..p->operands) to the command's operands. */
static cairn_status place_operands(const struct parse *p)
{
    int at = 0;

    for (const struct crn_cli_operand *o = p->command->operands; o != NULL && o->name != NULL; o++) {
        if (at == p->operands && !o->optional) {
            return crn_error_set(p->err, CAIRN_INVALID_ARGUMENT, "%s is missing", o->name);
        }
        if (o->list != NULL) {
            *o->list = (struct crn_cli_list){p->argv + at, (size_t)(p->operands - at)};
            at = p->operands;
        } else if (at < p->operands) {
            *o->text = p->argv[at++];
        }
    }
    if (at < p->operands) {
        return crn_error_set(p->err, CAIRN_INVALID_ARGUMENT, "'%s' is one argument too many", p->argv[at]);
    }
    return CAIRN_OK;
}

static bool asks_help(int argc, const char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    }
    return false;
}

cairn_status crn_cli_args_parse(const struct crn_cli_command *command, int argc, const char **argv,
                                bool *out_help, cairn_error *err)
{
    struct parse p = {.command = command, .argc = argc, .argv = argv, .err = err};
    bool only_operands = false;

    *out_help = asks_help(argc, argv);
    if (*out_help) return CAIRN_OK;
    while (p.at < argc) {
        const char *arg = argv[p.at];
        if (only_operands || arg[0] != '-' || arg[1] == '\0') {
            argv[p.operands++] = arg; /* never ahead of p.at */
            p.at++;
        } else if (strcmp(arg, "--") == 0) {
            only_operands = true;
            p.at++;
        } else {
            CRN_TRY(take_option(&p));
        }
    }
    return place_operands(&p);
}
