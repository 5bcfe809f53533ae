/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef CRN_BASE_UTF8_H
#define CRN_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the longest valid prefix; equal to len when all is valid. */
size_t crn_utf8_valid(const char *text, size_t len);

/* Reads one code point at *pos (< len) of valid text and moves *pos behind it. */
uint32_t crn_utf8_next(const char *text, size_t len, size_t *pos);

/* Writes a code point, U+FFFD for what is none; returns its bytes, 1..4. */
size_t crn_utf8_put(uint32_t code, char out[4]);

/* Simple lower-casing of Latin, Greek, Cyrillic and Armenian letters (one code point to one); others stay. */
uint32_t crn_utf8_lower(uint32_t code);

/* Letters and digits of any script, and the marks that belong to letters. */
bool crn_utf8_is_alnum(uint32_t code);

#endif
