/* XXH3: known values, because what is on disk depends on them, and pieces against the whole. */
#include "base/hash.h"

#include "tests/base/support.h"

#define BYTES 20000
#define SEED 0x9E3779B97F4A7C15u

static unsigned char bytes[BYTES];

static int fill_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < BYTES; i++) bytes[i] = (unsigned char)(i * 131 + (i >> 8) * 29 + 7);
    return 0;
}

/* From libxxhash 0.8.1's XXH3_64bits and XXH3_64bits_withSeed. A change here breaks every file there is. */
static const struct {
    size_t len;
    uint64_t unseeded, seeded;
} known[] = {
    {0, 0x2D06800538D394C2, 0x602B0E2CD6662C8B},     {1, 0x4C5CCA45D0F4811F, 0x2F3ACD3805F81DE3},
    {3, 0x6E3E2670E61106AC, 0xBC74611D87F659E0},     {4, 0x5C4C63133443D03F, 0x6C3753177C607DE4},
    {8, 0xF9FD4DD0B04D78F5, 0xBC72D0531396303F},     {9, 0x7C20DF9712C26EDF, 0x93C5AA006102DAF5},
    {16, 0x86ABF6BACCEA0858, 0x69D001B16ECF450A},    {17, 0xB58BF5DC5022D071, 0xB7C99D19BE27EB69},
    {128, 0x10D17F72C0CCBA41, 0x49B81C6E0ABB9305},   {129, 0x1648BDC3DB49D1A2, 0x5E3831B221810B00},
    {240, 0xB6CFAF343FAB81E6, 0x76A73EC26433F82C},   {241, 0x956CAE592C67279E, 0x2BE236BA3BACF75C},
    {256, 0xB15E550733C5DFAC, 0x92999D62F0815EEF},   {1024, 0x9BB68F1FC0D4408C, 0x156550330CD83A38},
    {1025, 0x98E8EC13F4C92D1A, 0x0CB927234C6524E1},  {10000, 0xA60D2243DA89768A, 0xCA5B01F99D47C5F6},
    {20000, 0x8CDDEA480CF19C1C, 0x11543593FFA2AF4E},
};

static void values_are_the_known_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        assert_true(crn_hash64(bytes, known[i].len, 0) == known[i].unseeded);
        assert_true(crn_hash64(bytes, known[i].len, SEED) == known[i].seeded);
    }
    assert_true(crn_hash64(NULL, 0, 0) == known[0].unseeded);
}

/* Before init the memory may hold anything: the wanted seed at any place, zeros or ones around it. */
static void dirty_memory_does_not_matter(void **state)
{
    const uint64_t seed = SEED;
    struct crn_hash hash;

    (void)state;
    for (int fill = 0; fill < 256; fill += 255) {
        for (size_t place = 0; place < sizeof hash; place += sizeof seed) {
            memset(&hash, fill, sizeof hash);
            memcpy(hash.opaque + place, &seed, sizeof seed);
            crn_hash_init(&hash, seed);
            crn_hash_update(&hash, bytes, BYTES);
            assert_true(crn_hash_final(&hash) == crn_hash64(bytes, BYTES, seed));
        }
    }
}

static void pieces_equal_the_whole(void **state)
{
    struct crn_rng rng = test_rng();

    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct crn_hash hash;
        size_t start = crn_rng_below(&rng, 64);
        size_t len = crn_rng_below(&rng, round % 10 == 0 ? BYTES - 64 : 600);
        size_t piece_max = 1 + crn_rng_below(&rng, 2000);
        uint64_t seed = crn_rng_below(&rng, 3) == 0 ? 0 : crn_rng_u64(&rng);
        crn_hash_init(&hash, seed);
        for (size_t at = 0; at < len;) {
            size_t piece = crn_rng_below(&rng, piece_max + 1);
            if (piece > len - at) piece = len - at;
            crn_hash_update(&hash, bytes + start + at, piece);
            at += piece;
            if (crn_rng_below(&rng, 50) == 0) { /* looking changes nothing */
                assert_true(crn_hash_final(&hash) == crn_hash64(bytes + start, at, seed));
            }
        }
        crn_hash_update(&hash, NULL, 0);
        assert_true(crn_hash_final(&hash) == crn_hash64(bytes + start, len, seed));
    }
}

static void a_copy_goes_its_own_way(void **state)
{
    struct crn_hash hash, copy;

    (void)state;
    crn_hash_init(&hash, SEED);
    crn_hash_update(&hash, bytes, 1000);
    copy = hash;
    crn_hash_update(&copy, bytes + 1000, 24);
    crn_hash_update(&hash, bytes + 1000, 9000);
    assert_true(crn_hash_final(&copy) == crn_hash64(bytes, 1024, SEED));
    assert_true(crn_hash_final(&hash) == crn_hash64(bytes, 10000, SEED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_the_known_ones),
        cmocka_unit_test(dirty_memory_does_not_matter),
        cmocka_unit_test(pieces_equal_the_whole),
        cmocka_unit_test(a_copy_goes_its_own_way),
    };
    return cmocka_run_group_tests(tests, fill_bytes, NULL);
}
