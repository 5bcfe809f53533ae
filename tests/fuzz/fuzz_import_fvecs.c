/* Any bytes as a .fvecs file for import. */
#include "tests/fuzz/fuzz_import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_import(&crn_cli_format_fvecs, data, size);
}
