/* The compiled kernels, as they are, in the read-only data: CRN_GPU_FATBIN names the file. */
    .section .rodata
    .global crn_gpu_fatbin
    .hidden crn_gpu_fatbin
    .balign 16
crn_gpu_fatbin:
    .incbin CRN_GPU_FATBIN
    .byte 0
    .section .note.GNU-stack, "", %progbits
