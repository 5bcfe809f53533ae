/*
 * Hopper's instructions on the host. Tensor copies happen when somebody waits for a barrier, matrix products when their
 * group is waited for: what is used, or given back, too early shows.
 */
#ifndef CRN_GPU_SIMULATE_HOPPER_HOST_H
#define CRN_GPU_SIMULATE_HOPPER_HOST_H

namespace crn_gpu
{

struct barrier_state { /* in the 8 bytes of a barrier */
    uint8_t phase, arrivals, pending, unused;
    int32_t bytes;
};
static_assert(sizeof(barrier_state) == sizeof(uint64_t), "a barrier has 8 bytes");
using barrier = uint64_t;
using operand = const char *;

/* What a map holds here; the driver fills it in. */
struct host_map {
    const char *base;
    uint64_t rows;
    uint32_t pitch, box_rows;
};

struct tensor_copy {
    char *to;
    host_map map;
    uint32_t x, y;
    barrier *b;
};
struct tensor_copies {
    tensor_copy queue[64];
    unsigned count;
};
extern tensor_copies pending_tensors;

CRN_DEVICE barrier_state *state_of(barrier *b)
{
    return reinterpret_cast<barrier_state *>(b);
}
CRN_DEVICE void barrier_settle(barrier_state *s)
{
    if (s->pending != 0 || s->bytes != 0) return;
    s->phase ^= 1;
    s->pending = s->arrivals;
    progressed();
}
CRN_DEVICE void barrier_init(barrier *b, uint32_t arrivals)
{
    *state_of(b) = {0, static_cast<uint8_t>(arrivals), static_cast<uint8_t>(arrivals), 0, 0};
}
CRN_DEVICE void barriers_publish() {}
CRN_DEVICE void barrier_expect(barrier *b, uint32_t bytes)
{
    barrier_state *s = state_of(b);
    if (s->pending == 0) defect("too many arrivals at a barrier");
    s->bytes += static_cast<int32_t>(bytes);
    s->pending--;
    barrier_settle(s);
}
CRN_DEVICE void barrier_arrive(barrier *b)
{
    barrier_expect(b, 0);
}

CRN_DEVICE void tensor_load(void *to, const crn_gpu_map *map, uint32_t x, uint32_t y, barrier *b)
{
    if (pending_tensors.count == 64) defect("tensor copies are never waited for");
    if (reinterpret_cast<uintptr_t>(to) % 1024 != 0)
        defect("a tensor copy's place is not aligned to 1024 bytes");
    tensor_copy &copy = pending_tensors.queue[pending_tensors.count++];
    copy = {static_cast<char *>(to), {}, x, y, b};
    memcpy(&copy.map, map->opaque, sizeof copy.map);
}
CRN_DEVICE void tensor_copies_do()
{
    for (unsigned i = 0; i < pending_tensors.count; i++) {
        const tensor_copy &copy = pending_tensors.queue[i];
        for (uint32_t r = 0; r < copy.map.box_rows; r++) {
            for (uint32_t chunk = 0; chunk < 8; chunk++) {
                char *to = copy.to + r * 128 + ((chunk ^ (r & 7)) * 16);
                const uint64_t row = static_cast<uint64_t>(copy.y) + r;
                if (row < copy.map.rows && copy.x + chunk * 16 < copy.map.pitch) {
                    memcpy(to, copy.map.base + row * copy.map.pitch + copy.x + chunk * 16, 16);
                } else {
                    memset(to, 0, 16);
                }
            }
        }
        barrier_state *s = state_of(copy.b);
        s->bytes -= static_cast<int32_t>(copy.map.box_rows * 128);
        barrier_settle(s);
    }
    pending_tensors.count = 0;
}
CRN_DEVICE void barrier_wait(barrier *b, uint32_t parity)
{
    while (state_of(b)->phase == parity) {
        if (pending_tensors.count > 0) {
            tensor_copies_do();
        } else {
            yield();
        }
    }
}

template <unsigned count> CRN_DEVICE void registers_raise() {}
template <unsigned count> CRN_DEVICE void registers_drop() {}

CRN_DEVICE operand matrix_operand(const void *p)
{
    return static_cast<const char *>(p);
}
CRN_DEVICE operand operand_at(operand o, unsigned k)
{
    return o + k * 32;
}

/* 32 bytes of a row, through the swizzle of addresses. */
CRN_DEVICE void operand_row(operand o, uint32_t row, uint32_t *out)
{
    for (int chunk = 0; chunk < 2; chunk++) {
        uintptr_t at = reinterpret_cast<uintptr_t>(o) + row * 128 + chunk * 16;
        at ^= (at >> 7 & 7) << 4;
        memcpy(out + chunk * 4, reinterpret_cast<const void *>(at), 16);
    }
}

struct wgmma_call {
    void *sums[128];
    operand a, b;
    uint32_t add;
    unsigned group;
    void (*run)(const wgmma_call &call);
};
struct wgmma_calls {
    wgmma_call queue[64];
    unsigned count, groups;
};
extern wgmma_calls wgmma_queues[threads_most / 128];

template <class Sum, Sum (*multiply)(const uint32_t *a, const uint32_t *b)>
CRN_DEVICE void wgmma_run(const wgmma_call &call)
{
    static uint32_t columns[256][8];
    for (uint32_t n = 0; n < 256; n++) operand_row(call.b, n, columns[n]);
    for (uint32_t m = 0; m < 64; m++) {
        uint32_t row[8];
        operand_row(call.a, m, row);
        for (uint32_t n = 0; n < 256; n++) {
            const uint32_t thread = m / 16 * 32 + m % 8 * 4 + n % 8 / 2;
            Sum &c = static_cast<Sum(*)[4]>(call.sums[thread])[n / 8][m / 8 % 2 * 2 + n % 2];
            c = (call.add != 0 ? c : Sum(0)) + multiply(row, columns[n]);
        }
    }
}

template <class Sum, Sum (*multiply)(const uint32_t *a, const uint32_t *b)>
CRN_DEVICE void wgmma(const char *what, Sum (&c)[32][4], operand a, operand b, uint32_t add)
{
    wgmma_call mine = {{&c}, a, b, add, 0, wgmma_run<Sum, multiply>};
    meet(my_warpgroup(), self->id % 128, what, &mine, [](void **slots, unsigned) {
        wgmma_calls &calls = wgmma_queues[self->id / 128];
        if (calls.count == 64) defect("matrix products are never waited for");
        wgmma_call &call = calls.queue[calls.count++];
        call = *static_cast<wgmma_call *>(slots[0]);
        call.group = calls.groups;
        for (unsigned t = 0; t < 128; t++) {
            const wgmma_call *other = static_cast<wgmma_call *>(slots[t]);
            if (other->a != call.a || other->b != call.b || other->add != call.add)
                defect("a warpgroup does not agree on a product");
            call.sums[t] = other->sums[0];
        }
    });
}
template <class Sum, unsigned N> CRN_DEVICE void hold_sums(Sum (&)[N][4]) {}
CRN_DEVICE void wgmma_begin() {}
CRN_DEVICE void wgmma_commit()
{
    meet(my_warpgroup(), self->id % 128, "wgmma_commit", nullptr,
         [](void **, unsigned) { wgmma_queues[self->id / 128].groups++; });
}
template <unsigned pending> CRN_DEVICE void wgmma_wait()
{
    meet(my_warpgroup(), self->id % 128, "wgmma_wait", nullptr, [](void **, unsigned) {
        wgmma_calls &calls = wgmma_queues[self->id / 128];
        unsigned kept = 0;
        for (unsigned i = 0; i < calls.count; i++) {
            if (calls.queue[i].group + pending >= calls.groups) {
                calls.queue[kept++] = calls.queue[i];
            } else {
                calls.queue[i].run(calls.queue[i]);
            }
        }
        calls.count = kept;
    });
}
CRN_DEVICE void wgmma_f16(float (&c)[32][4], operand a, operand b, uint32_t add)
{
    wgmma<float, multiply_f16>("wgmma_f16", c, a, b, add);
}
CRN_DEVICE void wgmma_tf32(float (&c)[32][4], operand a, operand b, uint32_t add)
{
    wgmma<float, multiply_tf32>("wgmma_tf32", c, a, b, add);
}
CRN_DEVICE void wgmma_i8(int32_t (&c)[32][4], operand a, operand b, uint32_t add)
{
    wgmma<int32_t, multiply_i8>("wgmma_i8", c, a, b, add);
}

} // namespace crn_gpu

#endif
