/*
 * Rows in slabs: on the card as long as the budget and its memory allow, then on the host. Appending fills the last slab, then
 * opens another, at least a quarter as large as all before it, because each costs a search launches of its own; what was appended
 * before never moves.
 */
#include "gpu/internal.h"

#include "base/error.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

#define BOUNCE_BYTES (16u << 20)
#define TILE_BYTES (256u << 20)
#define SLABS_MAX 4096u
#define ROWS_MAX (UINT32_MAX - CRN_GPU_TILE) /* labels, with one to spare */

static const struct crn_gpu_driver *driver_of(const struct crn_gpu_set *set)
{
    return set->gpu->driver;
}

static bool has_steps(const struct crn_gpu_set *set)
{
    return crn_gpu_has_steps(&set->encoder);
}

static bool has_bias(const struct crn_gpu_set *set)
{
    return set->options.metric == CRN_GPU_L2;
}

static size_t bytes_per_row(const struct crn_gpu_set *set)
{
    return set->pitch + (has_steps(set) ? sizeof(float) : 0) + (has_bias(set) ? sizeof(float) : 0);
}

static size_t round_rows(size_t rows)
{
    return (rows + CRN_GPU_TILE - 1) / CRN_GPU_TILE * CRN_GPU_TILE;
}

/* ---- slabs ---- */

static void free_slab(const struct crn_gpu_set *set, struct crn_gpu_slab *slab)
{
    void (*release)(struct crn_gpu_device *, void *) =
        slab->on_card ? driver_of(set)->free : driver_of(set)->host_free;

    release(set->gpu->device, slab->rows);
    release(set->gpu->device, slab->scale);
    release(set->gpu->device, slab->bias);
    driver_of(set)->free(set->gpu->device, slab->dead);
}

static cairn_status alloc_slab(const struct crn_gpu_set *set, size_t rows, bool on_card,
                               struct crn_gpu_slab *slab, cairn_error *err)
{
    cairn_status (*alloc)(struct crn_gpu_device *, size_t, void **, cairn_error *) =
        on_card ? driver_of(set)->alloc : driver_of(set)->host_alloc;
    void *parts[3] = {NULL};
    const size_t sizes[3] = {rows * set->pitch, has_steps(set) ? rows * sizeof(float) : 0,
                             has_bias(set) ? rows * sizeof(float) : 0};
    cairn_status status = CAIRN_OK;

    for (int i = 0; status == CAIRN_OK && i < 3; i++) {
        if (sizes[i] != 0) status = alloc(set->gpu->device, sizes[i], &parts[i], err);
    }
    *slab = (struct crn_gpu_slab){.rows = parts[0],
                                  .scale = parts[1],
                                  .bias = parts[2],
                                  .on_card = on_card,
                                  .first = set->count,
                                  .capacity = (uint32_t)rows};
    if (status != CAIRN_OK) free_slab(set, slab);
    return status;
}

/* On the card if `wanted` rows, or a part worth having, fit there; else on the host, a tile of them. With `ample` more rows than
 * wanted may be asked for, which are left out where they do not fit. */
static cairn_status open_slab(struct crn_gpu_set *set, size_t wanted, size_t ample,
                              struct crn_gpu_slab *out_slab, cairn_error *err)
{
    const size_t row_bytes = bytes_per_row(set),
                 tile_rows = round_rows(set->options.tile_bytes / row_bytes + 1);
    const size_t left = set->budget_bytes > set->device_bytes ? set->budget_bytes - set->device_bytes : 0;
    const bool moved_out = set->slab_count > 0 && !set->slabs[set->slab_count - 1].on_card;
    size_t rows = round_rows(ample);

    if (rows * row_bytes > left) rows = round_rows(wanted);
    if (rows * row_bytes > left && !set->options.device_only)
        rows = left / row_bytes / CRN_GPU_TILE * CRN_GPU_TILE;
    if (rows > 0 && rows * row_bytes <= left && !moved_out) {
        cairn_status status = alloc_slab(set, rows, true, out_slab, err);
        if (status == CAIRN_NO_MEMORY && rows > round_rows(wanted)) {
            rows = round_rows(wanted);
            status = alloc_slab(set, rows, true, out_slab, err);
        }
        if (status != CAIRN_NO_MEMORY || set->options.device_only) return status;
    }
    if (set->options.device_only) {
        return crn_error_set(err, CAIRN_NO_MEMORY,
                             "%zu rows of %zu bytes do not fit into the %zu bytes left on %s", wanted,
                             row_bytes, left, set->gpu->info.name);
    }
    rows = round_rows(ample) < tile_rows ? round_rows(ample) : tile_rows;
    return alloc_slab(set, rows, false, out_slab, err);
}

static cairn_status add_slab(struct crn_gpu_set *set, size_t wanted, cairn_error *err)
{
    const size_t least = set->count / 4,
                 ample = wanted < least && least < ROWS_MAX - set->count ? least : wanted;
    struct crn_gpu_slab slab;

    if (set->slab_count == SLABS_MAX)
        return crn_error_set(err, CAIRN_LIMIT, "a set of more than %u parts", SLABS_MAX);
    if (set->slab_count == set->slab_room) {
        const uint32_t room = set->slab_room == 0 ? 8 : set->slab_room * 2;
        struct crn_gpu_slab *slabs = crn_mem_realloc_array(set->slabs, room, sizeof *slabs);
        if (slabs == NULL) return crn_error_no_memory(err, room * sizeof *slabs);
        set->slabs = slabs;
        set->slab_room = room;
    }
    CRN_TRY(open_slab(set, wanted, ample, &slab, err));
    *(slab.on_card ? &set->device_bytes : &set->host_bytes) += slab.capacity * bytes_per_row(set);
    set->slabs[set->slab_count++] = slab;
    return CAIRN_OK;
}

/* ---- sets ---- */

static cairn_status create_parts(struct crn_gpu_set *set, cairn_error *err)
{
    size_t free_bytes;

    CRN_TRY(driver_of(set)->free_memory(set->gpu->device, &free_bytes, err));
    set->budget_bytes = set->options.device_bytes != 0 ? set->options.device_bytes : free_bytes / 10 * 9;
    return driver_of(set)->queue_create(set->gpu->device, &set->queue, err);
}

cairn_status crn_gpu_set_create(struct crn_gpu *gpu, const struct crn_gpu_set_options *options,
                                struct crn_gpu_set **out_set, cairn_error *err)
{
    if (options->dim == 0 || options->dim > 1u << 16)
        return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "a set of %u dimensions: 1 to 65536 are possible",
                             options->dim);
    struct crn_gpu_set *set = crn_mem_calloc(1, sizeof *set);
    if (set == NULL) return crn_error_no_memory(err, sizeof *set);
    set->gpu = gpu;
    set->options = *options;
    if (set->options.tile_bytes == 0) set->options.tile_bytes = TILE_BYTES;
    set->encoder = (struct crn_gpu_encoder){
        .codec = options->codec, .metric = options->metric, .dim = options->dim, .step = options->step};
    set->pitch = crn_gpu_pitch(options->codec, options->dim);
    const cairn_status status = create_parts(set, err);
    if (status != CAIRN_OK) {
        crn_gpu_set_free(set);
        return status;
    }
    *out_set = set;
    return CAIRN_OK;
}

void crn_gpu_set_free(struct crn_gpu_set *set)
{
    if (set == NULL) return;
    if (set->queue != NULL) driver_of(set)->queue_free(set->queue);
    for (uint32_t s = 0; s < set->slab_count; s++) free_slab(set, &set->slabs[s]);
    crn_mem_free(set->slabs);
    crn_mem_free(set->dead);
    crn_mem_free(set);
}

size_t crn_gpu_set_count(const struct crn_gpu_set *set)
{
    return set->count;
}

size_t crn_gpu_set_device_bytes(const struct crn_gpu_set *set)
{
    return set->device_bytes;
}

size_t crn_gpu_set_host_bytes(const struct crn_gpu_set *set)
{
    return set->host_bytes;
}

/* ---- append ---- */

/* Distances are scale * query's scale * sum + bias, and the sum is a dot product. */
static float sign_of(const struct crn_gpu_set *set)
{
    return has_bias(set) ? -2.0f : -1.0f;
}

struct arrays { /* where encoded rows are written: the bounce buffer, or the slab on the host */
    char *rows;
    float *scale, *bias;
};

static cairn_status encode_rows(struct crn_gpu_set *set, const float *vectors, size_t count,
                                const struct arrays *to, cairn_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct crn_gpu_encoded encoded;
        if (!crn_gpu_encode(&set->encoder, vectors + i * set->encoder.dim, to->rows + i * set->pitch,
                            &encoded)) {
            return crn_error_set(err, CAIRN_INVALID_VECTOR,
                                 "vector %zu of %zu is not finite, or beyond what the set's rows can hold", i,
                                 count);
        }
        if (to->scale != NULL) to->scale[i] = sign_of(set) * encoded.step;
        if (to->bias != NULL) to->bias[i] = encoded.norm2;
        const double norm = sqrt(encoded.norm2);
        if (norm > set->norm_most) set->norm_most = norm; /* stays where the append fails: only a bound */
    }
    return CAIRN_OK;
}

/* bounce: pinned memory for `step` rows and their factors. */
static cairn_status upload_rows(struct crn_gpu_set *set, struct crn_gpu_slab *slab, const float *vectors,
                                size_t count, void *bounce, size_t step, cairn_error *err)
{
    const struct crn_gpu_driver *driver = driver_of(set);

    for (size_t begin = 0; begin < count; begin += step) {
        const size_t rows = count - begin < step ? count - begin : step, at = slab->count + begin;
        struct arrays to = {.rows = bounce};
        float *floats = (float *)(void *)(to.rows + rows * set->pitch);
        if (slab->scale != NULL) to.scale = floats;
        if (slab->bias != NULL) to.bias = slab->scale != NULL ? floats + rows : floats;
        CRN_TRY(encode_rows(set, vectors + begin * set->encoder.dim, rows, &to, err));
        CRN_TRY(driver->upload(set->queue, slab->rows + at * set->pitch, to.rows, rows * set->pitch, err));
        if (to.scale != NULL)
            CRN_TRY(driver->upload(set->queue, slab->scale + at, to.scale, rows * sizeof(float), err));
        if (to.bias != NULL)
            CRN_TRY(driver->upload(set->queue, slab->bias + at, to.bias, rows * sizeof(float), err));
        CRN_TRY(driver->queue_wait(set->queue, err));
    }
    return CAIRN_OK;
}

static cairn_status append_on_card(struct crn_gpu_set *set, struct crn_gpu_slab *slab, const float *vectors,
                                   size_t count, cairn_error *err)
{
    const size_t most = BOUNCE_BYTES / bytes_per_row(set), step = count < most ? count : most;
    cairn_error ignored;
    void *bounce;

    CRN_TRY(driver_of(set)->host_alloc(set->gpu->device, step * bytes_per_row(set), &bounce, err));
    const cairn_status status = upload_rows(set, slab, vectors, count, bounce, step, err);
    if (status != CAIRN_OK)
        (void)!driver_of(set)->queue_wait(set->queue, &ignored); /* it may be read still */
    driver_of(set)->host_free(set->gpu->device, bounce);
    return status;
}

static cairn_status append_to_slab(struct crn_gpu_set *set, struct crn_gpu_slab *slab, const float *vectors,
                                   size_t count, cairn_error *err)
{
    if (slab->on_card) return append_on_card(set, slab, vectors, count, err);
    const struct arrays to = {.rows = slab->rows + (size_t)slab->count * set->pitch,
                              .scale = slab->scale == NULL ? NULL : slab->scale + slab->count,
                              .bias = slab->bias == NULL ? NULL : slab->bias + slab->count};
    return encode_rows(set, vectors, count, &to, err);
}

static cairn_status grow_dead(struct crn_gpu_set *set, size_t rows, cairn_error *err)
{
    const size_t words = round_rows(rows) / 32;

    if (words <= set->dead_words) return CAIRN_OK;
    uint32_t *dead = crn_mem_realloc_array(set->dead, words, sizeof *dead);
    if (dead == NULL) return crn_error_no_memory(err, words * sizeof *dead);
    memset(dead + set->dead_words, 0, (words - set->dead_words) * sizeof *dead);
    set->dead = dead;
    set->dead_words = words;
    return CAIRN_OK;
}

static cairn_status made_up(struct crn_gpu_set *set, struct crn_gpu_slab *slab, size_t count, uint32_t seed,
                            cairn_error *err)
{
    static const enum crn_gpu_kernel kernels[] = {CRN_GPU_fill_f32, CRN_GPU_fill_f16, CRN_GPU_fill_i8,
                                                  CRN_GPU_fill_b1};
    const struct crn_gpu_fill_args args = {.rows = slab->rows + (size_t)slab->count * set->pitch,
                                           .first_row = set->count,
                                           .row_count = (uint32_t)count,
                                           .dim = set->encoder.dim,
                                           .pitch = set->pitch,
                                           .seed = seed};

    if (!slab->on_card) return crn_error_set(err, CAIRN_NO_MEMORY, "made-up rows must fit onto the card");
    CRN_TRY(driver_of(set)->launch(set->queue, kernels[set->options.codec],
                                   set->gpu->info.multiprocessors * 8, 0, &args, err));
    return driver_of(set)->queue_wait(set->queue, err);
}

/* vectors: NULL for made-up ones. */
static cairn_status append_all(struct crn_gpu_set *set, const float *vectors, size_t count, uint32_t seed,
                               cairn_error *err)
{
    CRN_TRY(grow_dead(set, set->count + count, err));
    for (size_t begin = 0; begin < count;) {
        struct crn_gpu_slab *slab = set->slab_count == 0 ? NULL : &set->slabs[set->slab_count - 1];
        if (slab == NULL || slab->count == slab->capacity) {
            const size_t left = count - begin;
            const size_t wanted =
                set->count + left < set->options.reserve_rows ? set->options.reserve_rows - set->count : left;
            CRN_TRY(add_slab(set, wanted, err));
            slab = &set->slabs[set->slab_count - 1];
        }
        const size_t room = slab->capacity - slab->count, rows = count - begin < room ? count - begin : room;
        CRN_TRY(vectors == NULL ? made_up(set, slab, rows, seed, err)
                                : append_to_slab(set, slab, vectors + begin * set->encoder.dim, rows, err));
        slab->count += (uint32_t)rows;
        set->count += (uint32_t)rows;
        begin += rows;
    }
    return CAIRN_OK;
}

static cairn_status append(struct crn_gpu_set *set, const float *vectors, size_t count, uint32_t seed,
                           cairn_error *err)
{
    const uint32_t count_before = set->count, slabs_before = set->slab_count;
    const uint32_t last_before = slabs_before == 0 ? 0 : set->slabs[slabs_before - 1].count;

    if (count > ROWS_MAX || set->count > ROWS_MAX - count)
        return crn_error_set(err, CAIRN_LIMIT, "a set of %u rows and %zu more", set->count, count);
    const cairn_status status = append_all(set, vectors, count, seed, err);
    if (status == CAIRN_OK) return CAIRN_OK;
    while (set->slab_count > slabs_before) {
        struct crn_gpu_slab *slab = &set->slabs[--set->slab_count];
        *(slab->on_card ? &set->device_bytes : &set->host_bytes) -= slab->capacity * bytes_per_row(set);
        free_slab(set, slab);
    }
    if (slabs_before > 0) set->slabs[slabs_before - 1].count = last_before;
    set->count = count_before;
    return status;
}

cairn_status crn_gpu_set_append(struct crn_gpu_set *set, const float *vectors, size_t count, cairn_error *err)
{
    return append(set, vectors, count, 0, err);
}

cairn_status crn_gpu_set_append_made_up(struct crn_gpu_set *set, size_t count, uint32_t seed,
                                        cairn_error *err)
{
    if (has_steps(set) || has_bias(set))
        return crn_error_set(err, CAIRN_UNSUPPORTED, "made-up rows have no step and no length of their own");
    /* Squares of made-up numbers are 0.33 in the mean, and none is above 4: no row of few is longer, and no other in practice. */
    set->norm_most = fmax(set->norm_most, 0.75 * sqrt(set->encoder.dim) + 2);
    return append(set, NULL, count, seed, err);
}

/* ---- delete ---- */

static cairn_status mark_slab(struct crn_gpu_set *set, struct crn_gpu_slab *slab, cairn_error *err)
{
    const size_t size = slab->capacity / 32 * sizeof(uint32_t),
                 used = round_rows(slab->count) / 32 * sizeof(uint32_t);

    if (!slab->on_card) {
        slab->any_dead = true; /* brought over with its rows */
        return CAIRN_OK;
    }
    if (slab->dead == NULL) {
        void *dead;
        CRN_TRY(driver_of(set)->alloc(set->gpu->device, size, &dead, err));
        const cairn_status status = driver_of(set)->fill(set->queue, dead, 0, size, err);
        if (status != CAIRN_OK) {
            driver_of(set)->free(set->gpu->device, dead);
            return status;
        }
        slab->dead = dead;
    }
    slab->any_dead = true;
    CRN_TRY(driver_of(set)->upload(set->queue, slab->dead, set->dead + slab->first / 32, used, err));
    return driver_of(set)->queue_wait(set->queue, err);
}

cairn_status crn_gpu_set_delete(struct crn_gpu_set *set, const uint32_t *labels, size_t count,
                                cairn_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (labels[i] >= set->count)
            return crn_error_set(err, CAIRN_INVALID_ARGUMENT, "label %u of a set of %u rows", labels[i],
                                 set->count);
    }
    for (size_t i = 0; i < count; i++) set->dead[labels[i] / 32] |= 1u << labels[i] % 32;
    for (uint32_t s = 0; s < set->slab_count; s++) {
        struct crn_gpu_slab *slab = &set->slabs[s];
        bool touched = false;
        for (size_t i = 0; !touched && i < count; i++) touched = labels[i] - slab->first < slab->count;
        if (touched) CRN_TRY(mark_slab(set, slab, err));
    }
    return CAIRN_OK;
}
