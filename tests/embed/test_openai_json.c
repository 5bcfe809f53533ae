/* The endpoint's JSON: what is asked, which answers are taken or refused, and the words of errors. */
#include "embed/openai_json.h"

#include "base/mem.h"
#include "tests/base/support.h"

static struct crn_buf buffer_of(const char *text)
{
    struct crn_buf buf;

    crn_buf_init(&buf, SIZE_MAX);
    assert_int_equal(crn_buf_puts(&buf, text), CAIRN_OK);
    return buf;
}

static void a_request_holds_model_and_texts(void **state)
{
    const char *const texts[] = {"one", "\"two\"\n", "\xC3\xA4"};
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, SIZE_MAX);
    assert_int_equal(crn_openai_write(&buf, "m\\1", texts, 3, 1000), 3);
    assert_string_equal(buf.data, "{\"model\":\"m\\\\1\",\"input\":[\"one\",\"\\\"two\\\"\\n\",\"\xC3\xA4\"],"
                                  "\"encoding_format\":\"float\"}");
    crn_buf_release(&buf);
}

static void a_request_is_bounded_but_never_empty(void **state)
{
    const char *const texts[] = {"0123456789", "0123456789", "0123456789"};
    struct crn_buf buf;

    (void)state;
    crn_buf_init(&buf, SIZE_MAX);
    assert_int_equal(crn_openai_write(&buf, "m", texts, 3, 1), 1);
    crn_buf_clear(&buf);
    assert_int_equal(crn_openai_write(&buf, "m", texts, 3, 40), 2);
    crn_buf_release(&buf);
}

static void embeddings_go_where_their_index_says(void **state)
{
    struct crn_buf answer =
        buffer_of("{\"data\":[{\"index\":1,\"embedding\":[3,4.5]},"
                  "{\"embedding\":[-1e-3,2],\"index\":0,\"object\":\"embedding\"}],\"x\":null}");
    float vectors[4];
    cairn_error err;

    (void)state;
    assert_int_equal(crn_openai_read(&answer, 2, 2, vectors, &err), CAIRN_OK);
    assert_true(vectors[0] == -1e-3f && vectors[1] == 2 && vectors[2] == 3 && vectors[3] == 4.5f);
    crn_buf_release(&answer);
}

#define GOOD "{\"index\":0,\"embedding\":[1,2]}"

static void wrong_answers_are_refused_by_name(void **state)
{
    static const struct {
        const char *answer, *named;
    } rows[] = {
        {"", "not JSON"},
        {"<html>", "not JSON"},
        {"{\"data\":[" GOOD, "not JSON"},
        {"[]", "no array \"data\""},
        {"7", "no array \"data\""},
        {"{\"data\":{}}", "no array \"data\""},
        {"{\"data\":[]}", "0 embeddings, expected 2"},
        {"{\"data\":[" GOOD "]}", "1 embeddings, expected 2"},
        {"{\"data\":[" GOOD "," GOOD "]}", "embedding 0 twice"},
        {"{\"data\":[" GOOD ",{\"embedding\":[1,2]}]}", "no index"},
        {"{\"data\":[" GOOD ",7]}", "no index"},
        {"{\"data\":[" GOOD ",{\"index\":\"1\",\"embedding\":[1,2]}]}", "no index"},
        {"{\"data\":[" GOOD ",{\"index\":1.0,\"embedding\":[1,2]}]}", "no index"},
        {"{\"data\":[" GOOD ",{\"index\":2,\"embedding\":[1,2]}]}", "embedding 2, asked were 2"},
        {"{\"data\":[" GOOD ",{\"index\":-1,\"embedding\":[1,2]}]}", "embedding -1, asked were 2"},
        {"{\"data\":[" GOOD ",{\"index\":1}]}", "no array of numbers"},
        {"{\"data\":[" GOOD ",{\"index\":1,\"embedding\":\"AACAPw==\"}]}", "no array of numbers"},
        {"{\"data\":[" GOOD ",{\"index\":1,\"embedding\":[1,null]}]}", "no array of numbers"},
        {"{\"data\":[" GOOD ",{\"index\":1,\"embedding\":[1]}]}", "dim 1, expected 2"},
        {"{\"data\":[" GOOD ",{\"index\":1,\"embedding\":[1,2,3]}]}", "dim 3, expected 2"},
        {"{\"data\":[" GOOD ",{\"index\":1,\"embedding\":[1,1e39]}]}",
         "component 1 of embedding 1 is not finite"},
    };
    float vectors[4];
    cairn_error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct crn_buf answer = buffer_of(rows[i].answer);
        assert_int_equal(crn_openai_read(&answer, 2, 2, vectors, &err), CAIRN_EMBEDDER);
        if (strstr(err.message, rows[i].named) == NULL) fail_msg("%s: %s", rows[i].answer, err.message);
        crn_buf_release(&answer);
    }
}

static void the_dim_is_read_from_one_embedding(void **state)
{
    static const struct {
        const char *answer, *named;
    } rows[] = {
        {"{\"data\":[]}", "0 embeddings, expected 1"},
        {"{\"data\":[" GOOD "," GOOD "]}", "2 embeddings, expected 1"},
        {"{\"data\":[{\"index\":0,\"embedding\":[]}]}", "dim 0"},
        {"{\"data\":[{\"index\":0}]}", "no array of numbers"},
    };
    struct crn_buf answer = buffer_of("{\"data\":[" GOOD "]}");
    uint32_t dim = 0;
    cairn_error err;

    (void)state;
    assert_int_equal(crn_openai_read_dim(&answer, &dim, &err), CAIRN_OK);
    assert_int_equal(dim, 2);
    crn_buf_release(&answer);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        answer = buffer_of(rows[i].answer);
        assert_int_equal(crn_openai_read_dim(&answer, &dim, &err), CAIRN_EMBEDDER);
        assert_non_null(strstr(err.message, rows[i].named));
        crn_buf_release(&answer);
    }
}

static void error_words_are_found(void **state)
{
    static const struct {
        const char *answer, *words;
    } rows[] = {
        {"{\"error\":{\"message\":\"no quota\",\"type\":\"x\"}}", "no quota"},
        {"{\"error\":\"no such model\"}", "no such model"},
        {"{\"error\":7,\"message\":\"busy\"}", "busy"},
        {"{\"detail\":\"Not Found\"}", "Not Found"},
        {"{\"detail\":[{\"msg\":\"bad\"}]}", "{\"detail\":[{\"msg\":\"bad\"}]}"},
        {"\"text\"", "\"text\""},
        {"<h1>502</h1>", "<h1>502</h1>"},
        {"", "(no words with it)"},
    };
    char words[64], cut[4];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct crn_buf answer = buffer_of(rows[i].answer);
        crn_openai_read_error(&answer, words, sizeof words);
        assert_string_equal(words, rows[i].words);
        crn_openai_read_error(&answer, cut, sizeof cut);
        assert_memory_equal(cut, rows[i].words, 3);
        assert_int_equal(cut[3], '\0');
        crn_buf_release(&answer);
    }
}

static void failing_allocations_are_no_memory(void **state)
{
    struct crn_buf answer = buffer_of("{\"data\":[" GOOD "]}");
    cairn_status status = CAIRN_NO_MEMORY;
    float vector[2];
    uint32_t dim;

    (void)state;
    for (uint64_t nth = 1; status != CAIRN_OK; nth++) {
        crn_mem_fail_at(nth, false);
        status = crn_openai_read(&answer, 1, 2, vector, NULL);
        crn_mem_fail_at(0, false);
        if (status != CAIRN_OK) assert_int_equal(status, CAIRN_NO_MEMORY);
        if (status == CAIRN_OK) assert_true(nth > 2);
    }
    crn_mem_fail_at(1, true);
    assert_int_equal(crn_openai_read_dim(&answer, &dim, NULL), CAIRN_NO_MEMORY);
    crn_mem_fail_at(0, false);
    crn_buf_release(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_holds_model_and_texts),
        cmocka_unit_test(a_request_is_bounded_but_never_empty),
        cmocka_unit_test(embeddings_go_where_their_index_says),
        cmocka_unit_test(wrong_answers_are_refused_by_name),
        cmocka_unit_test(the_dim_is_read_from_one_embedding),
        cmocka_unit_test(error_words_are_found),
        cmocka_unit_test(failing_allocations_are_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
