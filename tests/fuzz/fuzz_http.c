/*
 * Any bytes as what a connection brings, read whole and in pieces: both must give the same requests and the
 * same end. The pieces follow from the bytes.
 */
#include "base/hash.h"
#include "tests/server/parse.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct crn_http_limits limits = {
        .request_line_bytes = 300, .header_bytes = 400, .header_count = 8, .body_bytes = 100};
    struct crn_buf whole, cut;
    struct crn_rng rng;

    crn_rng_init(&rng, crn_hash64(data, size, 0));
    crn_buf_init(&whole, 1u << 24);
    crn_buf_init(&cut, 1u << 24);
    parse_all(&limits, (const char *)data, size, NULL, &whole);
    parse_all(&limits, (const char *)data, size, &rng, &cut);
    if (whole.len != cut.len || (whole.len > 0 && memcmp(whole.data, cut.data, whole.len) != 0)) abort();
    crn_buf_release(&whole);
    crn_buf_release(&cut);
    return 0;
}
