/* Any bytes as a .npy file for import. */
#include "tests/fuzz/fuzz_import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_import(&crn_cli_format_npy, data, size);
}
