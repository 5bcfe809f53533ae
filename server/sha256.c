#include "server/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>

static void print(const unsigned char *bytes, char *out)
{
    for (size_t i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

bool crn_sha256_text(const char *text, size_t length, char out[CRN_SHA256_TEXT])
{
    unsigned char hash[32];

    if (EVP_Digest(text, length, hash, NULL, EVP_sha256(), NULL) != 1) return false;
    print(hash, out);
    return true;
}

bool crn_sha256_file(const char *path, char out[CRN_SHA256_TEXT])
{
    unsigned char hash[32];
    char bytes[65536];
    size_t got;

    FILE *file = fopen(path, "re");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = file != NULL && context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    while (done && (got = fread(bytes, 1, sizeof bytes, file)) > 0)
        done = EVP_DigestUpdate(context, bytes, got) == 1;
    done = done && !ferror(file) && EVP_DigestFinal_ex(context, hash, NULL) == 1;
    if (done) print(hash, out);
    EVP_MD_CTX_free(context);
    if (file != NULL) fclose(file);
    return done;
}
