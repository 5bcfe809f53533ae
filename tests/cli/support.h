/* What every test of this room starts with. */
#ifndef CRN_TESTS_CLI_SUPPORT_H
#define CRN_TESTS_CLI_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A folder of the test's own, below TMPDIR. */
static inline void test_folder(char out[200])
{
    const char *base = getenv("TMPDIR");

    snprintf(out, 200, "%s/cairn-test-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp");
    assert_non_null(mkdtemp(out));
}

static inline void test_write_file(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

#endif
