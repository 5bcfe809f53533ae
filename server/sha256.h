/* SHA-256 of texts and files, as hexadecimal digits. */
#ifndef CRN_SERVER_SHA256_H
#define CRN_SERVER_SHA256_H

#include <stdbool.h>
#include <stddef.h>

#define CRN_SHA256_TEXT 65u /* with its NUL */

bool crn_sha256_text(const char *text, size_t length, char out[CRN_SHA256_TEXT]);
bool crn_sha256_file(const char *path, char out[CRN_SHA256_TEXT]); /* false: it cannot be read */

#endif
