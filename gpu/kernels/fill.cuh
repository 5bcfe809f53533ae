/* Made-up rows, for benchmarks of arrays that would take long to upload. gpu/bench/baseline.py makes the same ones. */
#ifndef CRN_GPU_KERNELS_FILL_CUH
#define CRN_GPU_KERNELS_FILL_CUH

#include "gpu/kernels/target.cuh"

namespace crn_gpu
{

constexpr unsigned fill_threads = 256;

/* The finalizer of MurmurHash3 (Appleby, public domain): every bit of x moves every bit of the result. */
CRN_DEVICE uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ x >> 16;
}

/* The sum of four random bytes, -510..510: about normal. */
CRN_DEVICE int32_t made_number(uint32_t seed, uint64_t row, uint32_t column)
{
    const uint32_t h = mix(mix(column ^ seed) + static_cast<uint32_t>(row) * 0x9e3779b9u);
    return static_cast<int32_t>((h & 255) + (h >> 8 & 255) + (h >> 16 & 255) + (h >> 24)) - 510;
}

struct f32_maker {
    static constexpr uint32_t numbers = 1; /* a word */
    CRN_MEMBER uint32_t word(uint32_t seed, uint64_t row, uint32_t column)
    {
        return bits_of(static_cast<float>(made_number(seed, row, column)) / 256.0f +
                       static_cast<float>(column % 7) / 65536.0f);
    }
};
struct f16_maker {
    static constexpr uint32_t numbers = 2;
    CRN_MEMBER uint32_t word(uint32_t seed, uint64_t row, uint32_t column)
    {
        const uint32_t low = half_of(static_cast<float>(made_number(seed, row, column)) / 256.0f);
        return low |
               static_cast<uint32_t>(half_of(static_cast<float>(made_number(seed, row, column + 1)) / 256.0f))
                   << 16;
    }
};
struct i8_maker {
    static constexpr uint32_t numbers = 4;
    CRN_MEMBER uint32_t word(uint32_t seed, uint64_t row, uint32_t column)
    {
        uint32_t word = 0;
        for (uint32_t i = 0; i < 4; i++)
            word |= static_cast<uint32_t>(made_number(seed, row, column + i) / 4 & 255) << 8 * i;
        return word;
    }
};
struct b1_maker {
    static constexpr uint32_t numbers = 32;
    CRN_MEMBER uint32_t word(uint32_t seed, uint64_t row, uint32_t column)
    {
        return mix(mix(column ^ seed) + static_cast<uint32_t>(row) * 0x9e3779b9u);
    }
};

/* dim is a multiple of the numbers of a word. */
template <class Maker> CRN_DEVICE void fill_kernel(const crn_gpu_fill_args &a, unsigned char *)
{
    const uint32_t words = a.pitch / 4;
    const uint64_t all = static_cast<uint64_t>(a.row_count) * words;

    for (uint64_t i = static_cast<uint64_t>(block_id()) * block_size() + thread_id(); i < all;
         i += static_cast<uint64_t>(grid_size()) * block_size()) {
        const uint32_t column = static_cast<uint32_t>(i % words) * Maker::numbers;
        static_cast<uint32_t *>(a.rows)[i] =
            column >= a.dim ? 0 : Maker::word(a.seed, a.first_row + i / words, column);
    }
}

} // namespace crn_gpu

#endif
