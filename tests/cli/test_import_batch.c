/*
 * The isolation of bad records, against a library of the test's own: its cairn_write refuses a batch that
 * holds a marked record, as a transaction does.
 */
#include "cli/import_batch.h"

#include "base/error.h"
#include "base/rng.h"
#include "tests/cli/support.h"

#include <inttypes.h>

#define RECORDS 100

static int marks[RECORDS];    /* the status a record is refused with */
static int stored[RECORDS];   /* times */
static unsigned last, writes; /* the record stored last; calls */
static bool in_order;

cairn_status cairn_write(cairn_collection *collection, cairn_write_mode mode, const cairn_pattern *patterns,
                         size_t count, cairn_written *out_written, cairn_error *err)
{
    (void)collection;
    assert_int_equal(mode, CAIRN_UPSERT);
    writes++;
    for (size_t i = 0; i < count; i++) {
        int mark = marks[patterns[i].id_u64];
        if (mark != CAIRN_OK) return crn_error_set(err, (cairn_status)mark, "refused");
    }
    for (size_t i = 0; i < count; i++) {
        in_order = in_order && (last == UINT32_MAX || patterns[i].id_u64 > last);
        last = (unsigned)patterns[i].id_u64;
        stored[patterns[i].id_u64]++;
        out_written[i] = (cairn_written){.version = 1};
    }
    return CAIRN_OK;
}

static int set_up(void **state)
{
    (void)state;
    memset(marks, 0, sizeof marks);
    memset(stored, 0, sizeof stored);
    last = UINT32_MAX;
    writes = 0;
    in_order = true;
    return 0;
}

static cairn_status write_all(struct crn_cli_sink *sink, size_t count, cairn_error *err)
{
    struct crn_cli_batch batch;

    assert_int_equal(crn_cli_batch_init(&batch, RECORDS, err), CAIRN_OK);
    for (size_t i = 0; i < count; i++) {
        batch.patterns[i] =
            (cairn_pattern){.size = sizeof(cairn_pattern), .id_type = CAIRN_ID_U64, .id_u64 = i};
        crn_cli_batch_take(&batch, i + 1);
    }
    cairn_status status = crn_cli_batch_write(&batch, sink, err);
    assert_int_equal(batch.count, 0);
    crn_cli_batch_release(&batch);
    return status;
}

static void good_batches_are_one_write(void **state)
{
    struct crn_cli_sink sink = {.unit = "line"};
    cairn_error err;

    (void)state;
    assert_int_equal(write_all(&sink, RECORDS, &err), CAIRN_OK);
    assert_int_equal(writes, 1);
    assert_int_equal(sink.stored, RECORDS);
    assert_int_equal(sink.bad, 0);
    assert_int_equal(write_all(&sink, 0, &err), CAIRN_OK);
    assert_int_equal(writes, 1);
}

static void bad_records_stand_alone(void **state)
{
    struct crn_cli_sink sink = {.unit = "line"};
    struct crn_rng rng;
    const char *given = getenv("CAIRN_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)getpid();
    cairn_error err;

    print_message("CAIRN_TEST_SEED=%" PRIu64 "\n", seed);
    crn_rng_init(&rng, seed);
    for (int round = 0; round < 50; round++) {
        uint64_t bad = 0;
        set_up(state);
        sink.stored = sink.bad = 0;
        for (size_t i = 0; i < RECORDS; i++) {
            if (crn_rng_below(&rng, 20) == 0) marks[i] = CAIRN_DIM_MISMATCH;
            bad += marks[i] != 0;
        }
        assert_int_equal(write_all(&sink, RECORDS, &err), CAIRN_OK);
        assert_int_equal(sink.bad, bad);
        assert_int_equal(sink.stored, RECORDS - bad);
        assert_true(in_order);
        for (size_t i = 0; i < RECORDS; i++) assert_int_equal(stored[i], marks[i] == 0);
    }
}

static void the_first_can_stop(void **state)
{
    struct crn_cli_sink sink = {.unit = "line", .stop_at_first = true};
    cairn_error err;

    (void)state;
    marks[60] = marks[90] = CAIRN_ZERO_VECTOR;
    assert_int_equal(write_all(&sink, RECORDS, &err), CAIRN_OK);
    assert_true(sink.stopped);
    assert_int_equal(sink.bad, 1);
    assert_int_equal(sink.stored, 60);
}

static void other_failures_end_it(void **state)
{
    static const cairn_status fatal[] = {CAIRN_IO,       CAIRN_NO_SPACE, CAIRN_BUSY,     CAIRN_READ_ONLY,
                                         CAIRN_EMBEDDER, CAIRN_CORRUPT,  CAIRN_NO_MEMORY};
    cairn_error err;

    for (size_t i = 0; i < COUNT_OF(fatal); i++) {
        struct crn_cli_sink sink = {.unit = "line"};
        set_up(state);
        marks[7] = fatal[i];
        assert_int_equal(write_all(&sink, RECORDS, &err), fatal[i]);
        assert_int_equal(writes, 1);
        assert_int_equal(sink.stored, 0);
        assert_int_equal(sink.bad, 0);
    }
}

static void batches_are_full_by_count_or_bytes(void **state)
{
    struct crn_cli_batch batch;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_cli_batch_init(&batch, 2, &err), CAIRN_OK);
    assert_false(crn_cli_batch_is_full(&batch));
    crn_cli_batch_take(&batch, 1);
    assert_false(crn_cli_batch_is_full(&batch));
    crn_cli_batch_take(&batch, 2);
    assert_true(crn_cli_batch_is_full(&batch));
    batch.count = 1;
    assert_non_null(crn_arena_alloc(&batch.arena, CRN_CLI_BATCH_BYTES));
    assert_true(crn_cli_batch_is_full(&batch));
    crn_cli_batch_release(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(good_batches_are_one_write, set_up),
        cmocka_unit_test_setup(bad_records_stand_alone, set_up),
        cmocka_unit_test_setup(the_first_can_stop, set_up),
        cmocka_unit_test_setup(other_failures_end_it, set_up),
        cmocka_unit_test_setup(batches_are_full_by_count_or_bytes, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
