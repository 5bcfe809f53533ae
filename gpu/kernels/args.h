/*
 * What kernels are told, in C and C++: one struct by value for each kind of kernel. Pointers are the device's.
 *
 * A candidate is a key: the distance, as an unsigned number that sorts like it, above the row's label. Smaller is nearer,
 * ties go to the smaller label, and no two keys are equal.
 */
#ifndef CRN_GPU_KERNELS_ARGS_H
#define CRN_GPU_KERNELS_ARGS_H

#include <stdint.h>

#define CRN_GPU_TILE 256u        /* rows that a block takes at a time */
#define CRN_GPU_BLOCK_BYTES 128u /* of each row that tensor kernels take at a time */
#define CRN_GPU_SORT_MOST 4096u  /* keys that one block sorts */
#define CRN_GPU_HOPPER_QUERIES 128u
#define CRN_GPU_HOPPER_STAGES 4u

/* Rows of a list for several queries (IVF). */
struct crn_gpu_work {
    uint32_t row, rows;      /* rows <= CRN_GPU_TILE */
    uint32_t query, queries; /* places in query_ids; queries <= those a block of the kernel takes */
};

struct crn_gpu_scan_args {
    const void *rows;                /* [row_count][pitch] */
    const float *scale;              /* [row_count]; NULL: uniform_scale */
    const float *bias;               /* [row_count]; NULL: 0 */
    const uint32_t *dead;            /* bit r: row r is deleted; NULL: none */
    const uint32_t *allow;           /* bit l: label l may be found; NULL: all */
    const void *queries;             /* [batch][pitch] */
    const float *query_scale;        /* [batch]; NULL: 1 */
    uint64_t *keys;                  /* [batch][capacity] */
    uint32_t *counts;                /* [batch] keys found: those beyond the capacity are lost */
    const uint64_t *limits;          /* [batch] only smaller keys are wanted */
    const struct crn_gpu_work *work; /* NULL: tiles of all rows, for all queries */
    const uint32_t *query_ids;       /* of work */
    uint64_t allow_stride;           /* words from one query's bitmap to the next; 0: one for all */
    float uniform_scale;
    uint32_t row_count, pitch, batch, capacity;
    uint32_t first_label;          /* of row 0; a multiple of 32 where allow is given */
    uint32_t bits;                 /* 1-bit rows: their dimension */
    uint32_t tile_begin, tile_end; /* tiles in the order of crn_gpu_tile; with work: items */
    uint32_t tile_count, tile_stride;
    uint32_t lanes; /* narrow kernels: threads a row, 4 to 32 */
    uint32_t stages,
        resident; /* tensor kernels: blocks of rows in flight; the queries stay in shared memory */
};

/* A matrix that the tensor memory accelerator reads in boxes of CRN_GPU_BLOCK_BYTES; filled in by the driver. */
struct crn_gpu_map {
#ifdef __cplusplus
    alignas(64)
#else
    _Alignas(64)
#endif
        uint64_t opaque[16];
};

struct crn_gpu_hopper_args {
    struct crn_gpu_map row_map, query_map;
    struct crn_gpu_scan_args scan;
};

struct crn_gpu_select_args {
    uint64_t *keys;     /* [batch][capacity] */
    uint32_t *counts;   /* [batch] */
    uint64_t *limits;   /* [batch] becomes the k-th key where there are k */
    uint32_t *overflow; /* [batch] set to 1 where keys were lost */
    uint64_t *out;      /* [batch][k]: NULL, or the k keys in order, filled up with UINT64_MAX */
    uint32_t batch, capacity, k;
};

/* Where rows lie, for kernels that go by label. */
struct crn_gpu_slab_rows {
    const void *rows;
    uint32_t first_label, row_count;
};

struct crn_gpu_rescore_args {
    struct crn_gpu_select_args select; /* k: of the candidates that were kept; out: NULL */
    const struct crn_gpu_slab_rows *slabs;
    const void *queries;
    const float *margin; /* [batch] how far a candidate's distance may be off */
    uint64_t *out;       /* [batch][k] */
    uint32_t *doubtful;  /* [batch] set to 1 where a row that was no candidate may be among the k nearest */
    uint32_t slab_count, pitch, k;
    uint32_t l2; /* 0: minus the dot product */
};

/* Made-up rows for benchmarks, the same that gpu/bench/baseline.py makes. */
struct crn_gpu_fill_args {
    void *rows;
    uint64_t first_row;
    uint32_t row_count, dim, pitch, seed;
};

#endif
