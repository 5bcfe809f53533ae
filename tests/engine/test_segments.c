/* Segment files, views over them, and searching one view. */
#include "base/mem.h"
#include "engine/bits.h"
#include "engine/codec.h"
#include "engine/id.h"
#include "engine/view_search.h"
#include "tests/engine/rows.h"

#define DIM 4

static void fill_vector(uint32_t n, uint32_t dim, float *out)
{
    for (uint32_t i = 0; i < dim; i++) out[i] = (float)(n * 31 + i);
}

struct folder {
    char path[256];
    struct crn_space space;
    struct crn_segment_context context;
    struct crn_log log;
};

static int folder_create(void **state)
{
    struct folder *folder = calloc(1, sizeof *folder);
    const char *base = getenv("TMPDIR");

    snprintf(folder->path, sizeof folder->path, "%s/cairn-test-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(folder->path));
    folder->space = (struct crn_space){.id = 7,
                                       .name = "",
                                       .dim = DIM,
                                       .metric = CAIRN_METRIC_L2,
                                       .quantization = CAIRN_QUANTIZATION_NONE,
                                       .index = "auto"};
    folder->context = (struct crn_segment_context){.folder = folder->path,
                                                   .uuid = {1, 2, 3},
                                                   .space = &folder->space,
                                                   .op = CRN_OP_L2,
                                                   .log = &folder->log};
    *state = folder;
    return 0;
}

static int folder_remove(void **state)
{
    struct folder *folder = *state;

    nftw(folder->path, database_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
    return 0;
}

/* A row's vector and id follow from its local and the segment's number. */
struct source {
    uint32_t number;
    float vector[DIM];
    char id[CRN_ID_BYTES_MAX];
};

static cairn_status source_vector(const void *ctx, const struct crn_segment_row *row,
                                  const float **out_vector, cairn_error *err)
{
    struct source *source = (struct source *)ctx;

    (void)err;
    fill_vector(row->local + 1000 * source->number, DIM, source->vector);
    *out_vector = source->vector;
    return CAIRN_OK;
}

static cairn_status source_id(const void *ctx, const struct crn_segment_row *row, const char **out_id,
                              cairn_error *err)
{
    struct source *source = (struct source *)ctx;

    (void)err;
    crn_id_encode(CAIRN_ID_U64, NULL, 0, row->local, source->id);
    *out_id = source->id;
    return CAIRN_OK;
}

/* `locals` and `kills` end with 0. */
static struct crn_segment *make_segment(struct folder *folder, uint32_t number, const uint32_t *locals,
                                        const uint32_t *kills)
{
    struct source ctx = {.number = number};
    const struct crn_segment_source source = {.ctx = &ctx, .vector = source_vector, .id = source_id};
    struct crn_segment_row rows[1000];
    struct crn_segment_entry entry;
    struct crn_segment *segment;
    uint32_t count = 0, kill_count = 0;

    for (; locals[count] != 0; count++) rows[count] = (struct crn_segment_row){.local = locals[count]};
    while (kills[kill_count] != 0) kill_count++;
    ok(crn_segment_write(&folder->context, &source, rows, count, kills, kill_count, number, &entry, err));
    assert_int_equal(entry.rows, count);
    assert_int_equal(entry.sequence, number);
    ok(crn_segment_open(&folder->context, &entry, &segment, err));
    return segment;
}

#define LOCALS(...) ((const uint32_t[]){__VA_ARGS__, 0})
#define NONE ((const uint32_t[]){0})

static void check_segment(struct folder *folder, const uint32_t *locals)
{
    struct crn_segment *segment = make_segment(folder, 1, locals, LOCALS(2, 9));
    float vector[DIM];
    uint32_t count = 0, found = 0;

    while (locals[count] != 0) count++;
    for (uint32_t local = 0; local < locals[count - 1] + 10; local++) {
        const int64_t position = crn_segment_find(segment, local);
        if (found < count && locals[found] == local) {
            const char *id;
            char text[CAIRN_ID_MAX + 1];
            cairn_id decoded;
            assert_int_equal(position, found++);
            ok(crn_segment_id(segment, (uint32_t)position, &id, err));
            crn_id_decode(id, text, &decoded);
            assert_int_equal(decoded.u64, local);
            fill_vector(local + 1000, DIM, vector);
            assert_memory_equal(segment->vectors + (size_t)position * DIM, vector, sizeof vector);
        } else {
            assert_int_equal(position, -1);
        }
    }
    assert_int_equal(crn_segment_find(segment, UINT32_MAX), -1);
    assert_int_equal(segment->kill_count, 2);
    crn_segment_release(segment);
}

static void segments_give_back_their_rows(void **state)
{
    struct folder *folder = *state;
    uint32_t gapless[500], gapped[500];

    for (uint32_t i = 0; i < 499; i++) {
        gapless[i] = 77 + i;
        gapped[i] = 5 + 3 * i + i / 7;
    }
    gapless[499] = gapped[499] = 0;
    for (int quantization = CAIRN_QUANTIZATION_NONE; quantization <= CAIRN_QUANTIZATION_SCALAR4;
         quantization++) {
        folder->space.quantization = (cairn_quantization)quantization;
        check_segment(folder, gapless);
        check_segment(folder, gapped);
        check_segment(folder, LOCALS(1));
        check_segment(folder, LOCALS(1, 2, 4));
        check_segment(folder, LOCALS(3, 4000));
    }
    struct crn_segment *empty = make_segment(folder, 2, NONE, LOCALS(4));
    assert_int_equal(crn_segment_find(empty, 4), -1);
    crn_segment_release(empty);
    crn_segment_release(NULL);
}

/* Each allocation fails in turn, for every codec, over l2 and over l1: a named status and nothing left behind. */
static void codes_survive_a_lack_of_memory(void **state)
{
    struct folder *folder = *state;
    struct source ctx = {.number = 1};
    const struct crn_segment_source source = {.ctx = &ctx, .vector = source_vector, .id = source_id};
    const struct crn_segment_row rows[3] = {{.local = 1}, {.local = 2}, {.local = 5}};
    cairn_error err;

    for (int which = 2 * CAIRN_QUANTIZATION_SCALAR; which <= 2 * CAIRN_QUANTIZATION_SCALAR4 + 1; which++) {
        bool all_had = false;
        uint64_t nth = 1;

        folder->space.quantization = (cairn_quantization)(which / 2);
        folder->context.op = which % 2 == 0 ? CRN_OP_L2 : CRN_OP_L1;
        if (folder->context.op == CRN_OP_L1 && !crn_codec_of(folder->space.quantization)->compares_l1)
            continue;
        for (; !all_had; nth++) {
            struct crn_segment *segment = NULL;
            struct crn_segment_entry entry;

            crn_mem_fail_at(nth, false);
            cairn_status status =
                crn_segment_write(&folder->context, &source, rows, 3, NULL, 0, nth, &entry, &err);
            if (status == CAIRN_OK) status = crn_segment_open(&folder->context, &entry, &segment, &err);
            all_had = crn_mem_count() < nth;
            crn_mem_fail_at(0, false);
            assert_int_equal(status, all_had ? CAIRN_OK : CAIRN_NO_MEMORY);
            crn_segment_release(segment);
        }
        assert_true(nth > 5);
    }
}

static void segments_of_others_are_refused(void **state)
{
    struct folder *folder = *state;
    struct crn_segment *segment = make_segment(folder, 1, LOCALS(1, 2, 3), NONE), *wrong;
    const struct crn_segment_entry right = segment->entry;
    struct crn_segment_entry entry = right;
    struct crn_segment_context context = folder->context;
    struct crn_space space = folder->space;

    crn_segment_release(segment);
    context.space = &space;
    context.uuid[15] = 1;
    refused(CAIRN_CORRUPT, entry.file, crn_segment_open(&context, &entry, &wrong, err));
    context.uuid[15] = 0;
    space.id = 8;
    refused(CAIRN_CORRUPT, entry.file, crn_segment_open(&context, &entry, &wrong, err));
    space.id = 7;
    space.dim = DIM + 1;
    refused(CAIRN_CORRUPT, "dim", crn_segment_open(&context, &entry, &wrong, err));
    space.dim = DIM;
    entry.rows = 4;
    refused(CAIRN_CORRUPT, "row count", crn_segment_open(&context, &entry, &wrong, err));
    entry.rows = 3;
    space.quantization = CAIRN_QUANTIZATION_SCALAR; /* what there is has no codes */
    refused(CAIRN_CORRUPT, "CODE", crn_segment_open(&context, &entry, &wrong, err));
    space.quantization = CAIRN_QUANTIZATION_NONE;
    snprintf(entry.file, sizeof entry.file, "absent");
    refused(CAIRN_NO_FILE, "absent", crn_segment_open(&context, &entry, &wrong, err));
    ok(crn_segment_open(&context, &right, &segment, err));
    crn_segment_release(segment);
}

/* A file with right checksums and wrong contents, as a defect or a malicious hand would leave it. */
struct forged {
    uint32_t head[4];
    uint32_t locals[3], kills[2];
    uint64_t id_offsets[4];
    char ids[27];
    uint32_t local_count, kill_count, offset_count;
    size_t id_size, vector_size;
};

static struct forged forge(void)
{
    struct forged forged = {.head = {3, 2, DIM, 0},
                            .locals = {1, 5, 6},
                            .kills = {2, 3},
                            .id_offsets = {0, 9, 18, 27},
                            .local_count = 3,
                            .kill_count = 2,
                            .offset_count = 4,
                            .id_size = 27,
                            .vector_size = 3 * DIM * sizeof(float)};

    for (size_t i = 0; i < 3; i++) {
        char id[CRN_ID_BYTES_MAX];
        crn_id_encode(CAIRN_ID_U64, NULL, 0, i, id);
        memcpy(forged.ids + 9 * i, id, 9);
    }
    return forged;
}

static void add_section(struct crn_derived_writer *writer, const char *tag, const void *data, size_t size)
{
    ok(crn_derived_section(writer, tag, err));
    ok(crn_derived_write(writer, data, size, err));
}

static cairn_status open_forged(struct folder *folder, const struct forged *forged,
                                struct crn_segment **out_segment, cairn_error *err)
{
    static int number;
    struct crn_derived_header header = {.kind = "segment", .uuid = {1, 2, 3}, .space = 7, .sequence = 1};
    struct crn_segment_entry entry = {.sequence = 1, .rows = forged->head[0]};
    const float vectors[3 * DIM] = {0};
    struct crn_derived_writer *writer;

    snprintf(entry.file, sizeof entry.file, "forged-%d", number++);
    assert_int_equal(crn_derived_create(folder->path, entry.file, &header, &writer, NULL), CAIRN_OK);
    add_section(writer, "HEAD", forged->head, sizeof forged->head);
    add_section(writer, "LOCL", forged->locals, forged->local_count * sizeof *forged->locals);
    add_section(writer, "KILL", forged->kills, forged->kill_count * sizeof *forged->kills);
    add_section(writer, "IDOF", forged->id_offsets, forged->offset_count * sizeof *forged->id_offsets);
    add_section(writer, "IDBY", forged->ids, forged->id_size);
    add_section(writer, "VECT", vectors, forged->vector_size);
    assert_int_equal(crn_derived_commit(writer, NULL), CAIRN_OK);
    return crn_segment_open(&folder->context, &entry, out_segment, err);
}

#define refuse_forged(text, change)                                                \
    do {                                                                           \
        struct forged forged = forge();                                            \
        change;                                                                    \
        refused(CAIRN_CORRUPT, text, open_forged(*state, &forged, &segment, err)); \
    } while (0)

static void forged_segments_are_refused(void **state)
{
    struct crn_segment *segment;
    struct forged right = forge();
    const char *id;

    ok(open_forged(*state, &right, &segment, err));
    ok(crn_segment_id(segment, 2, &id, err));
    crn_segment_release(segment);
    refuse_forged("LOCL", forged.head[0] = 4);
    refuse_forged("LOCL", forged.head[0] = UINT32_MAX);
    refuse_forged("KILL", forged.head[1] = UINT32_MAX);
    refuse_forged("dim", forged.head[2] = UINT32_MAX);
    refuse_forged("quantization", forged.head[3] = 2);
    refuse_forged("not in order", forged.locals[2] = 5);
    refuse_forged("not in order", forged.locals[0] = 0);
    refuse_forged("not in order", forged.locals[0] = UINT32_MAX);
    refuse_forged("not in order", forged.kills[1] = 1);
    refuse_forged("LOCL", forged.local_count = 2);
    refuse_forged("IDOF", forged.offset_count = 3);
    refuse_forged("id offsets go back", forged.id_offsets[1] = 20);
    refuse_forged("id offsets", forged.id_offsets[3] = 28);
    refuse_forged("id offsets", forged.id_offsets[0] = 1);
    refuse_forged("id offsets", forged.id_offsets[2] = UINT64_MAX);
    refuse_forged("id offsets", forged.id_size = 26);
    refuse_forged("VECT", forged.vector_size -= 4);
}

static void forged_ids_are_refused_when_they_are_read(void **state)
{
    struct crn_segment *segment;
    struct forged forged = forge();
    const char *id;

    forged.ids[0] = 9;                       /* no type */
    memcpy(forged.ids + 9, "\0abcdefgh", 9); /* no end */
    forged.id_offsets[2] = 27;               /* and the third is empty */
    ok(open_forged(*state, &forged, &segment, err));
    refused(CAIRN_CORRUPT, "malformed", crn_segment_id(segment, 0, &id, err));
    refused(CAIRN_CORRUPT, "malformed", crn_segment_id(segment, 1, &id, err));
    refused(CAIRN_CORRUPT, "empty", crn_segment_id(segment, 2, &id, err));
    crn_segment_release(segment);
}

/* ---- views ---- */

static struct crn_view *make_view(struct crn_segment **segments, uint32_t count)
{
    struct crn_view *view = crn_view_create(count);

    for (uint32_t i = 0; i < count; i++) {
        view->parts[i].segment = segments[i];
        view->parts[i].live_count = segments[i]->count;
    }
    ok(crn_view_add_tail(view, DIM, err));
    return view;
}

/* The live locals of a part, as text. */
static void expect_live(const struct crn_view *view, uint32_t part, const char *expected)
{
    const struct crn_segment *segment = view->parts[part].segment;
    const struct crn_bits *live = view->parts[part].live;
    char text[200] = "";
    uint32_t count = 0;

    for (uint32_t p = 0; p < segment->count; p++) {
        if (live != NULL && !crn_bits_get(live->words, p)) continue;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%u", count == 0 ? "" : " ",
                 segment->locals[p]);
        count++;
    }
    assert_string_equal(text, expected);
    assert_int_equal(view->parts[part].live_count, count);
}

static void newer_segments_mask_older_ones(void **state)
{
    struct crn_segment *segments[] = {
        make_segment(*state, 1, LOCALS(1, 2, 3, 4, 5), LOCALS(9)), /* the oldest has nobody to kill */
        make_segment(*state, 2, LOCALS(2, 6, 7), LOCALS(3, 9)),
        make_segment(*state, 3, LOCALS(3, 9), LOCALS(6, 100)),
        make_segment(*state, 4, NONE, LOCALS(3)),
        make_segment(*state, 5, LOCALS(5), NONE),
    };
    struct crn_view *view = make_view(segments, COUNT_OF(segments));

    ok(crn_view_mask_parts(view, err));
    expect_live(view, 0, "1 4");
    expect_live(view, 1, "2 7");
    expect_live(view, 2, "9"); /* 3 came back there, and was killed by the fourth */
    expect_live(view, 3, "");
    expect_live(view, 4, "5");
    assert_int_equal(crn_view_rows(view), 6);
    crn_view_release(view);
}

static void killing_in_a_copy_leaves_the_original(void **state)
{
    struct crn_segment *segments[] = {make_segment(*state, 1, LOCALS(1, 2, 3), NONE),
                                      make_segment(*state, 2, LOCALS(7, 8), NONE)};
    struct crn_view *view = make_view(segments, 2);
    char id[CRN_ID_BYTES_MAX];
    const size_t size = crn_id_encode(CAIRN_ID_U64, NULL, 0, 9, id);

    for (uint32_t i = 0; i < 70; i++)
        ok(crn_tail_append(view->tails[0].tail,
                           &(struct crn_tail_row){9 + i, (const float[DIM]){1}, id, size}, err));
    view->tails[0].count = 65; /* the view does not know the newest rows */
    ok(crn_view_kill_local(view, 2, err));
    ok(crn_view_kill_tail(view, 0, 64, err));
    struct crn_view *copy = crn_view_copy(view);
    ok(crn_view_kill_local(copy, 1, err));
    ok(crn_view_kill_local(copy, 1, err));    /* dead already */
    ok(crn_view_kill_local(copy, 1000, err)); /* nowhere */
    ok(crn_view_kill(copy, 1, 0, err));
    ok(crn_view_kill_tail(copy, 0, 3, err));
    copy->tails[0].count = 70;
    ok(crn_view_kill_tail(copy, 0, 69, err));
    ok(crn_view_kill_tail(copy, 0, 69, err));
    expect_live(view, 0, "1 3");
    expect_live(view, 1, "7 8");
    assert_int_equal(crn_view_rows(view), 2 + 2 + 64);
    expect_live(copy, 0, "3");
    expect_live(copy, 1, "8");
    assert_int_equal(crn_view_rows(copy), 1 + 1 + 67);
    crn_view_release(view);
    expect_live(copy, 0, "3");
    crn_view_release(copy);
    crn_view_release(NULL);
}

/* ---- searching a view ---- */

static void expect_found(const struct crn_view *view, const struct crn_live_space *space,
                         const struct crn_view_query *query, const char *expected)
{
    struct crn_found found[20];
    struct crn_view_answer answer = {.found = found};
    char text[200] = "";

    ok(crn_view_search(space, view, query, &answer, err));
    for (size_t i = 0; i < answer.count; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%u", i == 0 ? "" : " ", found[i].local);
    }
    assert_string_equal(text, expected);
}

static void searches_merge_parts_and_tail(void **state)
{
    struct folder *folder = *state;
    struct crn_live_space space = {.info = &folder->space, .op = CRN_OP_L2};
    struct crn_segment *segments[] = {make_segment(folder, 0, LOCALS(10, 12, 14, 16, 18), NONE),
                                      make_segment(folder, 0, LOCALS(11, 12, 13), LOCALS(16))};
    struct crn_view *view = make_view(segments, 2);
    roaring_bitmap_t *filter = roaring_bitmap_of(4, 11, 12, 15, 99);
    float vector[DIM];
    char id[CRN_ID_BYTES_MAX];
    const size_t size = crn_id_encode(CAIRN_ID_U64, NULL, 0, 15, id);

    ok(crn_view_mask_parts(view, err));
    for (uint32_t local = 15; local <= 17; local += 2) {
        fill_vector(local, DIM, vector);
        ok(crn_tail_append(view->tails[0].tail, &(struct crn_tail_row){local, vector, id, size}, err));
    }
    view->tails[0].count = 2;
    fill_vector(10, DIM, vector);
    struct crn_view_query query = {.vector = vector, .k = 20};
    expect_found(view, &space, &query, "10 11 12 13 14 15 17 18");
    query.k = 3;
    expect_found(view, &space, &query, "10 11 12");
    ok(crn_view_kill_local(view, 11, err));
    ok(crn_view_kill_tail(view, 0, 1, err));
    query.k = 20;
    expect_found(view, &space, &query, "10 12 13 14 15 18");
    query.filter = filter;
    expect_found(view, &space, &query, "12 15");
    query.k = 1;
    expect_found(view, &space, &query, "12");

    /* What is made of the filter is kept, one bitmap a segment, and is not of rows that die later. */
    struct crn_filter_parts parts = {0};
    query.parts = &parts;
    query.k = 20;
    for (int again = 0; again < 2; again++) expect_found(view, &space, &query, "12 15");
    assert_int_equal(atomic_load(&parts.count), 2);
    ok(crn_view_kill_local(view, 12, err));
    expect_found(view, &space, &query, "15");
    assert_int_equal(atomic_load(&parts.count), 2);
    query.parts = NULL;
    crn_filter_parts_release(&parts);

    struct crn_found found[20];
    struct crn_view_answer answer = {.found = found};
    query.deadline_ns = 1; /* long ago */
    refused(CAIRN_TIMEOUT, "time", crn_view_search(&space, view, &query, &answer, err));
    crn_view_release(view);
    roaring_bitmap_free(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(segments_give_back_their_rows, folder_create, folder_remove),
        cmocka_unit_test_setup_teardown(codes_survive_a_lack_of_memory, folder_create, folder_remove),
        cmocka_unit_test_setup_teardown(segments_of_others_are_refused, folder_create, folder_remove),
        cmocka_unit_test_setup_teardown(forged_segments_are_refused, folder_create, folder_remove),
        cmocka_unit_test_setup_teardown(forged_ids_are_refused_when_they_are_read, folder_create,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(newer_segments_mask_older_ones, folder_create, folder_remove),
        cmocka_unit_test_setup_teardown(killing_in_a_copy_leaves_the_original, folder_create, folder_remove),
        cmocka_unit_test_setup_teardown(searches_merge_parts_and_tail, folder_create, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
