/*
 * The command line, declared: a command names its operands and options in tables, and from the same tables
 * come the parsing, the help, the manual pages and the completions.
 *
 * Options may stand before, between and after operands; "--" ends them and "-" is an operand. A long option
 * takes its value as "--k 10" or "--k=10", a short one as "-k 10" or "-k10". Values land in variables of the
 * command, whose initial values are the defaults.
 */
#ifndef CRN_CLI_ARGS_H
#define CRN_CLI_ARGS_H

#include <cairn/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crn_cli_list {
    const char **items; /* inside argv */
    size_t count;
};

enum crn_cli_kind {
    CRN_CLI_FLAG,   /* no value */
    CRN_CLI_TEXT,   /* any */
    CRN_CLI_COUNT,  /* an integer min..max */
    CRN_CLI_NUMBER, /* a finite double */
    CRN_CLI_CHOICE, /* one of the words in `value`, separated by '|' */
};

struct crn_cli_option {
    const char *name; /* without "--"; NULL ends a table */
    char letter;      /* 0: none */
    enum crn_cli_kind kind;
    const char *value; /* what the help calls the value; the words of a choice */
    uint64_t min, max; /* of a COUNT */
    union {
        bool *flag;
        const char **text;
        uint64_t *count;
        double *number;
        unsigned *choice; /* 1 + the word's place; 0 when not given */
    } to;
    const char *help; /* one line */
};

/* The union's members check the types of the variables. The last argument is the help, and may be followed
 * by more of the option: CRN_CLI_OPTION_TEXT("output", "FILE", path, "write to FILE", .letter = 'o'). */
#define CRN_CLI_OPTION_FLAG(name_, variable, ...)                                          \
    {                                                                                      \
        .name = (name_), .kind = CRN_CLI_FLAG, .to.flag = &(variable), .help = __VA_ARGS__ \
    }
#define CRN_CLI_OPTION_TEXT(name_, value_, variable, ...)                                 \
    {                                                                                     \
        .name = (name_), .kind = CRN_CLI_TEXT, .value = (value_), .to.text = &(variable), \
        .help = __VA_ARGS__                                                               \
    }
#define CRN_CLI_OPTION_COUNT(name_, value_, min_, max_, variable, ...)                           \
    {                                                                                            \
        .name = (name_), .kind = CRN_CLI_COUNT, .value = (value_), .min = (min_), .max = (max_), \
        .to.count = &(variable), .help = __VA_ARGS__                                             \
    }
#define CRN_CLI_OPTION_NUMBER(name_, value_, variable, ...)                                   \
    {                                                                                         \
        .name = (name_), .kind = CRN_CLI_NUMBER, .value = (value_), .to.number = &(variable), \
        .help = __VA_ARGS__                                                                   \
    }
#define CRN_CLI_OPTION_CHOICE(name_, words, variable, ...)                                   \
    {                                                                                        \
        .name = (name_), .kind = CRN_CLI_CHOICE, .value = (words), .to.choice = &(variable), \
        .help = __VA_ARGS__                                                                  \
    }

/* Options that several commands share, or a command's own. */
struct crn_cli_group {
    const char *title; /* "Filters" */
    const struct crn_cli_option *options;
};

struct crn_cli_operand {
    const char *name;          /* "DB"; NULL ends a table */
    bool optional;             /* may be left out; else one at least */
    const char **text;         /* one argument ... */
    struct crn_cli_list *list; /* ... or, in the last place, all that are left */
};

struct crn_cli_command {
    const char *name;     /* "search", "collection create" */
    const char *summary;  /* one line, without a full stop */
    const char *detail;   /* paragraphs of lines up to 78 columns, or NULL */
    const char *examples; /* lines of shell, or NULL */
    const struct crn_cli_operand *operands;
    const struct crn_cli_group *const *groups; /* NULL-terminated; NULL for none */
    int (*run)(void);                          /* gives the exit status */
};

#define CRN_CLI_GROUPS(...) ((const struct crn_cli_group *const[]){__VA_ARGS__, NULL})

/* Reads argv[0..argc) into the command's variables; argv is reordered. *out_help: "--help" was among
 * them, nothing else was checked. INVALID_ARGUMENT, with a message that says what to do. */
cairn_status crn_cli_args_parse(const struct crn_cli_command *command, int argc, const char **argv,
                                bool *out_help, cairn_error *err);

/* Writes "cairn search DB [options]" into out. */
void crn_cli_args_synopsis(const struct crn_cli_command *command, char *out, size_t size);

/* Writes "-k, --k N" or "--mode auto|vector" into out. */
void crn_cli_args_option(const struct crn_cli_option *option, char *out, size_t size);

/* Prints a command's help to standard output. */
void crn_cli_args_help(const struct crn_cli_command *command);

/* The one of words[0..count) that `word` may be a slip of, or NULL. */
const char *crn_cli_args_nearest(const char *word, const char *const *words, size_t count);

#endif
