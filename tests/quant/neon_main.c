/* The checks of kernels, rotation and graph rows as a program without a test framework, for an ARM build run by an emulator
 * (neon.sh). */
#include "tests/quant/graph_row_checks.h"
#include "tests/quant/kernel_checks.h"
#include "tests/quant/lookup_checks.h"
#include "tests/quant/rotation_digest.h"

#include <inttypes.h>
#include <stdio.h>

int main(void)
{
    const struct crn_kernels *kernels = crn_kernels_for(CRN_CPU_NEON);
    unsigned failures, row_failures;

    if (kernels == NULL || crn_graph_kernels_get() != &crn_graph_kernels_neon) {
        fputs("no table for NEON\n", stderr);
        return 1;
    }
    failures = check_kernels(kernels, 1, false) + check_lookup(crn_lookup_for(CRN_CPU_NEON), 1);
    printf("%s: %u failures\n", kernels->name, failures);
    row_failures = 0;
#if !defined(__ARM_FEATURE_DOTPROD) /* of no use to them: once is enough */
    row_failures =
        check_graph_rows(&graph_row_form_plain, 1, false) + check_graph_rows(&graph_row_form_neon, 1, false);
#endif
    printf("graph rows: %u failures\n", row_failures);
    const uint64_t digest = rotation_digest(crn_rotate);
    printf("rotation: digest %016" PRIx64 ", expected %016" PRIx64 "\n", digest, ROTATION_DIGEST);
    return failures == 0 && row_failures == 0 && digest == ROTATION_DIGEST ? 0 : 1;
}
