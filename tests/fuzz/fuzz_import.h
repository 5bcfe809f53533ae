/*
 * What the harnesses of the import formats share: any bytes are read as a file of the format. Reading ends;
 * what is a record is whole; written as JSON it reads back the same.
 */
#ifndef CRN_TESTS_FUZZ_IMPORT_H
#define CRN_TESTS_FUZZ_IMPORT_H

#include "cli/reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_require(bool condition)
{
    if (!condition) abort();
}

/* Sums all there is, so that a sanitizer sees a pointer that is wrong. */
static inline bool fuzz_is_finite(const cairn_pattern *pattern)
{
    bool finite = true;

    for (uint32_t i = 0; pattern->vector != NULL && i < pattern->dim; i++)
        finite = finite && isfinite(pattern->vector[i]);
    for (uint32_t v = 0; v < pattern->vector_count; v++) {
        const cairn_vector *vector = &pattern->vectors[v];
        size_t count = vector->indices != NULL ? vector->count
                                               : (size_t)vector->dim * (vector->rows > 0 ? vector->rows : 1);
        for (size_t i = 0; i < count; i++) finite = finite && isfinite(vector->values[i]);
    }
    return finite;
}

static inline void fuzz_round_trip(struct crn_cli_records *records, struct crn_arena *arena,
                                   const cairn_pattern *pattern)
{
    struct crn_buf first, second;
    cairn_pattern again, named = *pattern;
    cairn_error err;

    if (named.id == NULL) named.id = "new";
    crn_buf_init(&first, (size_t)1 << 30);
    crn_buf_init(&second, (size_t)1 << 30);
    fuzz_require(crn_cli_record_write(&first, &named, false) == CAIRN_OK);
    fuzz_require(crn_cli_record_parse(records, arena, first.data, first.len, &again, &err) == CAIRN_OK);
    fuzz_require(crn_cli_record_write(&second, &again, false) == CAIRN_OK);
    fuzz_require(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    crn_buf_release(&first);
    crn_buf_release(&second);
}

static inline int fuzz_import(const struct crn_cli_format *format, const uint8_t *data, size_t size)
{
    struct crn_cli_input input;
    struct crn_cli_reader reader = {0};
    struct crn_cli_records records;
    struct crn_arena arena = {0};
    cairn_pattern pattern;
    cairn_error err;
    enum crn_cli_read read = CRN_CLI_READ_END;

    fuzz_require(crn_cli_input_open_memory(&input, data, size, &err) == CAIRN_OK);
    fuzz_require(crn_cli_records_init(&records, &err) == CAIRN_OK);
    cairn_status status = crn_cli_reader_begin(&reader, format, &input, &err);
    do {
        if (status != CAIRN_OK) break;
        uint64_t before = input.offset;
        read = crn_cli_reader_next(&reader, &arena, &pattern, &err);
        if (read == CRN_CLI_READ_RECORD || read == CRN_CLI_READ_BAD) fuzz_require(input.offset > before);
        if (read == CRN_CLI_READ_RECORD && fuzz_is_finite(&pattern))
            fuzz_round_trip(&records, &arena, &pattern);
        crn_arena_clear(&arena);
    } while (read == CRN_CLI_READ_RECORD || read == CRN_CLI_READ_BAD);
    crn_cli_reader_end(&reader);
    crn_cli_records_release(&records);
    crn_arena_release(&arena);
    crn_cli_input_close(&input);
    return 0;
}

#endif
