/* The kernel checks as a program without a test framework, for an ARM build run by an emulator (neon.sh). */
#include "tests/quant/kernel_checks.h"
#include "tests/quant/lookup_checks.h"

#include <stdio.h>

int main(void)
{
    const struct crn_kernels *kernels = crn_kernels_for(CRN_CPU_NEON);
    unsigned failures;

    if (kernels == NULL) {
        fputs("no table for NEON\n", stderr);
        return 1;
    }
    failures = check_kernels(kernels, 1, false) + check_lookup(crn_lookup_for(CRN_CPU_NEON), 1);
    printf("%s: %u failures\n", kernels->name, failures);
    return failures == 0 ? 0 : 1;
}
