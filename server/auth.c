/* The keys file, and finding a key by its hash. OpenSSL hashes, compares and gives the random bits. */
#include "server/auth.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "server/http_parser.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define HASH_BYTES 32u
#define KEYS_MAX 10000u
#define LOOK_EVERY_NS 1000000000u
#define NAME_MAX_BYTES 64u
#define KEY_PREFIX "cairn_"

struct key {
    unsigned char hash[HASH_BYTES];
    struct crn_principal principal;
    char name[NAME_MAX_BYTES + 1];
    char *collection_names; /* one block, which principal.collections points into */
    const char **collections;
};

struct crn_auth {
    struct key **keys;
    size_t count;
    struct key **retired; /* no longer in the file; requests that began with them may be under way */
    size_t retired_count;
    char *path;
    struct stat seen; /* of the file when it was read last */
    uint64_t looked_ns;
};

static const char *const role_names[] = {
    [CRN_ROLE_NONE] = "", [CRN_ROLE_READ] = "read", [CRN_ROLE_WRITE] = "write", [CRN_ROLE_ADMIN] = "admin"};

const char *crn_role_name(enum crn_role role)
{
    return role_names[role];
}

static enum crn_role role_of(const char *word)
{
    for (int role = CRN_ROLE_READ; role <= CRN_ROLE_ADMIN; role++) {
        if (strcmp(word, role_names[role]) == 0) return (enum crn_role)role;
    }
    return CRN_ROLE_NONE;
}

static bool hash_text(const char *text, size_t len, unsigned char out[HASH_BYTES])
{
    return EVP_Digest(text, len, out, NULL, EVP_sha256(), NULL) == 1;
}

static bool read_hash(const char *word, unsigned char out[HASH_BYTES])
{
    if (strlen(word) != 2 * HASH_BYTES || strspn(word, "0123456789abcdefABCDEF") != 2 * HASH_BYTES)
        return false;
    for (size_t i = 0; i < HASH_BYTES; i++) {
        unsigned byte;
        if (sscanf(word + 2 * i, "%2x", &byte) != 1) return false;
        out[i] = (unsigned char)byte;
    }
    return true;
}

static bool is_name(const char *name)
{
    const size_t len = strlen(name);

    return len > 0 && len <= NAME_MAX_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@") == len;
}

static void free_key(struct key *key)
{
    if (key == NULL) return;
    crn_mem_free(key->collection_names);
    crn_mem_free(key->collections);
    crn_mem_free(key);
}

/* "a,b" into pointers; false: no memory. */
static bool read_collections(struct key *key, const char *list)
{
    size_t count = 1;

    for (const char *c = list; *c != '\0'; c++) count += *c == ',';
    key->collection_names = crn_mem_strdup(list);
    key->collections = crn_mem_array(count, sizeof *key->collections);
    if (key->collection_names == NULL || key->collections == NULL) return false;
    count = 0;
    for (char *at = key->collection_names; at != NULL;) {
        char *comma = strchr(at, ',');
        if (comma != NULL) *comma = '\0';
        if (*at != '\0') key->collections[count++] = at;
        at = comma != NULL ? comma + 1 : NULL;
    }
    key->principal.collections = key->collections;
    key->principal.collection_count = count;
    return true;
}

/* Splits off the next word of a line; "" at its end. */
static char *next_word(char **at)
{
    char *word = *at + strspn(*at, " \t\r\n");

    *at = word + strcspn(word, " \t\r\n");
    if (**at != '\0') *(*at)++ = '\0';
    return word;
}

static cairn_status read_line(struct crn_auth *auth, char *line, const char *path, unsigned number,
                              cairn_error *err)
{
    char *at = line;
    const char *name = next_word(&at);
    if (name[0] == '\0' || name[0] == '#') return CAIRN_OK;
    const char *role = next_word(&at), *hash = next_word(&at), *collections = next_word(&at);

    struct key *key = crn_mem_calloc(1, sizeof *key);
    if (key == NULL) return crn_error_no_memory(err, sizeof *key);
    key->principal.role = role_of(role);
    const char *wrong = NULL;
    if (!is_name(name))
        wrong = "the name is not 1 to 64 letters, digits or -_.@";
    else if (key->principal.role == CRN_ROLE_NONE)
        wrong = "the role is not read, write or admin";
    else if (!read_hash(hash, key->hash))
        wrong = "the hash is not 64 hexadecimal digits";
    else if (*next_word(&at) != '\0')
        wrong = "there is more than name, role, hash and collections";
    else if (auth->count == KEYS_MAX)
        wrong = "there are too many keys";
    if (wrong != NULL) {
        free_key(key);
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s, line %u: %s", path, number, wrong);
    }
    snprintf(key->name, sizeof key->name, "%s", name);
    key->principal.name = key->name;
    struct key **grown = crn_mem_realloc_array(auth->keys, auth->count + 1, sizeof *grown);
    if (grown != NULL) auth->keys = grown;
    if (grown == NULL || (collections[0] != '\0' && !read_collections(key, collections))) {
        free_key(key);
        return crn_error_no_memory(err, (auth->count + 1) * sizeof *grown);
    }
    auth->keys[auth->count++] = key;
    return CAIRN_OK;
}

static cairn_status read_file(struct crn_auth *auth, FILE *file, const char *path, cairn_error *err)
{
    char line[8192];

    for (unsigned number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        if (strchr(line, '\n') == NULL && !feof(file)) {
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s, line %u: the line is too long", path,
                                 number);
        }
        CRN_TRY(read_line(auth, line, path, number, err));
    }
    if (ferror(file)) return crn_error_errno(err, errno, "cannot read", path);
    if (auth->count == 0) return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "%s holds no key", path);
    return CAIRN_OK;
}

cairn_status crn_auth_open(const char *path, struct crn_auth **out, cairn_error *err)
{
    struct crn_auth *auth = crn_mem_calloc(1, sizeof *auth);

    *out = NULL;
    if (auth == NULL) return crn_error_no_memory(err, sizeof *auth);
    auth->path = crn_mem_strdup(path);
    FILE *file = auth->path != NULL ? fopen(path, "re") : NULL;
    if (file != NULL) (void)fstat(fileno(file), &auth->seen);
    const cairn_status status = auth->path == NULL ? crn_error_no_memory(err, strlen(path))
                                : file != NULL     ? read_file(auth, file, path, err)
                                                   : crn_error_errno(err, errno, "cannot open", path);
    if (file != NULL) fclose(file);
    if (status != CAIRN_OK) {
        crn_auth_close(auth);
        return status;
    }
    *out = auth;
    return CAIRN_OK;
}

void crn_auth_close(struct crn_auth *auth)
{
    if (auth == NULL) return;
    for (size_t i = 0; i < auth->count; i++) free_key(auth->keys[i]);
    for (size_t i = 0; i < auth->retired_count; i++) free_key(auth->retired[i]);
    crn_mem_free(auth->keys);
    crn_mem_free(auth->retired);
    crn_mem_free(auth->path);
    crn_mem_free(auth);
}

/* ---- reading it again ---- */

static bool same_key(const struct key *a, const struct key *b)
{
    if (memcmp(a->hash, b->hash, HASH_BYTES) != 0 || a->principal.role != b->principal.role ||
        strcmp(a->name, b->name) != 0)
        return false;
    if ((a->principal.collections == NULL) != (b->principal.collections == NULL)) return false;
    if (a->principal.collection_count != b->principal.collection_count) return false;
    for (size_t i = 0; i < a->principal.collection_count; i++) {
        if (strcmp(a->principal.collections[i], b->principal.collections[i]) != 0) return false;
    }
    return true;
}

/* Keys that stay remain the same objects, so that only what really changes is kept beside them until the end. Files mostly keep their
 * order, so each search begins behind the last find. */
static void adopt(struct crn_auth *auth, struct crn_auth *fresh)
{
    size_t at = 0;

    for (size_t i = 0; i < fresh->count; i++) {
        for (size_t tried = 0; tried < auth->count; tried++, at++) {
            struct key **old = &auth->keys[at % auth->count];
            if (*old == NULL || !same_key(*old, fresh->keys[i])) continue;
            free_key(fresh->keys[i]);
            fresh->keys[i] = *old;
            *old = NULL;
            break;
        }
    }
    for (size_t i = 0; i < auth->count; i++) {
        if (auth->keys[i] != NULL) auth->retired[auth->retired_count++] = auth->keys[i];
    }
    crn_mem_free(auth->keys);
    auth->keys = fresh->keys;
    auth->count = fresh->count;
    fresh->keys = NULL;
    fresh->count = 0;
}

static bool has_changed(const struct stat *a, const struct stat *b)
{
    return a->st_ino != b->st_ino || a->st_dev != b->st_dev || a->st_size != b->st_size ||
           a->st_mtim.tv_sec != b->st_mtim.tv_sec || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

void crn_auth_refresh(struct crn_auth *auth, bool at_once, const struct crn_log *log)
{
    const uint64_t now_ns = crn_clock_ns();
    struct stat now = {0};
    struct crn_auth *fresh;
    cairn_error err;

    if (!at_once && now_ns - auth->looked_ns < LOOK_EVERY_NS) return;
    auth->looked_ns = now_ns;
    (void)stat(auth->path, &now); /* a file that is gone is another one, too */
    if (!at_once && !has_changed(&now, &auth->seen)) return;
    auth->seen = now;
    if (crn_auth_open(auth->path, &fresh, &err) != CAIRN_OK) {
        crn_log(log, CAIRN_LOG_ERROR, "the keys stay as they were: %s", err.message);
        return;
    }
    struct key **room =
        crn_mem_realloc_array(auth->retired, auth->retired_count + auth->count, sizeof(struct key *));
    if (room == NULL) {
        crn_log(log, CAIRN_LOG_ERROR, "the keys stay as they were: no memory for %zu keys", auth->count);
    } else {
        auth->retired = room;
        auth->seen = fresh->seen;
        adopt(auth, fresh);
        crn_log(log, CAIRN_LOG_INFO, "{\"event\":\"keys\",\"count\":%zu}", auth->count);
    }
    crn_auth_close(fresh);
}

static struct crn_text key_of(const struct crn_request *request)
{
    const struct crn_text *key = crn_http_header(request, "api-key");
    if (key != NULL) return *key;

    const struct crn_text *authorization = crn_http_header(request, "authorization");
    if (authorization == NULL || authorization->length < 7 ||
        strncasecmp(authorization->data, "Bearer ", 7) != 0) {
        return (struct crn_text){"", 0};
    }
    return (struct crn_text){authorization->data + 7, authorization->length - 7};
}

bool crn_auth_find(const struct crn_auth *auth, const struct crn_request *request, struct crn_principal *out)
{
    const struct crn_text given = key_of(request);
    unsigned char hash[HASH_BYTES];
    const struct key *found = NULL;

    if (given.length == 0 || !hash_text(given.data, given.length, hash)) return false;
    for (size_t i = 0; i < auth->count; i++) {
        if (CRYPTO_memcmp(hash, auth->keys[i]->hash, HASH_BYTES) == 0) found = auth->keys[i];
    }
    if (found != NULL) *out = found->principal;
    return found != NULL;
}

static void print_hex(const unsigned char *bytes, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

cairn_status crn_auth_new_key(const char *name, const char *role, const char *collections,
                              char key[CRN_AUTH_KEY_MAX], char line[CRN_AUTH_LINE_MAX], cairn_error *err)
{
    unsigned char bits[HASH_BYTES], hash[HASH_BYTES];
    char hex[2 * HASH_BYTES + 1];

    if (!is_name(name)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "a key's name has 1 to 64 letters, digits or -_.@, unlike '%s'", name);
    }
    if (role_of(role) == CRN_ROLE_NONE)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a key's role is read, write or admin, not '%s'",
                             role);
    if (collections != NULL && (strlen(collections) > 300 || strpbrk(collections, " \t\r\n") != NULL)) {
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT,
                             "a key's collections are up to 300 bytes, with commas and without blanks");
    }
    if (RAND_bytes(bits, sizeof bits) != 1)
        return crn_error_set(err, CAIRN_IO, "the system gives no random bits");
    print_hex(bits, sizeof bits, hex);
    snprintf(key, CRN_AUTH_KEY_MAX, KEY_PREFIX "%s", hex);
    if (!hash_text(key, strlen(key), hash))
        return crn_error_set(err, CAIRN_NO_MEMORY, "OpenSSL gives no SHA-256");
    print_hex(hash, sizeof hash, hex);
    snprintf(line, CRN_AUTH_LINE_MAX, "%s %s %s%s%s", name, role, hex, collections != NULL ? " " : "",
             collections != NULL ? collections : "");
    return CAIRN_OK;
}
