/*
 * The dialect behind a pipe, for tests by real clients without a socket: each line "METHOD path length" is followed by so many bytes
 * of body; each answer is a line "status length" and so many bytes. The one argument is the database's path.
 */
#include "server/qdrant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_MAX 16

static enum crn_method method_of(const char *name)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) return (enum crn_method)i;
    }
    return CRN_OPTIONS;
}

static struct crn_text decoded(char *text, size_t length)
{
    size_t out = 0;

    for (size_t i = 0; i < length; i++) {
        char hex[3] = {0};
        if (text[i] == '%' && i + 2 < length) {
            memcpy(hex, text + i + 1, 2);
            text[out++] = (char)strtol(hex, NULL, 16);
            i += 2;
        } else {
            text[out++] = text[i];
        }
    }
    return (struct crn_text){text, out};
}

static void answer(struct crn_qdrant *qdrant, const char *method, char *path, struct crn_text body)
{
    struct crn_text segments[PIECES_MAX];
    struct crn_field parameters[PIECES_MAX];
    struct crn_request request = {.method = method_of(method),
                                  .segments = segments,
                                  .parameters = parameters,
                                  .body = body,
                                  .id = "pipe",
                                  .principal = {.role = CRN_ROLE_ADMIN, .name = ""}};
    struct crn_answer answer = {.status = 200};
    char *query = strchr(path, '?');

    if (query != NULL) *query++ = '\0';
    for (char *at = path; *at != '\0' && request.segment_count < PIECES_MAX;) {
        const size_t length = strcspn(at, "/");
        char *next = at + length + (at[length] == '/');
        if (length > 0) segments[request.segment_count++] = decoded(at, length);
        at = next;
    }
    for (char *at = query; at != NULL && *at != '\0' && request.parameter_count < PIECES_MAX;) {
        const size_t length = strcspn(at, "&"), name = strcspn(at, "=&");
        char *next = at + length + (at[length] == '&');
        parameters[request.parameter_count++] =
            (struct crn_field){{at, name}, {at + name + (name < length), length - name - (name < length)}};
        at = next;
    }
    crn_buf_init(&answer.body, SIZE_MAX / 2);
    crn_qdrant_handle(qdrant, &request, &answer);
    printf("%u %zu\n", answer.status, answer.body.len);
    fwrite(answer.body.data, 1, answer.body.len, stdout);
    fflush(stdout);
    crn_buf_release(&answer.body);
}

int main(int argc, char **argv)
{
    static char path[8192];
    struct crn_qdrant *qdrant = NULL;
    cairn_db *db = NULL;
    cairn_error err = {0};
    char method[16];
    size_t length;

    if (argc != 2 || cairn_open(argv[1], NULL, &db, &err) != CAIRN_OK ||
        crn_qdrant_open(db, NULL, &qdrant, &err) != CAIRN_OK) {
        fprintf(stderr, "usage: qdrant_pipe DATABASE (%s)\n", err.message);
        return 1;
    }
    while (scanf("%15s %8191s %zu", method, path, &length) == 3 && getchar() == '\n') {
        char *body = malloc(length + 1);
        if (body == NULL || fread(body, 1, length, stdin) != length) {
            free(body);
            break;
        }
        answer(qdrant, method, path, (struct crn_text){body, length});
        free(body);
    }
    crn_qdrant_close(qdrant);
    cairn_close(db);
    return 0;
}
