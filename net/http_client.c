/*
 * The HTTP client. A client is a stack of idle curl handles, each with its own open connections: a request
 * takes the one used last, or a new one, and puts it back, so that nothing is shared while a request runs.
 * The lock guards that stack and is never held over a request.
 */
#include "net/http_client.h"

#include "base/error.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define IDLE_MAX 16   /* handles kept; more threads than that make new connections */
#define URL_SHOWN 160 /* bytes of a URL in a message */

struct crn_http_client {
    pthread_mutex_t lock;
    CURL *idle[IDLE_MAX];
    size_t idle_count;
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_code;

/* Never undone: the host may use curl as well, and nobody can know when the last user is gone. */
static void init_global(void)
{
    global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

cairn_status crn_http_client_create(struct crn_http_client **out_client, cairn_error *err)
{
    *out_client = NULL;
    pthread_once(&global_once, init_global);
    if (global_code != CURLE_OK) {
        return crn_error_set(err, CAIRN_IO, "libcurl does not start: %s", curl_easy_strerror(global_code));
    }

    struct crn_http_client *client = crn_mem_calloc(1, sizeof *client);
    if (client == NULL) return crn_error_no_memory(err, sizeof *client);
    pthread_mutex_init(&client->lock, NULL);
    *out_client = client;
    return CAIRN_OK;
}

void crn_http_client_free(struct crn_http_client *client)
{
    if (client == NULL) return;
    for (size_t i = 0; i < client->idle_count; i++) curl_easy_cleanup(client->idle[i]);
    pthread_mutex_destroy(&client->lock);
    crn_mem_free(client);
}

static CURL *handle_take(struct crn_http_client *client)
{
    CURL *easy = NULL;

    pthread_mutex_lock(&client->lock);
    if (client->idle_count > 0) easy = client->idle[--client->idle_count];
    pthread_mutex_unlock(&client->lock);
    return easy != NULL ? easy : curl_easy_init();
}

static void handle_put_back(struct crn_http_client *client, CURL *easy)
{
    curl_easy_reset(easy); /* forgets options, the borrowed pointers among them; keeps connections */
    pthread_mutex_lock(&client->lock);
    if (client->idle_count < IDLE_MAX) {
        client->idle[client->idle_count++] = easy;
        easy = NULL;
    }
    pthread_mutex_unlock(&client->lock);
    if (easy != NULL) curl_easy_cleanup(easy);
}

/* Works by hand on any text, because a URL that does not parse may hold a password as well. */
void crn_http_url_print(const char *url, char *out, size_t size)
{
    size_t scheme_len = strcspn(url, ":/?#@");
    size_t start = strncmp(url + scheme_len, "://", 3) == 0 ? scheme_len + 3 : 0;
    size_t authority_end = start + strcspn(url + start, "/?#");
    size_t host = authority_end;

    while (host > start && url[host - 1] != '@') host--;
    snprintf(out, size, "%.*s%s%.*s", (int)start, url, host > start ? "***@" : "",
             (int)strcspn(url + host, "?#"), url + host);
}

cairn_status crn_http_url_check(const char *url, cairn_error *err)
{
    char shown[URL_SHOWN];
    char *scheme = NULL;
    cairn_status status = CAIRN_OK;
    CURLU *parsed = curl_url();

    if (parsed == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory to read a URL");
    crn_http_url_print(url, shown, sizeof shown);
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (code == CURLUE_OK) code = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
    if (code == CURLUE_OUT_OF_MEMORY) {
        status = crn_error_set(err, CAIRN_NO_MEMORY, "no memory to read the URL %s", shown);
    } else if (code != CURLUE_OK) {
        status = crn_error_set(err, CAIRN_INVALID_ARGUMENT, "\"%s\" is no URL: %s", shown,
                               curl_url_strerror(code));
    } else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        status = crn_error_set(err, CAIRN_INVALID_ARGUMENT, "\"%s\" is no http or https URL", shown);
    }
    curl_free(scheme);
    curl_url_cleanup(parsed);
    return status;
}

/* One more line for curl's list, which copies it. A line break would smuggle in further headers. */
static cairn_status headers_add(struct curl_slist **headers, const char *name, const char *value,
                                cairn_error *err)
{
    struct crn_buf line;
    cairn_status status = CAIRN_OK;

    if (name[strcspn(name, "\r\n:")] != '\0' || value[strcspn(value, "\r\n")] != '\0') {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "the header %s holds a line break", name);
    }
    crn_buf_init(&line, SIZE_MAX);
    crn_buf_printf(&line, "%s: %s", name, value);
    struct curl_slist *longer = line.failed == CAIRN_OK ? curl_slist_append(*headers, line.data) : NULL;
    if (longer == NULL) {
        status = crn_error_set(err, CAIRN_NO_MEMORY, "no memory for the header %s", name);
    } else {
        *headers = longer;
    }
    crn_buf_release(&line);
    return status;
}

static cairn_status make_headers(const struct crn_http_request *request, struct curl_slist **headers,
                                 cairn_error *err)
{
    for (size_t i = 0; i < request->header_count; i++) {
        CRN_TRY(headers_add(headers, request->headers[i].name, request->headers[i].value, err));
    }

    /* A name alone removes the header: without "Expect: 100-continue" a large body does not wait a second
     * for servers that never heard of it. */
    struct curl_slist *longer = curl_slist_append(*headers, "Expect:");
    if (longer == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for a request's headers");
    *headers = longer;
    return CAIRN_OK;
}

static size_t receive(char *data, size_t size, size_t count, void *body)
{
    return crn_buf_append(body, data, size * count) == CAIRN_OK ? size * count : 0;
}

#define SET(option, value)                                      \
    do {                                                        \
        CURLcode code_ = curl_easy_setopt(easy, option, value); \
        if (code_ != CURLE_OK) return code_;                    \
    } while (0)

/* Every answer is looked at: an option that is not in force, as of verification, must not pass unseen. */
static CURLcode set_options(CURL *easy, const struct crn_http_request *request, struct curl_slist *headers,
                            struct crn_buf *body, char error_text[CURL_ERROR_SIZE])
{
    SET(CURLOPT_ERRORBUFFER, error_text);
    SET(CURLOPT_NOSIGNAL, 1L); /* signals are the host's; names resolve in a thread of curl's */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    SET(CURLOPT_URL, request->url);
    if (request->body != NULL) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        SET(CURLOPT_POSTFIELDS, request->body); /* borrowed; also makes it a POST */
    }
    SET(CURLOPT_CUSTOMREQUEST, request->method);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_WRITEFUNCTION, receive);
    SET(CURLOPT_WRITEDATA, body);
    return CURLE_OK;
}

#undef SET

static cairn_status request_error(const struct crn_http_request *request, CURLcode code,
                                  const char *error_text, const struct crn_buf *body, cairn_error *err)
{
    const char *reason = error_text[0] != '\0' ? error_text : curl_easy_strerror(code);
    cairn_status status = CAIRN_IO;
    char shown[URL_SHOWN];

    crn_http_url_print(request->url, shown, sizeof shown);
    if (body->failed == CAIRN_LIMIT) {
        return crn_error_set(err, CAIRN_LIMIT, "%s %s: the answer is larger than %zu bytes", request->method,
                             shown, request->response_max_bytes);
    }
    if (code == CURLE_OPERATION_TIMEDOUT) status = CAIRN_TIMEOUT;
    if (code == CURLE_OUT_OF_MEMORY || body->failed != CAIRN_OK) status = CAIRN_NO_MEMORY;
    return crn_error_set(err, status, "%s %s: %s", request->method, shown, reason);
}

static void read_status(CURL *easy, struct crn_http_response *response)
{
    long http_status = 0;
    curl_off_t retry_after_s = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &http_status);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after_s); /* seconds or date, as seconds from now */
    if (retry_after_s < 0) retry_after_s = 0;
    response->status = (int)http_status;
    response->retry_after_s = retry_after_s > UINT32_MAX ? UINT32_MAX : (uint32_t)retry_after_s;
}

cairn_status crn_http_send(struct crn_http_client *client, const struct crn_http_request *request,
                           struct crn_http_response *out_response, cairn_error *err)
{
    char error_text[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    cairn_status status = CAIRN_OK;

    *out_response = (struct crn_http_response){0};
    CRN_TRY(crn_http_url_check(request->url, err));
    CURL *easy = handle_take(client);
    if (easy == NULL) return crn_error_set(err, CAIRN_NO_MEMORY, "no memory for an HTTP request");

    crn_buf_init(&out_response->body, request->response_max_bytes);
    status = make_headers(request, &headers, err);
    if (status != CAIRN_OK) goto done;
    CURLcode code = set_options(easy, request, headers, &out_response->body, error_text);
    if (code == CURLE_OK) code = curl_easy_perform(easy);
    if (code != CURLE_OK) {
        status = request_error(request, code, error_text, &out_response->body, err);
        goto done;
    }
    read_status(easy, out_response);

done:
    handle_put_back(client, easy);
    curl_slist_free_all(headers);
    if (status != CAIRN_OK) crn_http_response_release(out_response);
    return status;
}

void crn_http_response_release(struct crn_http_response *response)
{
    crn_buf_release(&response->body);
}
