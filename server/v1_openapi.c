/* GET /cairn/v1/openapi.json: the file server/openapi.json, put into the program by the assembler. */
#include "server/v1_internal.h"

__asm__(".section .rodata\n"
        ".global crn_v1_openapi_begin\n"
        ".global crn_v1_openapi_end\n"
        "crn_v1_openapi_begin:\n"
        ".incbin \"" CRN_V1_OPENAPI_FILE "\"\n"
        "crn_v1_openapi_end:\n"
        ".previous\n");

extern const char crn_v1_openapi_begin[], crn_v1_openapi_end[];

bool crn_v1_openapi(struct crn_v1_call *call)
{
    crn_buf_append(call->out, crn_v1_openapi_begin, (size_t)(crn_v1_openapi_end - crn_v1_openapi_begin));
    return true;
}
