/*
 * Which segments are merged next: chosen by numbers of rows alone, so hours of writing are played through in a moment. What is wanted
 * of it: few segments when nobody writes; while somebody does, rows copied seldom, no merge so long that small segments pile up, and
 * still an end to their number.
 */
#include "engine/compact_policy.h"
#include "tests/engine/support.h"

#define FLUSHED 16384u
#define PARTS_MOST 256u

struct game {
    struct crn_compact_part parts[PARTS_MOST];
    uint32_t count, most;    /* most: segments there ever were */
    uint64_t written, moved; /* rows */
    uint64_t longest;        /* rows of the largest merge */
};

static void add(struct game *game, uint64_t rows)
{
    assert_true(game->count < PARTS_MOST);
    game->parts[game->count++] = (struct crn_compact_part){rows, rows, true};
    game->written += rows;
    if (game->count > game->most) game->most = game->count;
}

static struct crn_compact_run choose(const struct game *game, bool busy)
{
    return crn_compact_choose(&(struct crn_compact_choice){
        .parts = game->parts, .count = game->count, .rows_most = 16777214, .busy = busy});
}

static uint64_t rows_of(const struct game *game, struct crn_compact_run run)
{
    uint64_t rows = 0;

    for (uint32_t i = run.begin; i < run.end; i++) rows += game->parts[i].live;
    return rows;
}

static void merge(struct game *game, struct crn_compact_run run)
{
    const uint64_t rows = rows_of(game, run);

    game->parts[run.begin] = (struct crn_compact_part){rows, rows, true};
    memmove(game->parts + run.begin + 1, game->parts + run.end,
            (game->count - run.end) * sizeof *game->parts);
    game->count -= run.end - run.begin - 1;
    game->moved += rows;
    if (rows > game->longest) game->longest = rows;
}

/* Segments are written one after another, while `moved_each` rows are merged for each row that is written, and more when the writer is
 * slowed down: it may come to wait three times as long as it works. */
static void write_on(struct game *game, uint64_t rows, double moved_each)
{
    double left = 0;
    struct crn_compact_run run = {0, 0};

    for (uint64_t begin = game->written; game->written - begin < rows;) {
        add(game, FLUSHED);
        for (double budget = FLUSHED * moved_each * (1 + 3 * crn_compact_brake(game->count)); budget > 0;) {
            if (run.begin == run.end) {
                run = choose(game, true);
                left = (double)rows_of(game, run);
                if (run.begin == run.end) break;
            }
            const double step = left < budget ? left : budget;
            left -= step;
            budget -= step;
            if (left > 0) continue;
            merge(game, run);
            run = (struct crn_compact_run){0, 0};
        }
    }
}

static void rest(struct game *game)
{
    struct crn_compact_run run;

    for (run = choose(game, false); run.begin != run.end; run = choose(game, false)) merge(game, run);
}

static void assert_run(struct crn_compact_run run, uint32_t begin, uint32_t end)
{
    assert_int_equal(run.begin, begin);
    assert_int_equal(run.end, end);
}

static void a_few_are_merged_at_rest(void **state)
{
    struct game game = {0};

    (void)state;
    assert_run(choose(&game, false), 0, 0);
    for (int i = 0; i < 3; i++) add(&game, FLUSHED);
    assert_run(choose(&game, false), 0, 0);
    add(&game, FLUSHED);
    assert_run(choose(&game, false), 0, 4);
    assert_run(choose(&game, true), 0, 0);
}

static void sixteen_are_merged_while_writing(void **state)
{
    struct game game = {0};

    (void)state;
    add(&game, 3000000);
    for (int i = 0; i < 15; i++) add(&game, FLUSHED);
    assert_run(choose(&game, true), 0, 0);
    add(&game, FLUSHED);
    assert_run(choose(&game, true), 1, 17);
    /* When more have come, still the oldest: else some would stay behind between larger ones. */
    for (int i = 0; i < 7; i++) add(&game, FLUSHED + (uint64_t)i);
    assert_run(choose(&game, true), 1, 17);
}

/* Sixteen of these would take minutes, in which small ones pile up. */
static void large_ones_wait_while_writing(void **state)
{
    struct game game = {0};

    (void)state;
    for (int i = 0; i < 18; i++) add(&game, 270000);
    assert_run(choose(&game, true), 0, 0);
    assert_run(choose(&game, false), 10, 18);
    for (int i = 0; i < 15; i++) add(&game, FLUSHED);
    assert_run(choose(&game, true), 0, 0);
    /* Too many by now: small ones go first, though they are fewer than sixteen. */
    add(&game, 270000);
    for (int i = 0; i < 3; i++) add(&game, FLUSHED);
    assert_run(choose(&game, true), 18, 33);
}

static void large_ones_are_merged_when_they_are_too_many(void **state)
{
    struct game game = {0};

    (void)state;
    for (int i = 0; i < 36; i++) add(&game, 270000);
    assert_run(choose(&game, true), 0, 0);
    add(&game, 270000);
    struct crn_compact_run run = choose(&game, true);
    assert_int_equal(run.end - run.begin, 4);
    for (int i = 0; i < 12; i++) add(&game, 270000);
    run = choose(&game, true);
    assert_int_equal(run.end - run.begin, 16);
}

static void dead_rows_are_dropped(void **state)
{
    struct game game = {0};

    (void)state;
    add(&game, 100000);
    add(&game, 1000);
    game.parts[0].live = 74000;
    assert_run(choose(&game, false), 0, 2);
    assert_run(choose(&game, true), 0, 2);
    game.parts[0].live = 76000;
    assert_run(choose(&game, false), 0, 0);
}

static void no_segment_gets_too_large(void **state)
{
    struct game game = {0};
    struct crn_compact_choice choice = {.parts = game.parts, .rows_most = 10000};

    (void)state;
    for (int i = 0; i < 5; i++) add(&game, 4200);
    choice.count = game.count;
    assert_run(crn_compact_choose(&choice), 0, 0);
    choice.all = true;
    assert_run(crn_compact_choose(&choice), 0, 2);
    choice.begin = 2;
    assert_run(crn_compact_choose(&choice), 2, 4);
    choice.begin = 5;
    assert_run(crn_compact_choose(&choice), 0, 0);
}

static void segments_with_an_index_stay_in_bulk(void **state)
{
    struct game game = {0};
    const struct crn_compact_choice choice = {
        .parts = game.parts, .count = 8, .rows_most = UINT32_MAX, .bulk = true};

    (void)state;
    for (int i = 0; i < 8; i++) {
        add(&game, FLUSHED);
        game.parts[i].indexed = i < 4;
    }
    assert_run(crn_compact_choose(&choice), 4, 8);
    game.parts[4].indexed = true;
    assert_run(crn_compact_choose(&choice), 0, 0);
}

/* Ten minutes of 8,000 rows a second, when one row and a half can be merged for each that is written: each is, once. */
static void rows_are_copied_seldom_while_writing(void **state)
{
    struct game game = {0};

    (void)state;
    write_on(&game, 4800000, 1.5);
    print_message("%u segments, %u at most; %.2f rows moved for each written, %llu at once\n", game.count,
                  game.most, (double)game.moved / (double)game.written, (unsigned long long)game.longest);
    assert_true(game.most <= CRN_COMPACT_MANY + 4);
    assert_true(game.moved <= game.written);
    assert_true(game.longest <= 500000);
    rest(&game);
    print_message("%u after resting, %.2f rows moved\n", game.count,
                  (double)game.moved / (double)game.written);
    assert_true(game.count <= 16);
    assert_run(choose(&game, false), 0, 0);
}

/* For hours: the number of segments has an end when two rows can be merged for each, which who is slowed down leaves time for. */
static void segments_have_an_end(void **state)
{
    struct game game = {0};

    (void)state;
    write_on(&game, 100000000, 2.5);
    print_message("%u segments, %u at most; %.2f rows moved for each written, %llu at once\n", game.count,
                  game.most, (double)game.moved / (double)game.written, (unsigned long long)game.longest);
    assert_true(game.most <= 2 * CRN_COMPACT_MANY);
    rest(&game);
    print_message("%u after resting\n", game.count);
    assert_true(game.count <= 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_are_merged_at_rest),
        cmocka_unit_test(sixteen_are_merged_while_writing),
        cmocka_unit_test(large_ones_wait_while_writing),
        cmocka_unit_test(large_ones_are_merged_when_they_are_too_many),
        cmocka_unit_test(dead_rows_are_dropped),
        cmocka_unit_test(no_segment_gets_too_large),
        cmocka_unit_test(segments_with_an_index_stay_in_bulk),
        cmocka_unit_test(rows_are_copied_seldom_while_writing),
        cmocka_unit_test(segments_have_an_end),
    };
    return cmocka_run_group_tests_name("which segments are merged", tests, NULL, NULL);
}
