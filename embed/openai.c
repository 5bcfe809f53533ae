/*
 * An OpenAI-compatible embeddings endpoint as an embedder: options, batches, tries and pauses. The JSON is in
 * openai_json.c. Whatever the endpoint does wrong is EMBEDDER, and nothing here makes a vector up.
 *
 * Tried again, with pauses that double: 429, 5xx and failed connections. Not tried again: a request that ran
 * out of its time, because the caller has waited as long as was allowed, and every other status.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "embed/embedder.h"
#include "embed/openai_json.h"
#include "net/http_client.h"

#include <cairn/embed.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BATCH_DEFAULT 64u
#define BATCH_MAX 4096u
#define TIMEOUT_DEFAULT_MS 30000u
#define RETRIES_DEFAULT 4u
#define RETRIES_MAX 100u
#define PAUSE_FIRST_MS 250u
#define PAUSE_MAX_MS 8000u
#define RETRY_AFTER_MAX_S 60u /* an endpoint that wants a longer pause is taken at its word: it failed */

#define REQUEST_SOFT_BYTES (8u << 20) /* a batch is closed when it has become this large */
#define NUMBER_BYTES 64u /* of one component in an answer, with the white space of pretty printing */
#define ANSWER_EXTRA_BYTES (256u << 10)
#define WORDS_SHOWN 240 /* bytes of the endpoint's own message */

struct openai {
    cairn_embedder embedder; /* first: cairn_embedder_free frees this block by it */
    struct crn_http_client *client;
    char *url;
    char *model;
    char *authorization; /* the header's value; NULL = none */
    const char *api_key; /* within it */
    uint32_t batch;
    uint32_t timeout_ms;
    uint32_t retries;
};

/* ---- one request ---- */

/* An endpoint may quote the key it was sent; our messages may not. */
static void hide_key(char *text, const char *key)
{
    if (key == NULL) return;
    for (char *at = strstr(text, key); at != NULL; at = strstr(at, key)) memset(at, '*', strlen(key));
}

static void sleep_ms(uint32_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* What the endpoint asks for, and on top of it half to all of a pause that doubles with each try, so that
 * many clients that failed together do not come back together. */
static uint32_t pause_ms(uint32_t tries, uint32_t retry_after_s)
{
    uint32_t own = tries < 6 ? PAUSE_FIRST_MS << (tries - 1) : PAUSE_MAX_MS;
    unsigned char random[16];

    crn_rng_entropy(random);
    return retry_after_s * 1000 + own / 2 + own * random[0] / 512;
}

static bool is_success(int http_status)
{
    return http_status >= 200 && http_status < 300;
}

/* Is this a failure that may pass by itself? */
static bool worth_another_try(cairn_status sent, const struct crn_http_response *response)
{
    if (sent != CAIRN_OK) return sent == CAIRN_IO;
    return (response->status == 429 || response->status >= 500) &&
           response->retry_after_s <= RETRY_AFTER_MAX_S;
}

static cairn_status http_error(const struct openai *self, const struct crn_http_response *response,
                               uint32_t tries, cairn_error *err)
{
    char url[100], words[WORDS_SHOWN], wait[48] = "";

    crn_http_url_print(self->url, url, sizeof url);
    crn_openai_read_error(&response->body, words, sizeof words);
    hide_key(words, self->api_key);
    if (response->retry_after_s > 0) {
        snprintf(wait, sizeof wait, ", asks for a pause of %" PRIu32 " s", response->retry_after_s);
    }
    return crn_error_set(err, CAIRN_EMBEDDER, "%s answers HTTP %d (tries: %" PRIu32 ")%s: %s", url,
                         response->status, tries, wait, words);
}

/* Sends the request until it is answered with success or the tries are used up. After OK the response is the
 * caller's to release. */
static cairn_status exchange(struct openai *self, const struct crn_buf *body, size_t answer_max_bytes,
                             struct crn_http_response *out_response, cairn_error *err)
{
    const struct crn_http_header headers[] = {
        {"Content-Type", "application/json"},
        {"Authorization", self->authorization},
    };
    const struct crn_http_request request = {
        .method = "POST",
        .url = self->url,
        .headers = headers,
        .header_count = self->authorization != NULL ? 2 : 1,
        .body = body->data,
        .body_len = body->len,
        .timeout_ms = self->timeout_ms,
        .response_max_bytes = answer_max_bytes,
    };
    cairn_error reason;

    for (uint32_t tries = 1;; tries++) {
        cairn_status sent = crn_http_send(self->client, &request, out_response, &reason);
        if (sent == CAIRN_OK && is_success(out_response->status)) return CAIRN_OK;

        if (tries > self->retries || !worth_another_try(sent, out_response)) {
            if (sent == CAIRN_NO_MEMORY) return crn_error_set(err, sent, "%s", reason.message);
            if (sent != CAIRN_OK) {
                return crn_error_set(err, CAIRN_EMBEDDER, "%s (tries: %" PRIu32 ")", reason.message, tries);
            }
            http_error(self, out_response, tries, err);
            crn_http_response_release(out_response);
            return CAIRN_EMBEDDER;
        }
        uint32_t pause = pause_ms(tries, sent == CAIRN_OK ? out_response->retry_after_s : 0);
        if (sent == CAIRN_OK) crn_http_response_release(out_response);
        sleep_ms(pause);
    }
}

/* Sends the first texts of [count] and gets the answer to *out_taken of them. `dim` bounds its size. */
static cairn_status request_batch(struct openai *self, const char *const *texts, size_t count, uint32_t dim,
                                  size_t *out_taken, struct crn_http_response *out_response, cairn_error *err)
{
    struct crn_buf body;
    cairn_status status;

    crn_buf_init(&body, SIZE_MAX);
    *out_taken = crn_openai_write(&body, self->model, texts, count, REQUEST_SOFT_BYTES);
    if (body.failed != CAIRN_OK) {
        status = crn_error_no_memory(err, body.len);
    } else {
        /* 4096 * 65536 * 64 at most: far from overflowing. */
        size_t answer_max_bytes = ANSWER_EXTRA_BYTES + *out_taken * ((size_t)dim * NUMBER_BYTES + 1024);
        status = exchange(self, &body, answer_max_bytes, out_response, err);
    }
    crn_buf_release(&body);
    return status;
}

/* ---- the embedder ---- */

static cairn_status openai_embed(void *ctx, const char *const *texts, size_t count, float *out_vectors,
                                 cairn_error *err)
{
    struct openai *self = ctx;
    const uint32_t dim = self->embedder.dim;
    struct crn_http_response response;
    size_t len, taken;

    for (size_t i = 0; i < count; i++) CRN_TRY(crn_embedder_text_check(texts, i, &len, err));

    for (size_t done = 0; done < count; done += taken) {
        size_t wanted = count - done < self->batch ? count - done : self->batch;
        CRN_TRY(request_batch(self, texts + done, wanted, dim, &taken, &response, err));
        cairn_status status = crn_openai_read(&response.body, taken, dim, out_vectors + done * dim, err);
        crn_http_response_release(&response);
        if (status != CAIRN_OK) return crn_error_context(err, status, "model \"%s\"", self->model);
    }
    return CAIRN_OK;
}

static cairn_status ask_dim(struct openai *self, cairn_error *err)
{
    const char *const probe[] = {"dimension"};
    struct crn_http_response response;
    size_t taken;

    CRN_TRY(request_batch(self, probe, 1, CAIRN_DIM_MAX, &taken, &response, err));
    cairn_status status = crn_openai_read_dim(&response.body, &self->embedder.dim, err);
    crn_http_response_release(&response);
    if (status != CAIRN_OK) return crn_error_context(err, status, "model \"%s\"", self->model);
    return CAIRN_OK;
}

static void openai_release(void *ctx)
{
    struct openai *self = ctx;

    crn_http_client_free(self->client);
    crn_mem_free(self->url);
    crn_mem_free(self->model);
    crn_mem_free(self->authorization);
}

/* ---- options ---- */

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return true;
    }
    return false;
}

static cairn_status check_strings(const cairn_openai_options *options, cairn_error *err)
{
    if (options->url == NULL)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the endpoint's url is missing");
    CRN_TRY(crn_http_url_check(options->url, err));

    const char *model = options->model;
    if (model == NULL || *model == '\0') {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the model's name is missing");
    }
    if (strlen(model) > CAIRN_NAME_MAX || has_control(model)) {
        return crn_error_set(
            err, CAIRN_INVALID_ARGUMENT,
            "the model's name \"%.40s\" is longer than %u bytes or holds a control character", model,
            CAIRN_NAME_MAX);
    }
    if (crn_utf8_valid(model, strlen(model)) < strlen(model)) {
        return crn_error_set(err, CAIRN_INVALID_UTF8, "the model's name \"%s\" is not valid UTF-8", model);
    }
    if (options->api_key != NULL && (*options->api_key == '\0' || has_control(options->api_key))) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "the API key is empty or holds a control character; give NULL for none");
    }
    return CAIRN_OK;
}

static cairn_status check_number(const char *what, uint32_t value, uint32_t max, cairn_error *err)
{
    if (value <= max) return CAIRN_OK;
    return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s is %" PRIu32 ", at most %" PRIu32 " is allowed",
                         what, value, max);
}

static cairn_status check_options(const cairn_openai_options *options, cairn_error *err)
{
    if (options == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the options are missing");
    if (options->size != sizeof *options) {
        return crn_error_set(
            err, CAIRN_INVALID_OPTION,
            "cairn_openai_options.size is %zu, this library (%s) knows %zu: use CAIRN_OPTIONS", options->size,
            cairn_version(), sizeof *options);
    }
    CRN_TRY(check_strings(options, err));
    CRN_TRY(check_number("dim", options->dim, CAIRN_DIM_MAX, err));
    CRN_TRY(check_number("batch", options->batch, BATCH_MAX, err));
    return check_number("retries", options->retries, RETRIES_MAX, err);
}

/* Copies what the options lend. */
static cairn_status copy_options(struct openai *self, const cairn_openai_options *options, cairn_error *err)
{
    self->batch = options->batch != 0 ? options->batch : BATCH_DEFAULT;
    self->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : TIMEOUT_DEFAULT_MS;
    self->retries = options->retries != 0 ? options->retries : RETRIES_DEFAULT;
    self->url = crn_mem_strdup(options->url);
    self->model = crn_mem_strdup(options->model);
    if (options->api_key != NULL) {
        struct crn_buf value;
        crn_buf_init(&value, SIZE_MAX);
        crn_buf_printf(&value, "Bearer %s", options->api_key);
        self->authorization = crn_buf_take(&value);
        if (self->authorization == NULL) return crn_error_no_memory(err, strlen(options->api_key));
        self->api_key = self->authorization + strlen("Bearer ");
    }
    if (self->url == NULL || self->model == NULL) return crn_error_no_memory(err, strlen(options->url));
    return CAIRN_OK;
}

cairn_status cairn_embedder_openai(const cairn_openai_options *options, cairn_embedder **out_embedder,
                                   cairn_error *err)
{
    if (out_embedder == NULL) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "out_embedder is NULL");
    *out_embedder = NULL;
    CRN_TRY(check_options(options, err));
    struct openai *self = crn_mem_calloc(1, sizeof *self);
    if (self == NULL) return crn_error_no_memory(err, sizeof *self);

    cairn_status status = copy_options(self, options, err);
    if (status != CAIRN_OK) goto done;
    self->embedder = (cairn_embedder){
        .size = sizeof self->embedder,
        .ctx = self,
        .model = self->model,
        .dim = options->dim,
        .embed = openai_embed,
        .free = openai_release,
    };
    status = crn_http_client_create(&self->client, err);
    if (status != CAIRN_OK) goto done;
    if (self->embedder.dim == 0) status = ask_dim(self, err);

done:
    if (status != CAIRN_OK) {
        openai_release(self);
        crn_mem_free(self);
        return status;
    }
    *out_embedder = &self->embedder;
    return CAIRN_OK;
}
