/* XXH3-64 with a seed, compiled from xxHash's header into this file, so that nothing links to libxxhash. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct crn_hash), "crn_hash holds the state of this xxHash");
_Static_assert(_Alignof(XXH3_state_t) <= _Alignof(struct crn_hash), "crn_hash is aligned for this xxHash");

uint64_t crn_hash64(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

void crn_hash_init(struct crn_hash *hash, uint64_t seed)
{
    XXH3_state_t *state = (XXH3_state_t *)hash->opaque;

    /* The reset trusts a secret that is there when the old seed equals the new one: with the caller's
     * uninitialized memory that would be luck. */
    XXH3_INITSTATE(state);
    XXH3_64bits_reset_withSeed(state, seed);
}

void crn_hash_update(struct crn_hash *hash, const void *data, size_t len)
{
    if (len > 0) XXH3_64bits_update((XXH3_state_t *)hash->opaque, data, len);
}

uint64_t crn_hash_final(const struct crn_hash *hash)
{
    return XXH3_64bits_digest((const XXH3_state_t *)hash->opaque);
}
