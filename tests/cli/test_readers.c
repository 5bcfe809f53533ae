/* The formats of import, from memory: what is read, which record is bad and at which line, where a place is
 * that can be taken up again. */
#include "cli/reader.h"

#include "tests/cli/support.h"

#include <math.h>

struct fixture {
    struct crn_cli_input input;
    struct crn_cli_reader reader;
    struct crn_arena arena;
    cairn_pattern pattern;
    cairn_error err;
};

static void begin(struct fixture *f, const struct crn_cli_format *format, const void *data, size_t len)
{
    *f = (struct fixture){0};
    assert_int_equal(crn_cli_input_open_memory(&f->input, data, len, &f->err), CAIRN_OK);
    if (crn_cli_reader_begin(&f->reader, format, &f->input, &f->err) != CAIRN_OK)
        fail_msg("%s", f->err.message);
}

static void end(struct fixture *f)
{
    crn_cli_reader_end(&f->reader);
    crn_arena_release(&f->arena);
    crn_cli_input_close(&f->input);
}

static enum crn_cli_read next(struct fixture *f)
{
    return crn_cli_reader_next(&f->reader, &f->arena, &f->pattern, &f->err);
}

static void assert_record(struct fixture *f, uint64_t line)
{
    enum crn_cli_read read = next(f);
    if (read != CRN_CLI_READ_RECORD)
        fail_msg("line %d: %s", (int)line, read == CRN_CLI_READ_END ? "end" : f->err.message);
    assert_int_equal(f->reader.record_line, line);
}

static void assert_bad(struct fixture *f, uint64_t line, const char *part)
{
    assert_int_equal(next(f), CRN_CLI_READ_BAD);
    assert_int_equal(f->reader.record_line, line);
    if (strstr(f->err.message, part) == NULL) fail_msg("'%s' does not say '%s'", f->err.message, part);
}

static void assert_refused(const struct crn_cli_format *format, const void *data, size_t len,
                           const char *part)
{
    struct fixture f = {0};

    assert_int_equal(crn_cli_input_open_memory(&f.input, data, len, &f.err), CAIRN_OK);
    assert_true(crn_cli_reader_begin(&f.reader, format, &f.input, &f.err) != CAIRN_OK);
    if (strstr(f.err.message, part) == NULL) fail_msg("'%s' does not say '%s'", f.err.message, part);
    end(&f);
}

static void jsonl_goes_on_after_bad_lines(void **state)
{
    static const char text[] = "\xef\xbb\xbf{\"id\":\"a\"}\r\n\n  \n{\"id\":\n[]\n{\"id\":\"b\"}";
    struct fixture f;

    (void)state;
    begin(&f, &crn_cli_format_jsonl, text, strlen(text));
    assert_record(&f, 1);
    assert_string_equal(f.pattern.id, "a");
    assert_bad(&f, 4, "");
    assert_bad(&f, 5, "not array");
    assert_record(&f, 6);
    assert_string_equal(f.pattern.id, "b");
    assert_int_equal(next(&f), CRN_CLI_READ_END);
    assert_int_equal(next(&f), CRN_CLI_READ_END);
    end(&f);
}

static void jsonl_keeps_the_schema(void **state)
{
    static const char text[] = "{\"schema\":{\"lexical\":true}}\n{\"schema\":{\"x\":1}}\n";
    struct fixture f;

    (void)state;
    begin(&f, &crn_cli_format_jsonl, text, strlen(text));
    assert_record(&f, 2); /* only a first line is one */
    assert_string_equal(f.reader.schema, "{\"lexical\":true}");
    assert_string_equal(f.pattern.payload, "{\"schema\":{\"x\":1}}");
    end(&f);
}

static void places_can_be_taken_up(void **state)
{
    static const char text[] = "{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"c\"}\n";
    struct fixture f;

    (void)state;
    begin(&f, &crn_cli_format_jsonl, text, strlen(text));
    assert_record(&f, 1);
    uint64_t offset = f.input.offset;
    uint64_t line = f.reader.line;
    end(&f);

    begin(&f, &crn_cli_format_jsonl, text, strlen(text));
    assert_int_equal(crn_cli_reader_seek(&f.reader, offset, line, &f.err), CAIRN_OK);
    assert_record(&f, 2);
    assert_string_equal(f.pattern.id, "b");
    end(&f);
}

static void csv_is_read_as_rfc_4180_has_it(void **state)
{
    static const char text[] =
        "id,text,vector,size,code,payload,flag\r\n"
        "1,\"a \"\"quoted\"\", text\nof two lines\",\"[1, 2]\",3.5,007,\"{\"\"a\"\":1}\",true\r\n"
        "\r\n"
        "x,plain,0.5; -1e2,,,,\r\n"
        "y,5\" disk,1 2 3,-0,1e5,,no";
    struct fixture f;

    (void)state;
    begin(&f, &crn_cli_format_csv, text, strlen(text));
    assert_record(&f, 2);
    assert_string_equal(f.pattern.id, "1");
    assert_int_equal(f.pattern.id_type, CAIRN_ID_STRING);
    assert_string_equal(f.pattern.text, "a \"quoted\", text\nof two lines");
    assert_int_equal(f.pattern.dim, 2);
    assert_string_equal(f.pattern.payload, "{\"a\":1,\"size\":3.5,\"code\":\"007\",\"flag\":true}");
    assert_record(&f, 5);
    assert_true(f.pattern.dim == 2 && f.pattern.vector[0] == 0.5f && f.pattern.vector[1] == -100);
    assert_null(f.pattern.payload);
    assert_record(&f, 6);
    assert_string_equal(f.pattern.text, "5\" disk");
    assert_int_equal(f.pattern.dim, 3);
    assert_string_equal(f.pattern.payload, "{\"size\":0,\"code\":100000.0,\"flag\":\"no\"}");
    assert_int_equal(next(&f), CRN_CLI_READ_END);
    end(&f);
}

static void csv_tells_bad_rows(void **state)
{
    static const char text[] = "id,vector,payload\n"
                               "a,1 2,{}\n"
                               "b,1 2\n"
                               "c,1 x,\n"
                               "d,,\"{\"\"a\"\":1},\"\"id\"\":2\"\n"
                               "e,\"[1],\"\"text\"\":3\",\n"
                               "f\xff,1,\n"
                               "g,1,\n"
                               "\"h,1,\n"
                               "i,1,\n";
    struct fixture f;

    (void)state;
    begin(&f, &crn_cli_format_csv, text, strlen(text));
    assert_record(&f, 2);
    assert_bad(&f, 3, "the row has 2 fields, the header 3");
    assert_bad(&f, 4, "");
    assert_bad(&f, 5, "column payload"); /* a field cannot reach beyond its place */
    assert_bad(&f, 6, "column vector");
    assert_bad(&f, 7, "UTF-8");
    assert_record(&f, 8);
    assert_bad(&f, 9, "not closed");
    assert_record(&f, 10);
    assert_string_equal(f.pattern.id, "i");
    assert_int_equal(next(&f), CRN_CLI_READ_END);
    end(&f);
}

static void csv_wants_a_header(void **state)
{
    (void)state;
    assert_refused(&crn_cli_format_csv, "", 0, "no column names");
    assert_refused(&crn_cli_format_csv, "\n1,2\n", 5, "no column names");
    assert_refused(&crn_cli_format_csv, "\"id", 3, "not closed");
}

static void fvecs_rows_are_read(void **state)
{
    unsigned char data[2 * 12 + 5] = {2, 0, 0, 0,   0,   0, 128, 63, 0, 0, 0, 64, 2, 0, 0,
                                      0, 0, 0, 128, 191, 0, 0,   0,  0, 2, 0, 0,  0, 1};
    struct fixture f;

    (void)state;
    begin(&f, &crn_cli_format_fvecs, data, sizeof data);
    assert_record(&f, 0);
    assert_int_equal(f.pattern.id_type, CAIRN_ID_U64);
    assert_int_equal(f.pattern.id_u64, 0);
    assert_true(f.pattern.dim == 2 && f.pattern.vector[0] == 1 && f.pattern.vector[1] == 2);
    f.reader.id_prefix = "v";
    assert_record(&f, 1);
    assert_string_equal(f.pattern.id, "v1");
    assert_true(f.pattern.vector[0] == -1);
    assert_int_equal(next(&f), CRN_CLI_READ_FAILED);
    assert_string_equal(f.err.message, "the file ends inside row 2");
    end(&f);

    begin(&f, &crn_cli_format_fvecs, "\xff\xff\xff\xff....", 8);
    assert_int_equal(next(&f), CRN_CLI_READ_FAILED);
    assert_string_equal(f.err.message, "row 0 claims -1 components; is this an .fvecs file?");
    end(&f);
    begin(&f, &crn_cli_format_fvecs, "", 0);
    assert_int_equal(next(&f), CRN_CLI_READ_END);
    end(&f);
}

/* A .npy file of version 1.0 with the header's dictionary as given. */
static size_t make_npy(unsigned char out[512], const char *dictionary, const void *data, size_t len)
{
    size_t header = strlen(dictionary);

    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (unsigned char)header;
    out[9] = 0;
    memcpy(out + 10, dictionary, header);
    memcpy(out + 10 + header, data, len);
    return 10 + header + len;
}

static void npy_rows_are_read(void **state)
{
    static const uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000, 0x3555, 0x7c00, 0x7e00};
    static const double doubles[] = {1.5, -2.25};
    static const float floats[] = {1, 2, 3, 4, 5, 6};
    unsigned char data[512];
    struct fixture f;

    (void)state;
    size_t len =
        make_npy(data, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", floats, sizeof floats);
    begin(&f, &crn_cli_format_npy, data, len);
    assert_record(&f, 0);
    assert_record(&f, 1);
    assert_int_equal(f.pattern.id_u64, 1);
    assert_memory_equal(f.pattern.vector, floats + 3, 3 * sizeof *floats);
    assert_int_equal(next(&f), CRN_CLI_READ_END);
    end(&f);

    len = make_npy(data, "{'shape':(1,2),'fortran_order':False,'descr':'<f8'}", doubles, sizeof doubles);
    begin(&f, &crn_cli_format_npy, data, len);
    assert_record(&f, 0);
    assert_true(f.pattern.vector[0] == 1.5f && f.pattern.vector[1] == -2.25f);
    end(&f);

    len = make_npy(data, "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 8)}", halves, sizeof halves);
    begin(&f, &crn_cli_format_npy, data, len);
    assert_record(&f, 0);
    const float *v = f.pattern.vector;
    assert_true(v[0] == 1 && v[1] == -2 && v[2] == ldexpf(1, -24) && v[3] == 65504 && v[4] == 0 &&
                signbit(v[4]));
    assert_true(v[5] == 0.333251953125f && isinf(v[6]) && isnan(v[7]));
    end(&f);
}

static void npy_that_is_something_else_is_refused(void **state)
{
    static const char *const refused[][2] = {
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }", "another type"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", "another type"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", "2-dimensional"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }", "2-dimensional"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0), }", "0 components"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 65537), }", "65537"},
        {"{'descr': '<f4', 'fortran_order': False, }", "shape"},
        {"{'descr': '<f", "lacks"},
        {"", "lacks"},
    };
    unsigned char data[512];
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        assert_refused(&crn_cli_format_npy, data, make_npy(data, refused[i][0], "", 0), refused[i][1]);
    }
    assert_refused(&crn_cli_format_npy, "{\"id\":1}", 8, "does not begin");
    assert_refused(&crn_cli_format_npy, "\x93NUMPY\x01\x00\x50\x00{", 11, "inside the header");

    size_t len =
        make_npy(data, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1), }", "\0\0\200\77\0\0", 6);
    begin(&f, &crn_cli_format_npy, data, len);
    assert_record(&f, 0);
    assert_int_equal(next(&f), CRN_CLI_READ_FAILED);
    assert_string_equal(f.err.message, "the file ends at row 1 of the 3 that its header tells of");
    end(&f);
}

static void formats_are_found_by_name(void **state)
{
    const struct crn_cli_format *format;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_cli_reader_format("a/b.d/x.NDJSON", 0, &format, &err), CAIRN_OK);
    assert_ptr_equal(format, &crn_cli_format_jsonl);
    assert_int_equal(crn_cli_reader_format("/dev/fd/63", 0, &format, &err), CAIRN_OK);
    assert_ptr_equal(format, &crn_cli_format_jsonl);
    assert_int_equal(crn_cli_reader_format("x.dat", 4, &format, &err), CAIRN_OK);
    assert_ptr_equal(format, &crn_cli_format_npy);
    assert_int_equal(crn_cli_reader_format("x.dat", 0, &format, &err), CAIRN_INVALID_ARGUMENT);
    assert_string_equal(err.message,
                        "the format of x.dat is not known by its name; give --format jsonl|csv|fvecs|npy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonl_goes_on_after_bad_lines),
        cmocka_unit_test(jsonl_keeps_the_schema),
        cmocka_unit_test(places_can_be_taken_up),
        cmocka_unit_test(csv_is_read_as_rfc_4180_has_it),
        cmocka_unit_test(csv_tells_bad_rows),
        cmocka_unit_test(csv_wants_a_header),
        cmocka_unit_test(fvecs_rows_are_read),
        cmocka_unit_test(npy_rows_are_read),
        cmocka_unit_test(npy_that_is_something_else_is_refused),
        cmocka_unit_test(formats_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
