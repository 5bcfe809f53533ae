/*
 * cairn/status.h: what a call answers, and the error a caller may keep.
 *
 * Every fallible function returns a `cairn_status` and takes a `cairn_error *err` as its last
 * argument. `err` belongs to the caller, may be NULL, and is written only on failure: its message
 * names the offending value and, where there is one, what to do next. There is no hidden
 * per-thread state and nothing to free.
 */
#ifndef CAIRN_STATUS_H
#define CAIRN_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CAIRN_API __attribute__((visibility("default")))
#define CAIRN_MUST_USE __attribute__((warn_unused_result))
#else
#define CAIRN_API
#define CAIRN_MUST_USE
#endif

/*
 * The one list of statuses: X(NAME, value, text). Values are stable: never renumbered or reused.
 */
#define CAIRN_STATUS_MAP(X)                                                                 \
    X(OK, 0, "success")                                                                     \
    X(INVALID_ARGUMENT, 1, "an argument is missing or out of its range")                    \
    X(INVALID_OPTION, 2, "an option is unknown, or its size field is not one Cairn knows")  \
    X(INVALID_VECTOR, 3, "a vector holds a NaN or an infinity")                             \
    X(ZERO_VECTOR, 4, "a vector of length zero has no direction, and the metric is cosine") \
    X(DIM_MISMATCH, 5, "a vector's dim is not its space's dim")                             \
    X(MODEL_MISMATCH, 6, "a vector comes from another embedding model than its space's")    \
    X(INVALID_UTF8, 7, "a string is not valid UTF-8")                                       \
    X(INVALID_JSON, 8, "a text is not valid JSON")                                          \
    X(INVALID_FILTER, 9, "a filter does not follow the filter grammar")                     \
    X(INVALID_ID, 10, "an id is empty, too long or not of its kind")                        \
    X(NOT_FOUND, 11, "no pattern with this id")                                             \
    X(NO_COLLECTION, 12, "no collection with this name")                                    \
    X(EXISTS, 13, "it exists already")                                                      \
    X(CONFLICT, 14, "the version is not the expected one")                                  \
    X(UNSUPPORTED, 15, "this combination is not supported")                                 \
    X(LIMIT, 16, "a documented limit would be passed")                                      \
    X(NOT_CAIRN, 17, "the file is not a Cairn database")                                    \
    X(NEWER_FORMAT, 18, "the file was written by a newer Cairn")                            \
    X(READ_ONLY, 19, "the database or its folder cannot be written")                        \
    X(NETWORK_FS, 20, "the file is on a network file system, where SQLite's WAL is unsafe") \
    X(BUSY, 21, "another process or thread holds what is needed")                           \
    X(TIMEOUT, 22, "the deadline passed first")                                             \
    X(CANCELLED, 23, "the caller asked to stop")                                            \
    X(NO_MEMORY, 24, "an allocation failed")                                                \
    X(NO_SPACE, 25, "the disk is full")                                                     \
    X(IO, 26, "reading or writing failed")                                                  \
    X(CORRUPT, 27, "stored bytes do not match their checksum")                              \
    X(EMBEDDER, 28, "the embedder failed")                                                  \
    X(NO_FILE, 29, "the file does not exist")                                               \
    X(INTERNAL, 30, "a defect in Cairn: please report it")

typedef enum cairn_status {
#define CAIRN_STATUS_ENUM(name, value, text) CAIRN_##name = (value),
    CAIRN_STATUS_MAP(CAIRN_STATUS_ENUM)
#undef CAIRN_STATUS_ENUM
} cairn_status;

#define CAIRN_MESSAGE_MAX 400 /* bytes, the closing NUL included */

typedef struct cairn_error {
    cairn_status status;
    char message[CAIRN_MESSAGE_MAX]; /* UTF-8, NUL-terminated, one line */
} cairn_error;

/* The enum's name without its prefix, as in "DIM_MISMATCH". Any value; never NULL. Shared. */
CAIRN_API const char *cairn_status_name(cairn_status status);

/* One line of English for the status. Any value; never NULL. Shared. */
CAIRN_API const char *cairn_status_text(cairn_status status);

/* The library's version, as in "0.1.0". Shared. */
CAIRN_API const char *cairn_version(void);

#ifdef __cplusplus
}
#endif
#endif
