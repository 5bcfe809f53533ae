/* Statuses, error messages, and the cleaning of whatever bytes a message quotes. */
#include "base/error.h"

#include "base/utf8.h"
#include "tests/base/support.h"

#include <errno.h>

static void statuses_have_their_names(void **state)
{
    (void)state;
#define CHECK_NAME(name, value, text)                            \
    assert_int_equal(CAIRN_##name, value);                       \
    assert_string_equal(cairn_status_name(CAIRN_##name), #name); \
    assert_string_equal(cairn_status_text(CAIRN_##name), text);
    CAIRN_STATUS_MAP(CHECK_NAME)
#undef CHECK_NAME
}

static void statuses_are_distinct(void **state)
{
    (void)state;
#define STATUS_VALUE(name, value, text) value,
    static const int values[] = {CAIRN_STATUS_MAP(STATUS_VALUE)};
#undef STATUS_VALUE

    for (size_t i = 0; i < COUNT_OF(values); i++) assert_int_equal(values[i], i);
}

static void an_unknown_status_has_a_name(void **state)
{
    (void)state;
    int unknown[] = {-1, 31, 1000000};

    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        assert_string_equal(cairn_status_name((cairn_status)unknown[i]), "UNKNOWN");
        assert_non_null(strstr(cairn_status_text((cairn_status)unknown[i]), "does not know"));
    }
}

static void the_version_is_a_version(void **state)
{
    int major, minor, patch;

    (void)state;
    assert_int_equal(sscanf(cairn_version(), "%d.%d.%d", &major, &minor, &patch), 3);
}

static void set_fills_and_returns(void **state)
{
    cairn_error err;

    (void)state;
    assert_int_equal(crn_error_set(&err, CAIRN_DIM_MISMATCH, "dim is %d, not %d", 3, 4), CAIRN_DIM_MISMATCH);
    assert_int_equal(err.status, CAIRN_DIM_MISMATCH);
    assert_string_equal(err.message, "dim is 3, not 4");
    assert_int_equal(crn_error_set(NULL, CAIRN_IO, "%s", "nobody listens"), CAIRN_IO);
}

static void a_message_may_quote_itself(void **state)
{
    cairn_error err;

    (void)state;
    crn_error_set(&err, CAIRN_IO, "inner");
    crn_error_set(&err, CAIRN_CORRUPT, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (inner)");
}

/* Each character of 1 to 4 bytes, at each place relative to the end of the message. */
static void a_long_message_is_cut_at_a_border(void **state)
{
    static const char *const characters[] = {"x", "é", "€", "😀"};
    cairn_error err;
    char text[2 * CAIRN_MESSAGE_MAX];

    (void)state;
    for (size_t c = 0; c < COUNT_OF(characters); c++) {
        size_t width = strlen(characters[c]);
        for (size_t shift = 0; shift < 4; shift++) {
            memset(text, 'a', shift);
            size_t len = shift;
            for (; len < CAIRN_MESSAGE_MAX + 8; len += width) memcpy(text + len, characters[c], width);
            text[len] = '\0';
            crn_error_set(&err, CAIRN_LIMIT, "%s", text);

            size_t kept = strlen(err.message);
            assert_int_equal(kept, shift + (CAIRN_MESSAGE_MAX - 1 - shift) / width * width);
            assert_memory_equal(err.message, text, kept);
        }
    }
}

static void a_message_that_just_fits_is_whole(void **state)
{
    cairn_error err;
    char text[CAIRN_MESSAGE_MAX];

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + sizeof text - 4, "€", 4);
    crn_error_set(&err, CAIRN_LIMIT, "%s", text);
    assert_string_equal(err.message, text);
}

static void messages_are_one_line_of_utf8(void **state)
{
    static const struct {
        const char *given, *wanted;
    } rows[] = {
        {"a\nb\tc\rd\x7F", "a b c d "}, {"\x1B[31mred", " [31mred"},
        {"caf\xC3\xA9", "café"},        {"caf\xE9!", "caf?!"},
        {"\xC0\x80\xFF", "???"},        {"end\xE2\x82", "end??"},
        {"\xED\xA0\x80", "???"},        {"", ""},
    };
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        crn_error_set(&err, CAIRN_INVALID_UTF8, "%s", rows[i].given);
        assert_string_equal(err.message, rows[i].wanted);
    }
}

static void random_bytes_become_a_clean_line(void **state)
{
    struct crn_rng rng = test_rng();
    cairn_error err;
    char text[600];

    (void)state;
    for (int round = 0; round < 2000; round++) {
        size_t len = crn_rng_below(&rng, sizeof text);
        for (size_t i = 0; i < len; i++) text[i] = (char)(1 + crn_rng_below(&rng, 255));
        text[len] = '\0';
        crn_error_set(&err, CAIRN_INVALID_UTF8, "%s", text);

        size_t kept = strlen(err.message);
        assert_int_equal(crn_utf8_valid(err.message, kept), kept);
        assert_true(kept == len || (len >= sizeof err.message && kept >= sizeof err.message - 4));
        for (size_t i = 0; i < kept; i++) {
            assert_true((unsigned char)err.message[i] >= 0x20 && err.message[i] != 0x7F);
        }
    }
}

static void context_goes_in_front(void **state)
{
    cairn_error err;

    (void)state;
    crn_error_set(&err, CAIRN_CORRUPT, "checksum of block 7");
    assert_int_equal(crn_error_context(&err, CAIRN_IO, "collection '%s'", "notes"), CAIRN_CORRUPT);
    assert_int_equal(err.status, CAIRN_CORRUPT);
    assert_string_equal(err.message, "collection 'notes': checksum of block 7");
    assert_int_equal(crn_error_context(NULL, CAIRN_IO, "x"), CAIRN_IO);
}

static void context_keeps_within_the_message(void **state)
{
    cairn_error err;

    (void)state;
    crn_error_set(&err, CAIRN_CORRUPT, "%0*d", CAIRN_MESSAGE_MAX * 2, 1);
    crn_error_context(&err, CAIRN_CORRUPT, "%0*d", 300, 2);
    assert_int_equal(strlen(err.message), CAIRN_MESSAGE_MAX - 1);
    assert_memory_equal(err.message + 299, "2: 000", 6);
}

static void no_memory_names_the_size(void **state)
{
    cairn_error err;

    (void)state;
    assert_int_equal(crn_error_no_memory(&err, 12345), CAIRN_NO_MEMORY);
    assert_int_equal(err.status, CAIRN_NO_MEMORY);
    assert_non_null(strstr(err.message, "12345"));
}

static void errno_becomes_a_status(void **state)
{
    static const struct {
        int error_number;
        cairn_status status;
        const char *reason;
    } rows[] = {
        {ENOSPC, CAIRN_NO_SPACE, "No space"},
        {EDQUOT, CAIRN_NO_SPACE, "quota"},
        {EROFS, CAIRN_READ_ONLY, "Read-only"},
        {EACCES, CAIRN_READ_ONLY, "Permission"},
        {EPERM, CAIRN_READ_ONLY, "permitted"},
        {ENOENT, CAIRN_NO_FILE, "No such file"},
        {ENOTDIR, CAIRN_NO_FILE, "directory"},
        {ENOMEM, CAIRN_NO_MEMORY, "memory"},
        {EIO, CAIRN_IO, "error"},
        {99999, CAIRN_IO, "99999"},
    };
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cairn_status status = crn_error_errno(&err, rows[i].error_number, "open", "/a/b");
        assert_int_equal(status, rows[i].status);
        assert_int_equal(err.status, rows[i].status);
        assert_memory_equal(err.message, "open /a/b: ", 11);
        assert_non_null(strstr(err.message, rows[i].reason));
    }
    crn_error_errno(&err, EIO, "fsync", NULL);
    assert_memory_equal(err.message, "fsync: ", 7);
    assert_int_equal(crn_error_errno(NULL, ENOSPC, "write", "x"), CAIRN_NO_SPACE);
}

static cairn_status tried(cairn_status inner, int *reached)
{
    CRN_TRY(inner);
    ++*reached;
    return CAIRN_OK;
}

static void try_returns_a_failure(void **state)
{
    int reached = 0;

    (void)state;
    assert_int_equal(tried(CAIRN_BUSY, &reached), CAIRN_BUSY);
    assert_int_equal(reached, 0);
    assert_int_equal(tried(CAIRN_OK, &reached), CAIRN_OK);
    assert_int_equal(reached, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_have_their_names),
        cmocka_unit_test(statuses_are_distinct),
        cmocka_unit_test(an_unknown_status_has_a_name),
        cmocka_unit_test(the_version_is_a_version),
        cmocka_unit_test(set_fills_and_returns),
        cmocka_unit_test(a_message_may_quote_itself),
        cmocka_unit_test(a_long_message_is_cut_at_a_border),
        cmocka_unit_test(a_message_that_just_fits_is_whole),
        cmocka_unit_test(messages_are_one_line_of_utf8),
        cmocka_unit_test(random_bytes_become_a_clean_line),
        cmocka_unit_test(context_goes_in_front),
        cmocka_unit_test(context_keeps_within_the_message),
        cmocka_unit_test(no_memory_names_the_size),
        cmocka_unit_test(errno_becomes_a_status),
        cmocka_unit_test(try_returns_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
