#include "gpu/plan.h"

#include "base/error.h"

#define KEYS_BYTES (256u << 20) /* of all queries at a time */
#define CAPACITY_LEAST 4096u
#define FIRST_TILES 8u
#define GROWTH_MOST 16u
#define NARROW_QUERIES 4u      /* more are faster on tensor cores */
#define NARROW_QUERIES_WIDE 8u /* of f32, whose candidates need not be compared anew then, and of bits */
#define STAGES_MOST 6u

static const enum crn_gpu_kernel scans[4][2][3] = {
    [CRN_GPU_F32] = {{CRN_GPU_scan_f32_dot_1, CRN_GPU_scan_f32_dot_4, CRN_GPU_scan_f32_dot_8},
                     {CRN_GPU_scan_f32_l2_1, CRN_GPU_scan_f32_l2_4, CRN_GPU_scan_f32_l2_8}},
    [CRN_GPU_F16] = {{CRN_GPU_scan_f16_dot_1, CRN_GPU_scan_f16_dot_4, CRN_GPU_scan_f16_dot_8},
                     {CRN_GPU_scan_f16_l2_1, CRN_GPU_scan_f16_l2_4, CRN_GPU_scan_f16_l2_8}},
    [CRN_GPU_I8] = {{CRN_GPU_scan_i8_dot_1, CRN_GPU_scan_i8_dot_4, CRN_GPU_scan_i8_dot_8},
                    {CRN_GPU_scan_i8_dot_1, CRN_GPU_scan_i8_dot_4, CRN_GPU_scan_i8_dot_8}},
    [CRN_GPU_B1] = {{CRN_GPU_scan_b1_dot_1, CRN_GPU_scan_b1_dot_4, CRN_GPU_scan_b1_dot_8},
                    {CRN_GPU_scan_b1_dot_1, CRN_GPU_scan_b1_dot_4, CRN_GPU_scan_b1_dot_8}},
};
static const unsigned scan_queries[3] = {1, 4, 8};

static const enum crn_gpu_kernel tiles[4][4] = {
    [CRN_GPU_F32] = {CRN_GPU_tile_f32_16, CRN_GPU_tile_f32_32, CRN_GPU_tile_f32_64, CRN_GPU_tile_f32_128},
    [CRN_GPU_F16] = {CRN_GPU_tile_f16_16, CRN_GPU_tile_f16_32, CRN_GPU_tile_f16_64, CRN_GPU_tile_f16_128},
    [CRN_GPU_I8] = {CRN_GPU_tile_i8_16, CRN_GPU_tile_i8_32, CRN_GPU_tile_i8_64, CRN_GPU_tile_i8_128},
    [CRN_GPU_B1] = {CRN_GPU_tile_b1_16, CRN_GPU_tile_b1_32, CRN_GPU_tile_b1_64, CRN_GPU_tile_b1_128},
};

static bool exact_sums(enum crn_gpu_codec codec)
{
    return codec == CRN_GPU_I8 || codec == CRN_GPU_B1;
}

/* The most threads a row of which few idle in the last step. */
static uint32_t lanes_of(uint32_t pitch)
{
    const uint32_t chunks = pitch / 16;
    uint32_t best = 4, best_idle = UINT32_MAX;

    for (uint32_t lanes = 32; lanes >= 4; lanes /= 2) {
        const uint32_t idle = (chunks + lanes - 1) / lanes * lanes - chunks;
        if (idle < best_idle) {
            best = lanes;
            best_idle = idle;
        }
    }
    return best;
}

static bool plan_narrow(const struct crn_gpu_device_info *device, const struct crn_gpu_plan_ask *ask,
                        struct crn_gpu_plan *plan)
{
    unsigned size = ask->batch == 1 && !ask->lists ? 0 : ask->batch <= 4 && !ask->lists ? 1 : 2;

    while (size > 0 && (size_t)scan_queries[size] * ask->pitch > device->shared_bytes) size--;
    plan->path = CRN_GPU_PATH_NARROW;
    plan->kernel = scans[ask->codec][ask->metric == CRN_GPU_L2][size];
    plan->queries = scan_queries[size];
    plan->shared_bytes = (size_t)plan->queries * ask->pitch;
    plan->lanes = lanes_of(ask->pitch);
    return plan->shared_bytes <= device->shared_bytes;
}

static bool plan_tile(const struct crn_gpu_device_info *device, const struct crn_gpu_plan_ask *ask,
                      struct crn_gpu_plan *plan)
{
    const size_t blocks = (ask->pitch + CRN_GPU_BLOCK_BYTES - 1) / CRN_GPU_BLOCK_BYTES;
    const size_t row_bytes = CRN_GPU_TILE * CRN_GPU_BLOCK_BYTES;
    const unsigned size = ask->batch <= 16 || ask->lists ? 0
                          : ask->batch <= 32             ? 1
                          : ask->batch <= 64             ? 2
                                                         : 3;

    plan->path = CRN_GPU_PATH_TILE;
    plan->kernel = tiles[ask->codec][size];
    plan->queries = 16u << size;
    const size_t query_bytes = plan->queries * CRN_GPU_BLOCK_BYTES;
    const size_t resident_bytes = blocks * query_bytes;
    plan->resident =
        !ask->lists && ask->batch <= plan->queries && resident_bytes + 3 * row_bytes <= device->shared_bytes;
    const size_t stage_bytes = row_bytes + (plan->resident ? 0 : query_bytes);
    const size_t fixed_bytes = plan->resident ? resident_bytes : 0;
    const size_t stages = (device->shared_bytes - fixed_bytes) / stage_bytes;
    plan->stages = stages < STAGES_MOST ? (uint32_t)stages : STAGES_MOST;
    plan->shared_bytes = fixed_bytes + plan->stages * stage_bytes;
    return plan->stages >= 2;
}

static bool plan_hopper(const struct crn_gpu_device_info *device, const struct crn_gpu_plan_ask *ask,
                        struct crn_gpu_plan *plan)
{
    static const enum crn_gpu_kernel kernels[3] = {CRN_GPU_hopper_f32, CRN_GPU_hopper_f16, CRN_GPU_hopper_i8};

    if (device->capability != 90 || ask->codec == CRN_GPU_B1 || ask->lists) return false;
    plan->path = CRN_GPU_PATH_HOPPER;
    plan->kernel = kernels[ask->codec];
    plan->queries = CRN_GPU_HOPPER_QUERIES;
    plan->stages = CRN_GPU_HOPPER_STAGES;
    plan->shared_bytes = plan->stages * (CRN_GPU_TILE + plan->queries) * CRN_GPU_BLOCK_BYTES +
                         plan->stages * 2 * sizeof(uint64_t);
    return plan->shared_bytes <= device->shared_bytes;
}

static enum crn_gpu_path choose_path(const struct crn_gpu_plan_ask *ask)
{
    const bool wide = ask->codec == CRN_GPU_F32 || ask->codec == CRN_GPU_B1;

    /* What tensor cores find for floating-point rows is compared anew, on the card; lists are short. */
    if (!exact_sums(ask->codec) && (!ask->on_card || ask->lists)) return CRN_GPU_PATH_NARROW;
    if (ask->path != CRN_GPU_PATH_AUTO) return ask->path;
    if (ask->batch <= (wide ? NARROW_QUERIES_WIDE : NARROW_QUERIES)) return CRN_GPU_PATH_NARROW;
    return ask->batch > 64 ? CRN_GPU_PATH_HOPPER : CRN_GPU_PATH_TILE;
}

cairn_status crn_gpu_plan_make(const struct crn_gpu_device_info *device, const struct crn_gpu_plan_ask *ask,
                               struct crn_gpu_plan *out_plan, cairn_error *err)
{
    struct crn_gpu_plan plan = {.lanes = 4};
    const enum crn_gpu_path path = choose_path(ask);

    const bool planned = (path == CRN_GPU_PATH_HOPPER && plan_hopper(device, ask, &plan)) ||
                         (path != CRN_GPU_PATH_NARROW && plan_tile(device, ask, &plan)) ||
                         plan_narrow(device, ask, &plan);
    if (!planned) {
        return crn_error_set(err, CAIRN_UNSUPPORTED,
                             "rows of %u bytes do not fit into the %zu bytes of shared memory of %s",
                             ask->pitch, device->shared_bytes, device->name);
    }
    plan.rescore = plan.path != CRN_GPU_PATH_NARROW && !exact_sums(ask->codec);
    plan.kept = (uint32_t)ask->k;
    if (plan.rescore) {
        plan.kept = plan.kept * 4 + 32;
        if (plan.kept > CRN_GPU_SORT_MOST) plan.kept = CRN_GPU_SORT_MOST;
    }
    plan.capacity = CAPACITY_LEAST;
    while (plan.capacity < plan.kept * 16) plan.capacity *= 2;
    plan.first_tiles = (plan.kept + CRN_GPU_TILE - 1) / CRN_GPU_TILE;
    if (plan.first_tiles < FIRST_TILES) plan.first_tiles = FIRST_TILES;
    plan.growth = plan.capacity / (4 * plan.kept);
    if (plan.growth > GROWTH_MOST) plan.growth = GROWTH_MOST;
    plan.batch_most = KEYS_BYTES / (plan.capacity * (uint32_t)sizeof(uint64_t)) / 128 * 128;
    if (plan.batch_most > 4096) plan.batch_most = 4096;
    *out_plan = plan;
    return CAIRN_OK;
}

uint32_t crn_gpu_plan_round(const struct crn_gpu_plan *plan, uint64_t seen, uint32_t left, bool safe)
{
    uint64_t next = seen == 0 ? plan->first_tiles : seen * (plan->growth - 1);

    if (safe) {
        next = (plan->capacity - plan->kept) / CRN_GPU_TILE;
    } else if (seen != 0 && left <= next * 2) {
        next = left; /* rather than a short round at the end */
    }
    return next < left ? (uint32_t)next : left;
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        const uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

uint32_t crn_gpu_plan_stride(uint32_t tile_count)
{
    uint32_t stride = (uint32_t)((double)tile_count * 0.6180339887498949);

    if (stride == 0) stride = 1;
    while (common_divisor(stride, tile_count) != 1) stride++; /* tile_count + 1 at the latest */
    return stride;
}

unsigned crn_gpu_plan_blocks(const struct crn_gpu_device_info *device, const struct crn_gpu_plan *plan,
                             uint64_t items)
{
    const unsigned each = plan->path != CRN_GPU_PATH_NARROW ? 1 : plan->queries == 1 ? 4 : 2;
    const uint64_t most = (uint64_t)device->multiprocessors * each;

    return (unsigned)(items < most ? items : most);
}
