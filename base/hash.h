/* XXH3: checksums and hashing. The only user of xxHash. Stable over releases: files on disk depend on it. */
#ifndef CRN_BASE_HASH_H
#define CRN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t crn_hash64(const void *data, size_t len, uint64_t seed);

/* Several pieces as one message. Fields are length-prefixed by the caller where needed. */
struct crn_hash {
    _Alignas(64) unsigned char opaque[640];
};
void crn_hash_init(struct crn_hash *hash, uint64_t seed);
void crn_hash_update(struct crn_hash *hash, const void *data, size_t len);
uint64_t crn_hash_final(const struct crn_hash *hash);

#endif
